"""Requests that are collected as their bytes arrive: the same ones, however they are cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidChunkSize, InvalidHeader, LimitRequestHeaders, NoMoreData
from hypothesis import given
from hypothesis import strategies as st

from bridge.web.buffered_request import BufferedRequests

MOST = 1000  # bytes of a body
PEER = ("192.0.2.1", 4711)

SHORT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
SIZED = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello\r\n\r\n\x00!"
CHUNKED = (
    b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n000a\r\n\r\n0\r\n\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n"
)
EMPTY = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
BODIES = {SHORT: b"", SIZED: b"hello\r\n\r\n\x00!", CHUNKED: b"hello\r\n0\r\n\r\nabc", EMPTY: b""}


def buffered() -> BufferedRequests:
    config = Config()
    config.set("limit_request_fields", 10)
    config.set("limit_request_field_size", 100)
    return BufferedRequests(config, PEER, max_body_bytes=MOST)


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"POST /webhooks/shop HTTP/1.1", b"Host: x", *lines, b"", b""])


def take(requests: BufferedRequests, pieces: Sequence[bytes]) -> list[tuple[str | None, bytes]]:
    """Feed the pieces, and read each request as it is whole; returns paths and bodies."""
    found = []
    for piece in pieces:
        data = piece
        while data and requests.feed(data):
            request = next(requests)
            assert request.body is not None
            found.append((request.path, request.body.read()))
            requests.begin()
            data = requests.unreader.take_buffered()
    return found


@given(st.lists(st.sampled_from(list(BODIES)), max_size=5), st.data())
def test_requests_are_the_same_however_they_arrive(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)) | {0, len(stream)})
    pieces = [stream[begin:end] for begin, end in pairwise(cuts)]
    expected = [(one.split()[1].decode(), BODIES[one]) for one in sent]
    assert take(buffered(), pieces) == expected
    assert take(buffered(), [bytes([byte]) for byte in stream]) == expected


@pytest.mark.parametrize("stream", BODIES)
def test_a_request_is_whole_with_its_last_byte_and_not_before(stream: bytes) -> None:
    requests = buffered()
    assert not requests.feed(stream[:-1])
    assert requests.feed(stream[-1:])


@pytest.mark.parametrize("size", [0, 1, MOST])
def test_a_body_up_to_the_limit_is_waited_for(size: int) -> None:
    requests = buffered()
    assert requests.feed(head(b"Content-Length: %d" % size)) is (size == 0)
    assert requests.has_head
    assert size == 0 or requests.feed(b"x" * size)
    request = next(requests)
    assert request.body is not None
    assert request.body.read() == b"x" * size


def test_a_body_that_will_be_too_large_is_not_waited_for_and_ends_the_connection() -> None:
    requests = buffered()
    assert requests.feed(head(b"Content-Length: %d" % (MOST + 1)))
    assert next(requests).should_close()


def test_a_chunked_body_that_is_too_large_ends_and_shows_that_it_is() -> None:
    requests = buffered()
    assert not requests.feed(head(b"Transfer-Encoding: chunked") + b"fffffff\r\n")
    fed = 0
    while not requests.feed(b"x" * 1000):
        fed += 1000
        assert fed < 100 * MOST
    request = next(requests)
    assert request.should_close()
    assert request.body is not None
    assert len(request.body.read(MOST + 1)) == MOST + 1


def test_a_client_that_waits_to_be_told_to_go_on_is_told_so_once() -> None:
    requests = buffered()
    assert not requests.owes_continue()
    assert not requests.feed(head(b"Content-Length: 1", b"Expect: 100-continue"))
    assert [requests.owes_continue(), requests.owes_continue()] == [True, False]
    assert requests.feed(b"x")
    assert next(requests)._expected_100_continue is False  # type: ignore[attr-defined]


def test_a_head_without_end_is_refused_when_it_is_longer_than_any_may_be() -> None:
    requests = buffered()
    assert not requests.feed(b"GET / HTTP/1.1\r\n")
    fed = 0
    while not requests.feed(b"X: y\r\n" * 10):
        fed += 60
        assert fed < 100_000
    with pytest.raises(LimitRequestHeaders):
        next(requests)


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (head(b"Content-Length: one"), InvalidHeader),
        (head(b"Content-Length: -1"), InvalidHeader),
        (head(b"Content-Length: 1", b"Transfer-Encoding: chunked"), InvalidHeader),
        (head(b"Transfer-Encoding: gzip"), InvalidHeader),
    ],
)
def test_what_is_wrong_with_a_head_is_raised_where_the_request_is_asked_for(
    stream: bytes, error: type[Exception]
) -> None:
    requests = buffered()
    assert requests.feed(stream)
    with pytest.raises(error):
        next(requests)


@pytest.mark.parametrize("chunk", [b"x\r\n", b"-1\r\n", b"5" * 9000])
def test_chunks_that_are_none_end_a_body_and_are_refused_as_it_is_read(chunk: bytes) -> None:
    requests = buffered()
    assert requests.feed(head(b"Transfer-Encoding: chunked") + chunk)
    request = next(requests)
    assert request.body is not None
    with pytest.raises((InvalidChunkSize, NoMoreData)):
        request.body.read()
