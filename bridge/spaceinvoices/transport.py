"""Requests to the API over a connection that is kept open, and how much of each was sent."""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from bridge import __version__
from bridge.deadline import Deadline, DeadlineAdapter
from bridge.spaceinvoices.outcome import Outcome, Sent, outcome_of_failure

# A connection that was idle for longer is not used again: the server may be closing it at that moment, and
# then the outcome of the request would be unknown.
MAX_IDLE = 1.0  # seconds
MAX_ANSWER = 32 * 2**20  # bytes; a hundred objects, the most in one answer, have some hundred thousand
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `retry_after` is the header; `body` is what came in time, and `is_whole` if that is all."""

    status: int
    retry_after: str | None
    body: bytes
    is_whole: bool


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer came: the kind of error, and what it means for an order that was sent.

    Not the error itself: an error of requests quotes the whole address, and holds on to its connection.
    """

    kind: str
    outcome: Outcome


class ApiConnection:
    """A connection to the API that stays open between requests. For one thread at a time, and any tokens."""

    def __init__(self, base_url: str) -> None:
        """`base_url` ends in `/v1`."""
        self.base_url = base_url.rstrip("/")
        self._last_used = 0.0
        self._deadline = Deadline()
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter(self._deadline))
        # The environment's proxies and certificates are read once, not for each request.
        self._session.trust_env = False
        self._session.proxies = get_environ_proxies(self.base_url)
        self._session.verify = (
            os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )
        # A cookie from the answer to one account must not be sent with another account's request.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = f"spacebridge/{__version__}"

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._session.close()

    def send(
        self,
        method: str,
        path: Sequence[str],
        *,
        headers: Mapping[str, str],
        timeout: float,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        is_too_late: Callable[[], bool] = lambda: False,
    ) -> Reply | NoReply:
        """Send a request once, and read its answer up to about MAX_ANSWER bytes. Never raises.

        `path` in its parts, which are escaped. `timeout`: seconds to connect, and then for all of the request
        and its answer together. Once `is_too_late`, nothing of a body is sent any more: connecting may take
        longer than the timeout, since each address of the host is tried.
        """
        outgoing = None if body is None else _TrackedBody(body, is_too_late)
        content_type = {} if body is None else {"Content-Type": "application/json"}
        if time.monotonic() - self._last_used > MAX_IDLE:
            self.close()  # the session's adapters open new connections as they are needed
        self._deadline.start(timeout)
        try:
            response = self._session.request(
                method,
                "/".join([self.base_url, *(quote(part, safe="") for part in path)]),
                params=query,
                data=outgoing,
                headers={**content_type, **headers},
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            )
            received, is_whole = _read(response)
        except Exception as error:  # of any type: the caller needs to know how much was sent
            sent = _sent_without_body(error) if outgoing is None else outgoing.sent
            return NoReply(type(error).__name__, outcome_of_failure(error, sent=sent))
        finally:
            self._last_used = time.monotonic()
        return Reply(response.status_code, response.headers.get("Retry-After"), received, is_whole)


class _Session(requests.Session):
    """A session that returns the status of every answer, also of one with a malformed redirect."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, always: requests would read the redirect's body, and lose the status if that fails."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, and close its connection if the answer is still to come.

        http.client skips a 100 and takes any other 1xx for the answer. The real answer would then be read as
        that of the next request on the same connection.
        """
        response = super().send(request, **kwargs)
        if response.status_code < 200:
            self.close()
        return response


class _TrackedBody:
    """A request's body that knows how much of it the connection took."""

    def __init__(self, body: bytes, is_too_late: Callable[[], bool]) -> None:
        self._body = body
        self._is_too_late = is_too_late
        self.sent = Sent.IN_PART

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), _CHUNK):
            if self._is_too_late():
                raise TimeoutError("the time to send the order is over")
            if start + _CHUNK >= len(self._body):
                self.sent = Sent.PERHAPS
            yield self._body[start : start + _CHUNK]
        # urllib3 asks for the next chunk after sendall of the last one has returned. If sendall raised, it
        # never asks, not even where it ignores the error to read an answer that came early.
        self.sent = Sent.WHOLE


def _sent_without_body(error: BaseException) -> Sent:
    """How much was sent of a request without a body, whose head is sent once there is a connection."""
    before = NewConnectionError | ConnectTimeoutError | ssl.SSLCertVerificationError
    causes = [cause for cause in (error.__cause__, error.__context__) if cause is not None]
    if isinstance(error, before) or any(_sent_without_body(cause) is Sent.IN_PART for cause in causes):
        return Sent.IN_PART
    return Sent.WHOLE


def _read(response: requests.Response) -> tuple[bytes, bool]:
    """What arrives in time of an answer's body, up to about MAX_ANSWER bytes, and whether that is all of it.

    A body that is read to its end frees the connection for the next request.
    """
    received = bytearray()
    is_whole = False
    with contextlib.suppress(Exception), response:
        while len(received) < MAX_ANSWER:
            # `read1` returns what has arrived, so that what came before the deadline is kept.
            chunk = response.raw.read1(_CHUNK, decode_content=True)
            if not chunk:
                is_whole = True
                break
            received += chunk
    return bytes(received), is_whole
