"""A connection's requests, collected as their bytes arrive and parsed by gunicorn's own parser."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader

if TYPE_CHECKING:
    from gunicorn.config import Config

_END_OF_HEAD = b"\r\n\r\n"
# A chunked body that is too large is cut off so far beyond the limit, so that the app sees that it is too
# large: gunicorn reads a little ahead of what the app asks for.
_READ_AHEAD = 64 * 2**10  # bytes


class BufferedRequests(RequestParser):
    """Gunicorn's parser over bytes that are in memory: no read of it ever waits for the client.

    1. `feed` takes the bytes until it says that the request can be answered.
    2. `next` gives that request, or raises what was wrong with it.
    3. `begin` starts on the next request of the connection. The bytes of it that came with the last one are
       in `unreader`.
    """

    unreader: _Buffer

    def __init__(self, cfg: Config, peer: tuple[str, int], *, max_body_bytes: int) -> None:
        super().__init__(cfg, (), peer)
        self.unreader = _Buffer()
        self._max_body_bytes = max_body_bytes
        self._max_head_bytes = (
            cfg.limit_request_line + cfg.limit_request_fields * (cfg.limit_request_field_size + 2) + 4
        )
        self.begin()

    def begin(self) -> None:
        """Forget the request before."""
        self.mesg = None
        self._head = bytearray()
        self._body = bytearray()
        self._result: Request | Exception | None = None
        self._is_whole: Callable[[bytes], bool] | None = None  # given each piece of the body

    @property
    def has_head(self) -> bool:
        """Whether the head is complete."""
        return self._is_whole is not None

    @property
    def asked_to_close(self) -> bool:
        """Whether the client said with its request, which is whole, that it sends no other."""
        return self.mesg is not None and self.mesg.should_close() and not self.mesg.must_close

    def feed(self, data: bytes) -> bool:
        """Take the next bytes. Returns True once the request is whole, malformed or too large."""
        if self._is_whole is None:
            searched = max(0, len(self._head) - len(_END_OF_HEAD) + 1)
            self._head += data
            if self._head.find(_END_OF_HEAD, searched) < 0:
                if len(self._head) <= self._max_head_bytes:
                    return False
                self._result = LimitRequestHeaders("no end of the head")
                return True
            self.unreader.unread(bytes(self._head))
            self._head.clear()
            try:
                self._result = super().__next__()
            except Exception as error:  # gunicorn answers it as it would have, from the request's thread
                self._result = error
                return True
            data = self.unreader.take_buffered()
            self._is_whole = self._find_end(self._result)
        self._body += data
        return self._is_whole(data)

    def owes_continue(self) -> bool:
        """Whether the client waits for 100 Continue before it sends the body. True once a request."""
        if not isinstance(self._result, Request):
            return False
        owes: bool = self._result._expected_100_continue  # type: ignore[attr-defined]
        self._result._expected_100_continue = False  # type: ignore[attr-defined]  # or gunicorn says it again
        return owes

    def __next__(self) -> Request:
        """The request that is whole, as gunicorn's worker asks for it."""
        result = self._result
        if result is None:
            raise StopIteration
        if isinstance(result, Exception):
            raise result
        self.owes_continue()
        received, length = bytes(self._body), _length(result)
        self._body.clear()
        if length is not None:
            result.body = BytesIO(received[:length])  # type: ignore[assignment]  # all it is used for
            received = received[length:]
        self.unreader.unread(received)
        return result

    def _find_end(self, request: Request) -> Callable[[bytes], bool]:
        """Returns a function that finds the end of this request's body. One that is too large ends at once.

        The app refuses it by its length. Its rest is on the connection, which cannot be used again.
        """

        def too_large() -> bool:
            request.force_close()
            return True

        length = _length(request)
        if length is None:
            chunks = _Chunks()
            most = self._max_body_bytes + _READ_AHEAD
            return lambda data: chunks.end_in(data) or (chunks.received > most and too_large())
        if length > self._max_body_bytes:
            return lambda data: too_large()
        return lambda data: len(self._body) >= length


def _length(request: Request) -> int | None:
    """The length of its body, as its head says; None if it comes in chunks."""
    assert isinstance(request.body, Body)  # noqa: S101 - gunicorn gives each request one
    reader = request.body.reader
    return reader.length if isinstance(reader, LengthReader) else None


class _Buffer(Unreader):
    """Bytes in memory, and no more after them."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        return b""


class _Chunks:
    """Finds the end of a chunked body (RFC 9112, 7.1). Whether it is well-formed is for gunicorn to say."""

    _LONGEST_LINE = 8190  # bytes; as gunicorn has it

    def __init__(self) -> None:
        self.received = 0  # bytes of content
        self._left = 0  # bytes of the chunk that are still to come, its line end included
        self._line = b""
        self._in_trailers = False

    def end_in(self, data: bytes) -> bool:
        """Take the next piece. Returns True if the body ends in it, or is malformed."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                self.received += step
                at += step
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                return len(self._line) > self._LONGEST_LINE
            line, self._line = (self._line + data[at:end]).strip(), b""
            at = end + 1
            if self._in_trailers:
                if not line:
                    return True
                continue
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError:
                return True
            if size < 0:
                return True
            self._in_trailers = size == 0
            self._left = size + 2 if size else 0
        return False
