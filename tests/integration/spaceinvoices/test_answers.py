"""What the client makes of answers that are none of the API's, or none at all, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.spaceinvoices import Filter, NewWoocommerce, SpaceInvoices, SpaceInvoicesError, WoocommerceChanges
from tests.support.misbehaving import Behaviour, MisbehavingServer, Visit, make_certificate, tls_of
from tests.support.servers import free_port

TOKEN = "t0ken-that-nothing-may-tell"
PERSON = "Ana Novak"


def answering(*answers: bytes) -> Behaviour:
    """Reads a whole request for each of these answers."""

    def answer(visit: Visit) -> None:
        for text in answers:
            visit.receive_request()
            visit.say(text)

    return answer


@pytest.fixture(autouse=True)
def a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, and no certificates of the tests' own."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


@contextmanager
def account(server: MisbehavingServer, *, timeout: float = 10) -> Iterator[SpaceInvoices]:
    with SpaceInvoices(server.url, TOKEN, timeout=timeout) as api:
        yield api


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


WRITES: dict[str, Callable[[SpaceInvoices], object]] = {
    "create": lambda api: api.create("o1", NewWoocommerce(name=PERSON)),
    "patch": lambda api: api.patch("w1", WoocommerceChanges(name=PERSON)),
    "delete": lambda api: api.delete("w1"),
    "order": lambda api: api.order("w1", {"billing": PERSON}),
    "import": lambda api: api.start_import("w1", "orders", PERSON),
}
READS: dict[str, Callable[[SpaceInvoices], object]] = {
    "find": lambda api: api.find("o1", Filter(where={"name": PERSON})),
    "list configs": lambda api: api.list_configs("o1", [PERSON]),
    "count": lambda api: api.count("o1", {"name": PERSON}),
}


def refused(call: Callable[[], object]) -> SpaceInvoicesError:
    """How a call fails, which tells neither the token nor a person anywhere."""
    with pytest.raises(SpaceInvoicesError) as caught:
        call()
    for text in (str(caught.value), repr(caught.value)):
        assert TOKEN not in text
        assert PERSON not in text
        assert "127.0.0.1" not in text
    assert caught.value.__context__ is None
    return caught.value


def assert_nothing_happened(name: str, url: str) -> None:
    with SpaceInvoices(url, TOKEN) as api:
        error = refused(lambda: (WRITES | READS)[name](api))
    assert "could not be asked" in str(error)
    assert (error.status, error.permanent, error.may_have_taken_effect) == (None, False, False)


@pytest.mark.parametrize("name", [*WRITES, *READS])
def test_nothing_happens_at_a_server_that_is_away(name: str) -> None:
    assert_nothing_happened(name, f"http://127.0.0.1:{free_port()}/v1")


@pytest.mark.parametrize("name", ["delete", "order", "count"])
def test_nothing_happens_at_an_address_that_nobody_has(name: str) -> None:
    assert_nothing_happened(name, "http://no-such-host.invalid/v1")


@pytest.mark.parametrize("name", ["delete", "order", "count"])
def test_nothing_happens_at_a_server_that_is_not_trusted(name: str, tmp_path: Path) -> None:
    def says_nothing(visit: Visit) -> None:
        visit.receive()

    with MisbehavingServer(says_nothing, tls=tls_of(make_certificate(tmp_path))) as server:
        assert_nothing_happened(name, server.url)
    assert [bytes(visit.read) for visit in server.visits] == [b""]


@pytest.mark.parametrize("name", ["delete", "order", "count"])
def test_nothing_happens_behind_a_proxy_that_is_away(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert_nothing_happened(name, "http://api.example/v1")


@pytest.mark.parametrize("name", [*WRITES, *READS])
def test_what_a_server_was_asked_for_and_did_not_answer_may_have_happened(name: str) -> None:
    with MisbehavingServer(answering(b"")) as server, account(server) as api:
        error = refused(lambda: (WRITES | READS)[name](api))
    assert "no answer came" in str(error)
    assert (error.status, error.permanent, error.may_have_taken_effect) == (None, False, name in WRITES)
    assert len(server.requests) == 1  # nothing is sent twice


@pytest.mark.parametrize("name", ["find", "list configs", "count", "create", "patch", "delete"])
@pytest.mark.parametrize(
    "answer",
    [
        ok(b"<html>"),
        ok(b""),
        ok(b"null"),
        ok(b"5"),
        ok(b'{"count": true}'),
        ok(b'{"count": "1", "name": 5}'),
        ok(b"[{}, 5]"),
        ok(b"\xff"),
        ok(b'{"name": "Ana Novak", "active": "yes", "count": null}'),
        ok(b"[" * 100_000),
        b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"count": 1}',
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_an_answer_that_cannot_be_read_is_told_and_not_quoted(name: str, answer: bytes) -> None:
    with MisbehavingServer(answering(answer)) as server, account(server) as api:
        error = refused(lambda: (WRITES | READS)[name](api))
    assert "cannot be read" in str(error)
    assert error.status in {200, 204}
    assert (error.permanent, error.may_have_taken_effect) == (False, name in WRITES)


@pytest.mark.parametrize("name", ["order", "import"])
@pytest.mark.parametrize("read", [{}, {"id": "5"}])
def test_of_an_order_and_an_import_any_object_is_an_answer(name: str, read: object) -> None:
    with MisbehavingServer(answering(ok(json.dumps(read).encode()))) as server, account(server) as api:
        assert WRITES[name](api) == read


@pytest.mark.parametrize("name", ["order", "import"])
@pytest.mark.parametrize(
    "answer",
    [
        ok(b"<html>"),
        ok(b""),
        ok(b"[]"),
        ok(b"null"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"id"',
    ],
)
def test_an_order_and_an_import_may_have_been_taken_if_the_answer_is_no_object(
    name: str, answer: bytes
) -> None:
    with MisbehavingServer(answering(answer)) as server, account(server) as api:
        error = refused(lambda: WRITES[name](api))
    assert "cannot be read" in str(error)
    assert (error.permanent, error.may_have_taken_effect) == (False, True)


def test_an_object_that_is_not_as_documented_is_told_with_the_place() -> None:
    with MisbehavingServer(answering(ok(b'[{}, {"active": "Ana Novak"}]'))) as server, account(server) as api:
        error = refused(lambda: api.find("o1"))
    assert "(1.active)" in str(error)


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with MisbehavingServer(answering(ok(b"[]"))) as elsewhere:
        moved = f"HTTP/1.1 301 Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
        with MisbehavingServer(answering(moved.encode())) as server, account(server) as api:
            error = refused(lambda: api.find("o1"))
        assert elsewhere.visits == []
    assert (error.status, error.permanent) == (301, True)


def test_an_answer_of_any_length_is_not_waited_for() -> None:
    def goes_on(visit: Visit) -> None:
        visit.receive_request()
        visit.say(b"HTTP/1.1 200 OK\r\n\r\n[")
        while visit.waits(0.01):
            visit.say(b" ")

    with MisbehavingServer(goes_on) as server, account(server, timeout=0.3) as api:
        error = refused(lambda: api.find("o1"))
        assert server.visits[0].has_ended.wait(10)
    assert "cannot be read" in str(error)
    assert server.visits[0].client_left_first


def test_calls_of_all_kinds_take_one_connection() -> None:
    calls = [*WRITES.values(), *READS.values()]
    shop = b'{"id": "w1"}'
    answers = [shop, shop, b'{"count": 1}', b"{}", b"{}", b"[]", b"[]", b'{"count": 1}']
    with MisbehavingServer(answering(*map(ok, answers))) as server, account(server) as api:
        for call in calls:
            call(api)
    assert len(server.visits) == 1
    assert len(server.requests) == len(calls)


def test_a_read_is_never_of_unknown_effect() -> None:
    with (
        MisbehavingServer(answering(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n")) as server,
        account(server) as api,
    ):
        error = refused(lambda: api.find("o1"))
    assert (error.permanent, error.may_have_taken_effect) == (False, False)


@pytest.mark.parametrize(
    ("odd", "escaped"),
    [
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("a?b=c", "a%3Fb%3Dc"),
        ("a#b", "a%23b"),
        ("%2e%2e", "%252e%252e"),
        ("a b", "a%20b"),
        ("ž", "%C5%BE"),
    ],
)
def test_an_id_of_any_other_kind_stays_one_part_of_the_address(odd: str, escaped: str) -> None:
    answer = ok(b'{"count": 1}')
    with MisbehavingServer(answering(answer)) as server, account(server) as api:
        api.delete(odd)
    assert server.requests[0].head.startswith(f"DELETE /v1/Woocommerce/{escaped} HTTP/1.1\r\n".encode())
