"""The client against servers that answer as shops, firewalls and broken plugins do."""

from __future__ import annotations

import gzip
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.shop import (
    AnswerError,
    BusyError,
    Endpoint,
    FirewallError,
    KeyRefusedError,
    Login,
    MaintenanceError,
    NotAShopError,
    PermalinksError,
    RedirectedError,
    RightsError,
    Shop,
    ShopError,
    ShopUnreachableError,
)
from tests.support.misbehaving import MisbehavingServer, Visit
from tests.support.odd_shop import API, KEYS, Asked, Behaviour, OddShop, Told, data, page, refusal

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
WEBHOOK = {"id": 3, "name": "n", "status": "active", "topic": "order.updated", "delivery_url": "https://b/x"}


@contextmanager
def opened(behaviour: Behaviour, **options: Any) -> Iterator[tuple[Shop, OddShop]]:
    with (
        OddShop(behaviour) as odd,
        Shop(odd.endpoint, KEYS, **{"pause": 0, "sleep": _never, **options}) as shop,
    ):
        yield shop, odd


def _never(seconds: float) -> None:
    raise AssertionError(f"waits for {seconds} s")


def failure(call: Callable[[], object], kind: type[ShopError]) -> ShopError:
    with pytest.raises(ShopError) as failed:
        call()
    assert type(failed.value) is kind
    return failed.value


# Orders


def test_an_order_comes_as_the_bytes_that_the_shop_sent() -> None:
    body = b'{"id":7, "total":"1.00","x":"\\u017d\\/"}\n'
    with opened(lambda _: Told(200, body)) as (shop, odd):
        assert shop.order(7) == body
    assert odd.asked[0].path == f"{API}orders/7"
    with opened(lambda _: Told(200, b"\xef\xbb\xbf" + body)) as (shop, _):
        assert shop.order(7) == body


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (refusal(404, "rest_no_route"), NotAShopError),
        (refusal(404, "woocommerce_rest_shop_webhook_invalid_id"), AnswerError),
        (data({"message": "Not found"}, 404), PermalinksError),
        (page(404), PermalinksError),
        (Told(404, b""), PermalinksError),
        (data([], 404), PermalinksError),
        (page(410), PermalinksError),
    ],
)
def test_only_woocommerce_itself_says_that_an_order_is_gone(told: Told, kind: type[ShopError]) -> None:
    with opened(lambda _: refusal(404, "woocommerce_rest_shop_order_invalid_id")) as (shop, _):
        assert shop.order(7) is None
    with opened(lambda _: told) as (shop, _):
        failure(lambda: shop.order(7), kind)


@pytest.mark.parametrize(
    ("told", "kind", "text"),
    [
        (data({"id": 8}), AnswerError, "something else"),
        (data([{"id": 7}]), AnswerError, "something else"),
        (Told(200, b""), AnswerError, "nothing"),
        (Told(204, b""), AnswerError, "nothing"),
        (Told(200, b'{"id": 7, "tot'), AnswerError, "not all of it"),
        (Told(200, b"[" * 100_000), AnswerError, "not JSON"),
        (Told(200, b'{"id": ' + b"9" * 5000 + b"}"), AnswerError, ""),
        (Told(200, b'<br />\n<b>Notice</b>:  Undefined x in y.php\n{"id": 7}'), AnswerError, "WP_DEBUG"),
        (Told(200, b'\nWarning: Undefined x in y.php\n{"id": 7}'), AnswerError, "WP_DEBUG"),
        (page(200), FirewallError, "web page"),
        (page(403), FirewallError, "allow requests of spacebridge"),
        (page(406), FirewallError, "406"),
        (page(401, WWW_Authenticate='Basic realm="staging"'), FirewallError, "password"),
        (refusal(403, "rest_forbidden"), RightsError, "shop manager"),
        (refusal(403, "wordfence_blocked"), FirewallError, "wordfence_blocked"),
        (refusal(403, "<b>code</b>"), FirewallError, "403"),
        (refusal(401, "woocommerce_rest_cannot_view"), KeyRefusedError, "does not accept the key"),
        (page(301, Location="https://www.shop.example/?oauth_signature=x"), RedirectedError, "www.shop"),
        (page(302), RedirectedError, "to where no shop is"),
        (page(302, Location="mailto:x"), RedirectedError, "to where no shop is"),
        (Told(304, b""), RedirectedError, "304"),
        (page(503), MaintenanceError, "maintenance"),
        (page(500), AnswerError, "its log"),
        (refusal(500, "internal_server_error"), AnswerError, "its log"),
        (page(502), ShopUnreachableError, "502"),
        (page(521), ShopUnreachableError, "521"),
        (refusal(400, "rest_invalid_param"), AnswerError, "rest_invalid_param"),
        (page(407), ShopUnreachableError, "proxy"),
    ],
)
def test_an_answer_that_is_no_order_says_what_it_is(told: Told, kind: type[ShopError], text: str) -> None:
    # A refused key is tried a second time: the first answer tells the time by which the second one signs.
    with opened(lambda _: told) as (shop, _):
        assert text in str(failure(lambda: shop.order(7), kind))


def test_the_highest_id_is_asked_for_and_may_be_none() -> None:
    with opened(lambda _: data([{"id": "41"}])) as (shop, odd):
        assert shop.highest_order_id() == 41
    assert odd.asked[0].query["orderby"] == "id"
    with opened(lambda _: data([])) as (shop, _):
        assert shop.highest_order_id() == 0
    with opened(lambda _: data([{}])) as (shop, _):
        failure(shop.highest_order_id, AnswerError)
    with opened(lambda _: data({})) as (shop, _):
        failure(shop.highest_order_id, AnswerError)


def test_listings_ask_in_utc_for_few_fields() -> None:
    with opened(lambda _: data([])) as (shop, odd):
        assert list(shop.modified_since(NOON, NOON + timedelta(hours=1), status="processing")) == []
        assert list(shop.created_since(NOON, NOON + timedelta(hours=1))) == []
        assert list(shop.trashed()) == []
        assert list(shop.refunds_since(NOON)) == []
    modified, created, trashed, refunds = [asked.query for asked in odd.asked]
    assert modified["modified_after"] == created["after"] == refunds["after"] == "2026-11-01T12:00:00"
    assert modified["modified_before"] == created["before"] == "2026-11-01T13:00:00"
    assert (modified["status"], created["status"], trashed["status"]) == ("processing", "any", "trash")
    assert (modified["orderby"], created["orderby"], modified["order"]) == ("modified", "date", "asc")
    assert {modified["dates_are_gmt"], created["dates_are_gmt"], refunds["dates_are_gmt"]} == {"true"}
    assert "date_modified_gmt" in modified["_fields"].split(",")
    assert odd.asked[3].path == f"{API}refunds"


def test_a_page_that_takes_too_long_is_asked_for_in_smaller_ones() -> None:
    def behave(asked: Asked) -> Told:
        return page(504) if int(asked.query["per_page"]) > 20 else data([{"id": 7}])

    with opened(behave) as (shop, odd):
        assert [[row.id for row in rows] for rows in shop.trashed()] == [[7]]
        assert shop.page_size == 20
    assert [asked.query["per_page"] for asked in odd.asked] == ["100", "50", "20"]
    with opened(lambda _: page(504), page_size=20) as (shop, odd):
        failure(lambda: list(shop.trashed()), ShopUnreachableError)
    assert [asked.query["per_page"] for asked in odd.asked] == ["20", "10"]


def test_more_rows_than_were_asked_for_are_not_believed() -> None:
    with opened(lambda _: data([{"id": number} for number in range(1, 12)]), page_size=10) as (shop, _):
        assert "per_page" in str(failure(lambda: list(shop.trashed()), AnswerError))


# Webhooks, notes and the shop itself


def test_webhooks_are_listed_over_all_pages() -> None:
    def behave(asked: Asked) -> Told:
        first = 100 * int(asked.query["page"]) - 99
        return data([{**WEBHOOK, "id": number} for number in range(first, min(first + 100, 151))])

    with opened(behave) as (shop, odd):
        webhooks = shop.webhooks()
    assert [webhook.id for webhook in webhooks] == list(range(1, 151))
    assert webhooks[0].delivery_url == "https://b/x"
    assert webhooks[0].modified is None
    assert odd.asked[0].query["status"] == "all"
    with opened(lambda _: data([{**WEBHOOK, "id": 1}] * 100)) as (shop, _):
        assert "page" in str(failure(shop.webhooks, AnswerError))


def test_webhooks_are_created_changed_and_deleted() -> None:
    with opened(lambda _: data(WEBHOOK, 201)) as (shop, odd):
        made = shop.create_webhook(name="n", topic="t", delivery_url="https://b/x", secret="s")
        assert made.id == 3
        assert shop.update_webhook(3, secret="other", status="paused").id == 3
        shop.delete_webhook(3)
    assert [(asked.method, asked.path) for asked in odd.asked] == [
        ("POST", f"{API}webhooks"),
        ("PUT", f"{API}webhooks/3"),
        ("DELETE", f"{API}webhooks/3"),
    ]
    assert json.loads(odd.asked[0].body) == {
        "name": "n",
        "topic": "t",
        "delivery_url": "https://b/x",
        "secret": "s",
        "status": "active",
    }
    assert json.loads(odd.asked[1].body) == {"secret": "other", "status": "paused"}
    assert odd.asked[2].query["force"] == "true"


def test_a_webhook_that_is_not_to_be_active_yet_is_saved_twice() -> None:
    def behave(asked: Asked) -> Told:  # WooCommerce ignores the status of a new one
        return data({**WEBHOOK, "status": "active" if asked.method == "POST" else "paused"})

    with opened(behave) as (shop, odd):
        made = shop.create_webhook(name="n", topic="t", delivery_url="u", secret="s", status="paused")
    assert made.status == "paused"
    assert [(asked.method, asked.path) for asked in odd.asked] == [
        ("POST", f"{API}webhooks"),
        ("PUT", f"{API}webhooks/3"),
    ]


def test_a_webhook_that_is_gone_is_deleted_and_another_404_is_not() -> None:
    with opened(lambda _: refusal(404, "woocommerce_rest_shop_webhook_invalid_id")) as (shop, _):
        shop.delete_webhook(3)
        failure(lambda: shop.update_webhook(3, status="paused"), AnswerError)
    with opened(lambda _: page(404)) as (shop, _):
        failure(lambda: shop.delete_webhook(3), PermalinksError)


@pytest.mark.parametrize(
    ("told", "can_write"),
    [
        (refusal(404, "woocommerce_rest_shop_webhook_invalid_id"), True),
        (refusal(400, "woocommerce_rest_shop_webhook_invalid_id"), True),
        (refusal(401, "woocommerce_rest_authentication_error"), False),
        (refusal(403, "woocommerce_rest_cannot_edit"), False),
        (page(403), False),
    ],
)
def test_whether_a_key_may_write_is_proved_by_a_write_to_nothing(told: Told, can_write: bool) -> None:
    with opened(lambda asked: data([]) if asked.method == "GET" else told) as (shop, odd):
        permissions = shop.permissions()
    assert permissions.can_write is can_write
    assert (permissions.why_not is None) is can_write
    written = [asked for asked in odd.asked if asked.method != "GET"]
    assert all((asked.path, asked.body) == (f"{API}webhooks/2147483647", b"{}") for asked in written)


def test_a_write_with_a_key_that_is_refused_altogether_does_not_blame_its_rights() -> None:
    with opened(lambda _: refusal(401, "woocommerce_rest_authentication_error")) as (shop, _):
        failure(shop.permissions, KeyRefusedError)
        failure(lambda: shop.add_note(7, "x"), KeyRefusedError)


def test_notes_are_read_and_added() -> None:
    listed = [{"id": 1, "note": "Hello", "author": "system", "customer_note": False}]
    with opened(lambda asked: data(listed if asked.method == "GET" else listed[0])) as (shop, odd):
        shop.add_note(7, "Hello")
        assert [(note.id, note.text, note.is_for_customer) for note in shop.notes(7)] == [(1, "Hello", False)]
    assert (odd.asked[0].path, json.loads(odd.asked[0].body)) == (f"{API}orders/7/notes", {"note": "Hello"})


def test_the_status_tells_versions_and_where_orders_are() -> None:
    whole = {
        "environment": {"home_url": "https://shop.example", "version": "11.0.1", "wp_version": "6.9"},
        "settings": {"HPOS_enabled": True},
    }
    with opened(lambda _: data(whole)) as (shop, _):
        status = shop.system_status()
    assert (status.woocommerce, status.wordpress, status.is_hpos) == ("11.0.1", "6.9", True)
    assert status.home_url == "https://shop.example"
    with opened(lambda _: data({"environment": {}, "settings": None})) as (shop, _):
        assert shop.system_status().is_hpos is None
    with opened(lambda _: data([])) as (shop, _):
        failure(shop.system_status, AnswerError)


def test_the_clock_is_the_shops() -> None:
    date = {"Date": "Sun, 01 Nov 2026 12:00:00 GMT"}
    with opened(lambda _: Told(200, b"[]", date)) as (shop, odd):
        assert shop.clock == NOON
        assert shop.clock == NOON
    assert len(odd.asked) == 1
    with opened(lambda _: Told(200, b"[]", {"Date": "noon"})) as (shop, _):
        failure(lambda: shop.clock, AnswerError)


# Politeness and bounds


def test_requests_are_apart_by_a_pause() -> None:
    waits: list[float] = []
    with opened(lambda _: data([]), pause=3600, sleep=waits.append) as (shop, _):
        shop.highest_order_id()
        assert waits == []
        shop.highest_order_id()
    assert len(waits) == 1
    assert 3000 < waits[0] <= 3600


def test_a_shop_that_asks_for_a_short_wait_is_asked_again() -> None:
    waits: list[float] = []
    answers = [page(429, Retry_After="7"), page(429), data([{"id": 7}])]
    with opened(lambda _: answers.pop(0), sleep=waits.append) as (shop, _):
        assert shop.highest_order_id() == 7
    assert waits == [7, 10]


@pytest.mark.parametrize(("retry_after", "asked"), [("61", 1), ("99999999999", 1), ("1", 3)])
def test_a_shop_that_stays_busy_is_left_alone(retry_after: str, asked: int) -> None:
    with opened(lambda _: page(429, Retry_After=retry_after), sleep=lambda _: None) as (shop, odd):
        error = failure(shop.highest_order_id, BusyError)
    assert isinstance(error, BusyError)
    assert error.retry_after == min(float(retry_after), 3600)
    assert len(odd.asked) == asked


@pytest.mark.parametrize("is_compressed", [False, True])
def test_an_answer_over_20_mb_is_not_read(is_compressed: bool) -> None:
    body = b" " * (20 * 2**20 + 1)
    told = Told(200, gzip.compress(body), {"Content-Encoding": "gzip"}) if is_compressed else Told(200, body)
    with opened(lambda _: told) as (shop, _):
        assert "20 MB" in str(failure(lambda: shop.order(7), AnswerError))


def _drip(visit: Visit) -> None:
    visit.receive_request()
    visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while visit.waits(0.05):
        visit.say(b" ")


def _say_nothing(visit: Visit) -> None:
    visit.receive_request()
    visit.wait()


def _reset(visit: Visit) -> None:
    visit.receive_request()
    visit.reset()


def _stop_within(visit: Visit) -> None:
    visit.receive_request()
    visit.say(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": 7}')


def _speak_no_http(visit: Visit) -> None:
    visit.receive_request()
    visit.say(b"220 mail.example ESMTP\r\n")


def _break_a_chunk(visit: Visit) -> None:
    visit.receive_request()
    visit.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")


@pytest.mark.parametrize(
    ("behave", "text"),
    [
        (_drip, "completely within 0.5 s"),
        (_say_nothing, "completely within 0.5 s"),
        (_reset, "broke off"),
        (_stop_within, "broke off"),
        (_speak_no_http, "broke off"),
        (_break_a_chunk, "broke off"),
    ],
)
def test_an_answer_that_does_not_come_whole_is_none(behave: Callable[[Visit], None], text: str) -> None:
    with MisbehavingServer(behave) as server:
        url = server.url.removesuffix("/v1")
        with Shop(Endpoint(url, url + API, Login.OAUTH), KEYS, read_timeout=0.5) as shop:
            assert text in str(failure(lambda: shop.order(7), ShopUnreachableError))


# Secrets


@pytest.mark.parametrize("login", list(Login))
@pytest.mark.parametrize(
    "told",
    [
        data([]),
        page(403, "<html>ck_0123456789abcdef"),
        page(302, Location="https://x.example/?oauth_signature=abc"),
        refusal(400, "x", "cs_fedcba9876543210"),
        None,  # the connection is reset
    ],
)
def test_no_key_gets_into_an_error_or_a_log(
    login: Login, told: Told | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3")  # which the bridge has say less
    if told is None:
        with MisbehavingServer(_reset) as server:
            texts = _texts_of_failure(Endpoint(server.url, server.url + API, login))
    else:
        with OddShop(lambda _: told) as odd:
            texts = _texts_of_failure(Endpoint(odd.url, odd.url + API, login))
    logged = [f"{record.getMessage()} {record.args}" for record in caplog.records]
    assert any("/wp-json/wc/v3/orders/7" in line for line in logged) is (told is not None)
    for text in [*texts, *logged]:
        for secret in (KEYS.consumer_key, KEYS.consumer_secret, "oauth_", "consumer_", "Basic "):
            assert secret not in text


def _texts_of_failure(endpoint: Endpoint) -> list[str]:
    with Shop(endpoint, KEYS, pause=0) as shop, pytest.raises(ShopError) as failed:
        shop.order(7)
    error = failed.value
    assert error.__context__ is None
    assert error.__cause__ is None
    return [
        str(error),
        repr(error),
        repr(vars(error)),
        "".join(traceback.format_exception(error)),
        repr(shop),
    ]


def test_keys_are_not_shown() -> None:
    assert repr(KEYS) == "ShopKeys()"
