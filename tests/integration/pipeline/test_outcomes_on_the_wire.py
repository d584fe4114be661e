"""What the client makes of servers that misbehave, over real sockets, and what these had read of the order.

Nothing may be called "not taken" that a server read whole.
"""

from __future__ import annotations

import contextlib
import math
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from bridge.spaceinvoices import ApiConnection, Effect, Outcome, SpaceInvoices, SpaceInvoicesError, transport
from tests.support.misbehaving import Behaviour, MisbehavingServer, Visit, make_certificate, tls_of
from tests.support.servers import free_port, wait_until

TOKEN = "the-token"
ORDER = b'{"order": {"id": 1}}'
LARGE = b"x" * 8_000_000  # more than the buffers between a client and a server that does not read
# Seconds. In haste, a test waits in vain for a server; then no other step may depend on the server's speed.
PATIENT, HASTY = 10.0, 0.3
TRICKLE = 0.05  # seconds between two bytes
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"

Serve = Callable[..., MisbehavingServer]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def a_plain_environment(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """No proxy, and trust in no certificate but that of the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))


@pytest.fixture(params=["http", "https"])
def serve(request: pytest.FixtureRequest, certificate: Path) -> Serve:
    """Makes a server, with TLS and without."""
    tls = tls_of(certificate) if request.param == "https" else None
    return lambda *behaviours: MisbehavingServer(*behaviours, tls=tls)


@pytest.fixture(params=["several chunks", "a single chunk"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the client cuts a large body up. In a single chunk, all of it is the last one."""
    if request.param == "a single chunk":
        monkeypatch.setattr(transport, "_CHUNK", len(LARGE))
    return str(request.param)


@contextlib.contextmanager
def an_account(url: str, *, timeout: float = PATIENT) -> Iterator[SpaceInvoices]:
    account = SpaceInvoices(url, TOKEN, timeout=timeout)
    try:
        yield account
    finally:
        account.close()


def send(account: SpaceInvoices, body: bytes = ORDER, *, deadline: float = math.inf) -> Outcome:
    sent = account.send_order(
        "w1", body, idempotency_key="k", is_too_late=lambda: time.monotonic() > deadline
    )
    return sent.outcome


def hand_over(
    url: str, body: bytes = ORDER, *, timeout: float = PATIENT, deadline: float = math.inf
) -> Outcome:
    """What a client of its own makes of one order."""
    with an_account(url, timeout=timeout) as account:
        return send(account, body, deadline=deadline)


def answering(*answers: bytes) -> Behaviour:
    """Reads a whole request for each of these answers, and keeps the connection as long as the client."""

    def answer(visit: Visit) -> None:
        for text in answers:
            visit.receive_request()
            visit.say(text)
        visit.receive()

    return answer


# Before the order is sent.


@contextlib.contextmanager
def a_full_backlog() -> Iterator[int]:
    """The port of a server that listens, accepts nobody and has no place left for who waits."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(10):
            one = waiting.enter_context(socket.socket())
            one.settimeout(HASTY)
            try:
                one.connect(listener.getsockname())
            except TimeoutError:
                break
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(lambda: "no-such-host.invalid", id="the name does not resolve"),
        pytest.param(lambda: f"127.0.0.1:{free_port()}", id="the connection is refused"),
    ],
)
def test_an_order_for_nobody_is_not_taken(host: Callable[[], str]) -> None:
    assert hand_over(f"http://{host()}/v1").effect is Effect.NOT_TAKEN


def test_an_order_for_who_does_not_pick_up_is_not_taken() -> None:
    with a_full_backlog() as port:
        outcome = hand_over(f"http://127.0.0.1:{port}/v1", timeout=HASTY)

    assert outcome.effect is Effect.NOT_TAKEN
    assert "ConnectTimeout" in outcome.summary


def cuts_the_handshake(visit: Visit) -> None:
    visit.receive()


def resets_the_handshake(visit: Visit) -> None:
    visit.receive()
    visit.reset()


def speaks_plain_http(visit: Visit) -> None:
    visit.receive()
    visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "behaviour", [cuts_the_handshake, resets_the_handshake, speaks_plain_http, Visit.wait]
)
def test_an_order_is_not_taken_if_the_server_does_not_finish_the_handshake(behaviour: Behaviour) -> None:
    with MisbehavingServer(behaviour) as server:
        timeout = HASTY if behaviour is Visit.wait else PATIENT
        outcome = hand_over(f"https://127.0.0.1:{server.port}/v1", timeout=timeout)

    assert outcome.effect is Effect.NOT_TAKEN
    (visit,) = server.visits
    assert b"POST" not in visit.read
    assert TOKEN.encode() not in visit.read


@pytest.mark.parametrize(
    ("host", "trust"),
    [
        pytest.param("127.0.0.1", False, id="from an authority that is not trusted"),
        pytest.param("localhost", True, id="for another name"),
    ],
)
def test_an_order_is_not_taken_by_a_server_with_a_wrong_certificate(
    host: str, trust: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not trust:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with MisbehavingServer(answering(TAKEN), tls=tls_of(certificate)) as server:
        outcome = hand_over(f"https://{host}:{server.port}/v1")

    assert outcome.effect is Effect.NOT_TAKEN
    assert "SSLError" in outcome.summary
    assert [bytes(visit.read) for visit in server.visits] == [b""]


# While it is being sent: a large one, in several chunks and in one.


def resets_at_once(visit: Visit) -> None:
    visit.reset()


def resets_after_the_head(visit: Visit) -> None:
    visit.receive_head()
    visit.reset()


def resets_amid_the_body(visit: Visit) -> None:
    visit.receive_head()
    visit.receive_body(1_000_000)
    visit.reset()


def closes_amid_the_body(visit: Visit) -> None:
    visit.receive_head()
    visit.receive_body(1_000_000)


def never_reads_on(visit: Visit) -> None:
    visit.receive_head()
    visit.wait()
    visit.receive_the_rest()


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(
    "behaviour",
    [resets_at_once, resets_after_the_head, resets_amid_the_body, closes_amid_the_body, never_reads_on],
)
def test_an_order_is_not_taken_if_the_connection_did_not_take_its_last_byte(
    serve: Serve, behaviour: Behaviour
) -> None:
    with serve(behaviour) as server:
        timeout = HASTY if behaviour is never_reads_on else PATIENT
        outcome = hand_over(server.url, LARGE, timeout=timeout)

    assert outcome.effect is Effect.NOT_TAKEN
    assert outcome.status is None
    assert len(server.visits) == 1
    assert not any(request.is_whole for request in server.requests)


class HeldBack(bytes):
    """A body that is given away only when something has happened."""

    happened: threading.Event

    def __getitem__(self, key: Any) -> Any:
        assert self.happened.wait(PATIENT)
        return super().__getitem__(key)


def test_a_small_order_is_not_taken_if_the_connection_was_reset_between_its_head_and_its_body(
    serve: Serve,
) -> None:
    body = HeldBack(ORDER)
    body.happened = threading.Event()

    def resets_and_tells(visit: Visit) -> None:
        resets_after_the_head(visit)
        body.happened.set()

    with serve(resets_and_tells) as server:
        outcome = hand_over(server.url, body)

    assert outcome.effect is Effect.NOT_TAKEN
    assert [bytes(request.body) for request in server.requests] == [b""]


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("reads_on", [True, False])
def test_an_answer_that_comes_before_the_whole_order_was_sent_counts(serve: Serve, reads_on: bool) -> None:
    def answers_early(visit: Visit) -> None:
        visit.receive_head()
        visit.receive_body(1_000_000)
        visit.say(TOO_LARGE)
        if reads_on:
            visit.receive_the_rest()

    with serve(answers_early) as server:
        outcome = hand_over(server.url, LARGE)

    assert [request.is_whole for request in server.requests] == [reads_on]
    if server.url.startswith("https") and not reads_on and outcome.status is None:
        # A broken pipe under TLS is an SSLEOFError in some versions of Python (python/cpython#115627), after
        # which urllib3 looks for no answer. What it says then is as true.
        assert outcome.effect is Effect.NOT_TAKEN
    else:
        assert (outcome.effect, outcome.status) == (Effect.REFUSED, 413)


def test_nothing_of_an_order_is_sent_after_the_deadline(serve: Serve) -> None:
    with serve(answering(TAKEN)) as server:
        outcome = hand_over(server.url, deadline=time.monotonic() - 1)

    assert outcome.effect is Effect.NOT_TAKEN
    assert not any(request.body for request in server.requests)


def test_an_order_is_not_sent_to_its_end_if_the_deadline_passes_meanwhile(serve: Serve) -> None:
    deadline = time.monotonic() + HASTY

    def reads_on_after_the_deadline(visit: Visit) -> None:
        visit.receive_head()
        wait_until(lambda: time.monotonic() > deadline, "the deadline")
        visit.receive_the_rest()

    with serve(reads_on_after_the_deadline) as server:
        outcome = hand_over(server.url, LARGE, deadline=deadline)

    assert outcome.effect is Effect.NOT_TAKEN
    assert not any(request.is_whole for request in server.requests)


def test_it_is_unknown_where_a_signal_interrupted_the_sending_of_the_last_chunk(
    serve: Serve, chunks: str
) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        raise SoftTimeLimitExceeded

    def has_the_client_interrupted(visit: Visit) -> None:
        visit.receive_head()
        visit.receive_body(1_000_000)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        visit.wait()

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        with serve(has_the_client_interrupted) as server:
            outcome = hand_over(server.url, LARGE)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert "SoftTimeLimitExceeded" in outcome.summary
    # The handler could as well have run when the last byte had gone out.
    assert outcome.effect is (Effect.UNKNOWN if chunks == "a single chunk" else Effect.NOT_TAKEN)


# After it was sent.


def close(visit: Visit) -> None:
    """Nothing more: a visit that is over is closed."""


@pytest.mark.parametrize(
    ("said", "then", "effect"),
    [
        # No answer
        (b"", close, Effect.UNKNOWN),
        (b"", Visit.reset, Effect.UNKNOWN),
        # No status in it
        (b"\x16\x03\x01 what is this?\r\n\r\n", close, Effect.UNKNOWN),
        (b"SSH-2.0-OpenSSH_9.6\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 OK\r\n\r\n", close, Effect.UNKNOWN),
        (b"HTTP/2 200\r\n\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 20000 OK\r\n\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200" + 70_000 * b" OK" + b"\r\n\r\n", close, Effect.UNKNOWN),
        # A status that is cut
        (b"HTT", close, Effect.UNKNOWN),
        (b"HTTP/1.1 ", close, Effect.UNKNOWN),
        (b"HTTP/1.1 20", close, Effect.UNKNOWN),
        (b"HTTP/1.1 50", Visit.reset, Effect.UNKNOWN),
        # All three digits of it came, which tell of a success only with the object that belongs to it
        (b"HTTP/1.1 200", close, Effect.UNKNOWN),
        (b"HTTP/1.1 503 Serv", close, Effect.NOT_TAKEN),
        (b"HTTP/1.1 408 Requ", close, Effect.NOT_TAKEN),
        # Headers that are cut
        (b"HTTP/1.1 200 OK\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nContent-Le", close, Effect.UNKNOWN),
        (b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 2", close, Effect.REFUSED),
        # Headers of which http.client or urllib3 can make no sense: neither tells the status.
        (b"HTTP/1.1 200 OK\r\nX: " + 70_000 * b"x" + b"\r\n\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}", close, Effect.UNKNOWN),
        # A body that is cut
        (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id"', close, Effect.UNKNOWN),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id"', Visit.reset, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}", close, Effect.UNKNOWN),
        (b"HTTP/1.1 422 X\r\nContent-Length: 100\r\n\r\n{", close, Effect.REFUSED),
        (b"HTTP/1.1 503 X\r\nContent-Length: 100\r\n\r\n{", close, Effect.NOT_TAKEN),
        # A body that is garbage
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n{}", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", close, Effect.UNKNOWN),
        # A body that is whole, and none of the API's
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n\r\n<!doctype html><title>Maintenance</title>", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n\r\nnull", close, Effect.UNKNOWN),
        (b'HTTP/1.1 200 OK\r\n\r\n"ok"', close, Effect.UNKNOWN),
        (b'HTTP/1.1 200 OK\r\n\r\n{"id": "5', close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n\r\n{} {}", close, Effect.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000, close, Effect.UNKNOWN),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nLogin", close, Effect.UNKNOWN),
        # Any object, of any length
        (b'HTTP/1.1 201 Created\r\n\r\n\n {"id": "5"}\n', close, Effect.ISSUED),
        (b'HTTP/1.1 200 OK\r\n\r\n{"x": "' + 1_000_000 * b"x" + b'"}', close, Effect.ISSUED),
        # 100 is passed over, even where none was asked for.
        (b"HTTP/1.1 100 Continue\r\n\r\n" + TAKEN, close, Effect.ISSUED),
        (b"HTTP/1.1 100 Continue\r\n\r\n", close, Effect.UNKNOWN),
        # Answers in full
        (TAKEN, close, Effect.ISSUED),
        (b"HTTP/1.0 204 No Content\r\n\r\n", close, Effect.UNKNOWN),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", close, Effect.ACCOUNT_REFUSED),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", close, Effect.UNKNOWN),
    ],
)
def test_an_order_that_was_sent_has_the_effect_that_the_status_tells_or_an_unknown_one(
    serve: Serve, said: bytes, then: Behaviour, effect: Effect
) -> None:
    def behave(visit: Visit) -> None:
        visit.receive_request()
        visit.say(said)
        then(visit)

    with serve(behave) as server:
        outcome = hand_over(server.url)

    assert outcome.effect is effect
    assert [bytes(request.body) for request in server.requests] == [ORDER]
    assert len(server.visits) == 1


def test_an_order_is_of_unknown_effect_if_no_answer_comes_in_time() -> None:
    def says_nothing(visit: Visit) -> None:
        visit.receive_request()
        visit.wait()

    with MisbehavingServer(says_nothing) as server:
        outcome = hand_over(server.url, timeout=HASTY)

    assert outcome.effect is Effect.UNKNOWN
    assert "ReadTimeout" in outcome.summary
    assert [bytes(request.body) for request in server.requests] == [ORDER]


def test_a_reset_amid_the_headers_leaves_the_effect_unknown(serve: Serve) -> None:
    def resets_its_answer(visit: Visit) -> None:
        visit.receive_request()
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Le")
        visit.reset()

    with serve(resets_its_answer) as server:
        outcome = hand_over(server.url)

    # Some versions of Python tell a reset under TLS as an orderly end (python/cpython#115627).
    assert outcome.effect is Effect.UNKNOWN
    assert outcome.status in {None, 200}


def test_what_came_of_an_answer_before_it_was_cut_is_kept(serve: Serve) -> None:
    def cuts_its_answer(visit: Visit) -> None:
        visit.receive_request()
        visit.say(b"HTTP/1.1 422 X\r\nContent-Length: 100\r\n\r\n" + b'{"message":"Inv')

    with serve(cuts_its_answer) as server:
        outcome = hand_over(server.url)

    assert outcome.excerpt == '{"message":"Inv'


def test_an_answer_may_come_byte_by_byte(serve: Serve) -> None:
    def trickles(visit: Visit) -> None:
        visit.receive_request()
        for byte in TAKEN:
            visit.say(bytes([byte]))
            visit.waits(TRICKLE / 10)

    with serve(trickles) as server:
        outcome = hand_over(server.url)

    assert outcome.effect is Effect.ISSUED


def trickling(answer: bytes, then: bytes = b"") -> Behaviour:
    """Answers byte by byte, and after that, with `then` again and again as long as the client stays."""

    def trickles(visit: Visit) -> None:
        visit.receive_request()
        give_up_at = time.monotonic() + PATIENT
        for byte in answer:
            if visit.waits(TRICKLE):
                visit.say(bytes([byte]))
        while time.monotonic() < give_up_at and visit.waits(TRICKLE):
            visit.say(then)

    return trickles


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        pytest.param(b"HTTP/1.1 200 ", b"O", id="a status line"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="of one that is still to come"),
        pytest.param(b"HTTP/1.1 ", b"200 OK\r\nX: ", id="headers"),
        pytest.param(b"", b"x", id="of what is no answer"),
    ],
)
def test_the_head_of_an_answer_is_waited_for_no_longer_in_all_than_for_its_first_byte(
    serve: Serve, answer: bytes, then: bytes
) -> None:
    with serve(trickling(answer, then)) as server:
        started = time.monotonic()
        outcome = hand_over(server.url, timeout=10 * TRICKLE)
        lasted = time.monotonic() - started
        assert server.visits[0].has_ended.wait(2 * PATIENT)

    assert outcome.effect is Effect.UNKNOWN
    assert lasted < PATIENT / 2
    assert server.visits[0].client_left_first


@pytest.mark.parametrize("sent_at_once", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_head_and_body_of_an_answer_have_one_deadline(serve: Serve, sent_at_once: bytes) -> None:
    """Each of them comes in time by itself."""

    def is_slow(visit: Visit) -> None:
        visit.receive_request()
        visit.waits(0.7 * HASTY)
        visit.say(sent_at_once)
        visit.waits(0.7 * HASTY)
        with contextlib.suppress(OSError):
            visit.say(b"Content-Length: 2\r\n\r\n{}" if b"{" not in sent_at_once else b"}")

    with serve(is_slow) as server:
        outcome = hand_over(server.url, timeout=HASTY)

    assert outcome.effect is Effect.UNKNOWN


def test_an_order_and_its_answer_have_one_deadline(serve: Serve) -> None:
    """The order is read slowly, but for the first bytes never so slowly that one write would time out."""

    def reads_slowly(visit: Visit) -> None:
        visit.receive_head()
        give_up_at = time.monotonic() + PATIENT
        while time.monotonic() < give_up_at and visit.waits(TRICKLE):
            visit.receive()

    with serve(reads_slowly) as server:
        started = time.monotonic()
        outcome = hand_over(server.url, LARGE, timeout=10 * TRICKLE)
        lasted = time.monotonic() - started
        assert server.visits[0].has_ended.wait(2 * PATIENT)

    assert outcome.effect is Effect.NOT_TAKEN
    assert lasted < PATIENT / 2
    assert not any(request.is_whole for request in server.requests)


@pytest.mark.parametrize("then", [b"HTTP/1.1 200 Connection established\r\nX: x", b"\r\nX: x"])
def test_a_tunnel_through_a_proxy_is_waited_for_no_longer_either(
    then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers_on_and_on(visit: Visit) -> None:
        visit.receive_head()
        visit.say(b"HTTP/1.1 200 Connection established\r\nX: x")
        give_up_at = time.monotonic() + PATIENT
        while time.monotonic() < give_up_at and visit.waits(TRICKLE):
            visit.say(then)

    with MisbehavingServer(answers_on_and_on) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        started = time.monotonic()
        outcome = hand_over("https://api.example/v1", timeout=10 * TRICKLE)
        lasted = time.monotonic() - started

    assert outcome.effect is Effect.NOT_TAKEN
    assert lasted < PATIENT / 2


@pytest.mark.parametrize(
    ("piece", "pause"),
    [pytest.param(b"x", TRICKLE, id="byte by byte"), pytest.param(b"x" * 100_000, 0.0, id="in a torrent")],
)
def test_the_end_of_a_long_answer_is_not_waited_for(serve: Serve, piece: bytes, pause: float) -> None:
    def goes_on(visit: Visit) -> None:
        visit.receive_request()
        visit.say(b"HTTP/1.1 200 OK\r\n\r\n")
        give_up_at = time.monotonic() + PATIENT
        while time.monotonic() < give_up_at and visit.waits(pause):
            visit.say(piece)

    with serve(goes_on) as server:
        outcome = hand_over(server.url, timeout=10 * TRICKLE)
        assert server.visits[0].has_ended.wait(2 * PATIENT)

    assert (outcome.effect, outcome.status) == (Effect.UNKNOWN, 200)
    assert outcome.excerpt
    assert server.visits[0].client_left_first


# Statuses that say what to do next.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("Location: {elsewhere}\r\nContent-Length: 0\r\n\r\n", id="to elsewhere"),
        pytest.param("Location: {elsewhere}\r\nContent-Length: 100\r\n\r\ncut", id="with a body that is cut"),
        pytest.param("Location: http://[/\r\nContent-Length: 0\r\n\r\n", id="to an address that is none"),
        pytest.param("Content-Length: 0\r\n\r\n", id="to nowhere"),
    ],
)
def test_a_redirect_is_not_followed(status: int, rest: str) -> None:
    def redirects(visit: Visit) -> None:
        visit.receive_request()
        visit.say(f"HTTP/1.1 {status} Moved\r\n{rest.format(elsewhere=elsewhere.url)}".encode())

    with MisbehavingServer(answering(TAKEN)) as elsewhere, MisbehavingServer(redirects) as server:
        outcome = hand_over(server.url)

    assert outcome.effect is Effect.REFUSED
    assert outcome.status == status
    assert elsewhere.visits == []


def test_what_one_account_is_told_to_remember_goes_out_with_no_request(serve: Serve) -> None:
    """A cookie may stand for the account, and a thread's accounts share their connection."""
    remember = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=the-first\r\nContent-Length: 2\r\n\r\n{}"
    with serve(answering(remember, remember, TAKEN)) as server:
        line = ApiConnection(server.url)
        accounts = [SpaceInvoices(line, token) for token in ("first", "second", "first")]
        assert [send(account).effect for account in accounts] == [Effect.ISSUED] * 3
        line.close()
    assert not any(b"\r\ncookie:" in request.head.lower() for request in server.requests)
    assert [re.findall(rb"Authorization: (\w+)", request.head) for request in server.requests] == [
        [b"first"],
        [b"second"],
        [b"first"],
    ]


def test_a_server_may_say_when_to_come_again(serve: Serve) -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for header, seconds in [("7", 7), (in_a_minute, 60), ("soon", None)]:
        answer = f"HTTP/1.1 503 Unavailable\r\nRetry-After: {header}\r\nContent-Length: 0\r\n\r\n"
        with serve(answering(answer.encode())) as server:
            outcome = hand_over(server.url)

        assert outcome.effect is Effect.NOT_TAKEN
        assert outcome.retry_after == (None if seconds is None else pytest.approx(seconds, abs=PATIENT))


@pytest.mark.parametrize("interim", [b"101 Switching Protocols", b"102 Processing", b"103 Early Hints"])
@pytest.mark.parametrize("first", ["an order", "a question"])
def test_an_answer_that_is_still_to_come_is_not_read_as_that_of_the_next_order(
    serve: Serve, interim: bytes, first: str
) -> None:
    is_first_answered = threading.Event()

    def answers_twice(visit: Visit) -> None:
        visit.receive_request()
        visit.say(b"HTTP/1.1 " + interim + b"\r\n\r\n")
        assert is_first_answered.wait(PATIENT)
        visit.receive_request()  # of the next order, if that comes the same way
        visit.say(TAKEN)

    refused = b"HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 0\r\n\r\n"
    with serve(answers_twice, answering(refused)) as server, an_account(server.url) as account:
        if first == "an order":
            assert send(account).effect is Effect.UNKNOWN
        else:
            with pytest.raises(SpaceInvoicesError, match=interim[:3].decode()):
                account.list_configs("o1")
        is_first_answered.set()
        second = send(account)

    assert second.effect is Effect.REFUSED
    assert [len(visit.requests) for visit in server.visits] == [1, 1]


# Through a proxy.


def refuses_the_tunnel(visit: Visit) -> None:
    visit.receive_head()
    visit.say(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


def cuts_the_tunnel(visit: Visit) -> None:
    visit.receive_head()


def cuts_the_handshake_in_the_tunnel(visit: Visit) -> None:
    visit.receive_head()
    visit.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
    visit.receive()


@pytest.mark.parametrize(
    "behaviour",
    [refuses_the_tunnel, cuts_the_tunnel, cuts_the_handshake_in_the_tunnel, resets_after_the_head],
)
def test_an_order_is_not_taken_without_a_tunnel_through_the_proxy(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MisbehavingServer(behaviour) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        outcome = hand_over("https://api.example/v1")

    assert outcome.effect is Effect.NOT_TAKEN
    assert [request.head.split()[0] for request in proxy.requests] == [b"CONNECT"]
    assert TOKEN.encode() not in proxy.visits[0].read


@pytest.mark.usefixtures("chunks")
def test_an_order_is_not_taken_that_a_proxy_did_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with MisbehavingServer(resets_amid_the_body) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        outcome = hand_over("http://api.example/v1", LARGE)

    assert outcome.effect is Effect.NOT_TAKEN
    assert [request.is_whole for request in proxy.requests] == [False]


# On a connection that was kept.


def test_a_connection_is_used_for_one_order_after_another(serve: Serve) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with serve(answering(TAKEN, chunked, TAKEN)) as server, an_account(server.url) as account:
        outcomes = [send(account) for _ in range(3)]

    assert [outcome.effect for outcome in outcomes] == [Effect.ISSUED] * 3
    assert [outcome.excerpt for outcome in outcomes] == ["{}"] * 3
    assert len(server.visits) == 1


def test_a_connection_is_not_idle_while_an_answer_is_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_IDLE", HASTY)

    def is_slow(visit: Visit) -> None:
        visit.receive_request()
        visit.waits(2 * HASTY)
        visit.say(TAKEN)
        visit.receive_request()
        visit.say(TAKEN)

    with serve(is_slow) as server, an_account(server.url) as account:
        assert [send(account).effect for _ in range(2)] == [Effect.ISSUED] * 2

    assert len(server.visits) == 1


def test_a_connection_that_lay_idle_is_not_used_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_IDLE", 0.0)

    with serve(answering(TAKEN), answering(TAKEN)) as server, an_account(server.url) as account:
        assert [send(account).effect for _ in range(2)] == [Effect.ISSUED] * 2

    assert [len(visit.requests) for visit in server.visits] == [1, 1]


@pytest.mark.parametrize("drop", [close, Visit.reset])
def test_an_order_takes_another_connection_if_the_server_dropped_the_last_one(
    serve: Serve, drop: Behaviour
) -> None:
    def answers_and_drops(visit: Visit) -> None:
        visit.receive_request()
        visit.say(TAKEN)
        drop(visit)

    with serve(answers_and_drops, answering(TAKEN)) as server, an_account(server.url) as account:
        first = send(account)
        assert server.visits[0].has_ended.wait(PATIENT)
        second = send(account)

    assert [first.effect, second.effect] == [Effect.ISSUED] * 2
    assert [len(visit.requests) for visit in server.visits] == [1, 1]


@pytest.mark.parametrize("drop", [close, Visit.reset])
def test_an_order_is_of_unknown_effect_if_the_server_drops_the_connection_as_it_comes(
    serve: Serve, drop: Behaviour
) -> None:
    def drops_at_the_second(visit: Visit) -> None:
        visit.receive_request()
        visit.say(TAKEN)
        visit.receive_request()
        drop(visit)

    with serve(drops_at_the_second) as server, an_account(server.url) as account:
        assert send(account).effect is Effect.ISSUED
        assert send(account).effect is Effect.UNKNOWN

    assert [request.is_whole for request in server.requests] == [True, True]
    assert len(server.visits) == 1


def test_no_order_is_called_not_taken_that_was_read_by_who_dropped_the_connection(serve: Serve) -> None:
    """A race: the reset may meet the head, the body, or nothing but the wait for an answer."""

    def drops_at_the_first_byte(visit: Visit) -> None:
        visit.receive_request()
        visit.say(TAKEN)
        visit.receive_head()
        visit.reset()

    rounds = 50
    second = []
    with serve(*[drops_at_the_first_byte] * rounds) as server:
        for _ in range(rounds):
            with an_account(server.url) as account:
                assert send(account).effect is Effect.ISSUED
                second.append(send(account).effect)

    for effect, visit in zip(second, server.visits, strict=True):
        assert effect in {Effect.UNKNOWN, Effect.NOT_TAKEN}
        assert effect is Effect.UNKNOWN or not visit.requests[1].is_whole
