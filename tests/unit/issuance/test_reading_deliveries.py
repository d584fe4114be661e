"""What a delivery says: an order, a deletion, or neither. Its body is read, whatever is in it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.issuance import (
    Deletion,
    Details,
    NotAnOrder,
    Order,
    Unreadable,
    address_of,
    content_digest,
    printable,
    read_delivery,
)
from tests.support import recorded
from tests.support.reading import (
    EVERYTHING,
    LIKE_AN_ORDER,
    ORDER,
    body,
    read,
    read_order,
    refusal,
    unreadable,
)
from tests.support.recorded import Recorded

SHOP_404 = (
    "an error of the shop instead of an order (404): "
    "the order is gone, or the webhook's API version is too old for this shop"
)
LEGACY = "the legacy API v3: set the webhook's API version to v3 (WP REST API)"
CUSTOM_TOPIC = "a custom topic: it names an action, not the order"

quickly = settings(max_examples=200, deadline=None, derandomize=True)


# What a real shop sent.


def test_the_recorded_shop_sent_orders_and_little_else() -> None:
    others = {
        one.seq: about
        for one in recorded.load("life-of-a-store")
        if not isinstance(about := read(one.body, one.topic), Order)
    }

    assert others == {
        **{seq: NotAnOrder("unreadable: not JSON") for seq in (1, 2, 3, 4)},  # pings
        455: Deletion(355),
        459: Deletion(355),
        471: NotAnOrder(SHOP_404),  # deleted for good before it was delivered
        486: Deletion(364),
    }


@pytest.mark.parametrize("name", ["odd-secrets", "same-second-burst"])
def test_a_file_of_orders_holds_nothing_else(name: str) -> None:
    assert all(isinstance(read(one.body, one.topic), Order) for one in recorded.load(name))


def test_the_orders_of_one_second_are_told_apart() -> None:
    burst = recorded.load("same-second-burst")

    assert len({one.headers["X-WC-Webhook-Delivery-ID"] for one in burst}) == 1
    assert [about.resource_id for one in burst if isinstance(about := read(one.body), Order)] == list(
        range(371, 386)
    )
    assert len({content_digest(one.topic, one.body) for one in burst}) == 15


def test_what_is_no_current_order_is_recognised_for_what_it_is() -> None:
    about = [read(one.body, one.topic) for one in recorded.load("not-a-current-order")]

    assert Counter(one.reason for one in about if isinstance(one, NotAnOrder)) == {
        "unreadable: not JSON": 5,  # pings
        SHOP_404: 3,  # API v1 on a new shop
        CUSTOM_TOPIC: 18,
        LEGACY: 4,
        "another topic: customer.created is not about orders": 1,
        "another topic: customer.updated is not about orders": 2,
        "another topic: product.updated is not about orders": 2,
        "another topic: coupon.created is not about orders": 1,
    }
    assert len(about) == 36


RECORDED_ORDERS = [one for one in EVERYTHING if isinstance(read_delivery(one.topic, one.body), Order)]


@pytest.mark.parametrize("scenario", sorted({one.scenario for one in RECORDED_ORDERS}))
def test_a_recorded_order_is_read_as_it_was_sent(scenario: str) -> None:
    for one in RECORDED_ORDERS:
        if one.scenario == scenario:
            is_read_as_it_was_sent(one)


def is_read_as_it_was_sent(one: Recorded) -> None:
    sent = one.order()

    about = read(one.body, one.topic)

    assert isinstance(about, Order)
    assert replace(about, details=Details()) == Order(
        resource_id=sent["id"],
        order_key=sent["order_key"],
        number=sent["number"],
        status=sent["status"],
        payment_method=sent["payment_method"],
        total=sent["total"],
        currency=sent["currency"],
        modified=datetime.strptime(sent["date_modified_gmt"] + "+0000", "%Y-%m-%dT%H:%M:%S%z"),
        has_date_paid=sent["date_paid"] is not None,
        has_refunds=sent["refunds"] != [],
    )
    created = datetime.strptime(sent["date_created_gmt"] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    assert about.details == Details(
        created=created,
        payment_title=sent["payment_method_title"],
        paid_back=str(sum(-Decimal(one["total"]) for one in sent["refunds"])),
        invoiced_by=about.details.invoiced_by,
        lines=about.details.lines,
        customer=about.details.customer,
    )
    assert about.shop == address_of(one.headers["X-WC-Webhook-Source"])


def test_the_body_and_not_the_topic_says_that_it_is_an_order() -> None:
    """The headers are not signed: whoever repeats a body can put any topic over it."""
    for topic in ("order.created", "order.deleted", "product.updated", "", "\ud800\0"):
        assert read(body(), topic) == read(body())


# Deletions, and what looks like one.


@pytest.mark.parametrize(
    ("raw", "topic", "expected"),
    [
        (b'{"id":355}', "order.deleted", Deletion(355)),
        (b' {"id" : 355}\n', "order.deleted", Deletion(355)),
        (b'{"id":9223372036854775807}', "order.deleted", Deletion(2**63 - 1)),
        # The same body deletes a customer or a product, too: there, the topic is all there is.
        (b'{"id":355}', "customer.deleted", NotAnOrder("a bare id under the topic customer.deleted", 355)),
        (b'{"id":"355"}', "order.deleted", Deletion(355)),
        # Nothing but the id of an order is left of it.
        (b'{"id":355}', "order.updated", Unreadable("a bare id under the topic order.updated", 355)),
        (b'{"id":355}', "order.restored", Unreadable("a bare id under the topic order.restored", 355)),
        (b'{"id":355}', "", NotAnOrder("a bare id under the topic (none)", 355)),
        (b'{"id":355}', "a\nb\0", NotAnOrder("a bare id under the topic a?b?", 355)),
    ],
)
def test_a_bare_id_deletes_an_order_if_the_topic_says_so(
    raw: bytes, topic: str, expected: Deletion | NotAnOrder | Unreadable
) -> None:
    assert read(raw, topic) == expected


NO_IDS = ["0", "-1", "1.0", "true", "null", '"x"', '""', '" 5"', '"5.0"', '"-5"', "[]", "9223372036854775808"]


@pytest.mark.parametrize(
    "bad", [*NO_IDS, '"9223372036854775808"', '"99999999999999999999"', '"\uff11\uff12"']
)
def test_a_bare_id_that_is_none_deletes_nothing(bad: str) -> None:
    raw = f'{{"id":{bad}}}'.encode()

    assert read(raw, "order.deleted") == Unreadable("an id that is none, and nothing else")
    assert read(raw, "product.deleted") == NotAnOrder("an id that is none, and nothing else")


def test_a_deletion_comes_from_where_its_unsigned_header_says() -> None:
    source = "https://www.Shop.example/de/"

    assert read(b'{"id":355}', "order.deleted", source) == Deletion(355, "shop.example/de")
    assert read(b'{"id":355}', "order.updated", source).shop == "shop.example/de"
    assert read(b'{"id":0}', "order.deleted", source).shop == "shop.example/de"


def test_an_order_comes_from_where_its_signed_body_says() -> None:
    links = {"self": [{"href": "https://staging.shop.example/wp-json/wc/v3/orders/328"}]}

    assert read(body(_links=links), source="https://shop.example/").shop == "staging.shop.example"
    assert read(body(_links=links, total=""), source="https://shop.example/").shop == "staging.shop.example"
    assert read(body(_links=...), source="https://shop.example/").shop == ""


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "(401): the webhook's user may no longer read orders"),
        (403, "(403): the webhook's user may no longer read orders"),
        (404, "(404): the order is gone"),
        (500, "(500): the shop could not read the order"),
        # whatever a plugin made of it
        ("404", "of no known status"),
        (None, "of no known status"),
        (999, "(999)"),
        (1000, "of no known status"),
        (10**30, "of no known status"),
        ([], "of no known status"),
    ],
)
def test_an_error_of_the_shop_is_known_by_its_status(status: object, says: str) -> None:
    raw = json.dumps({"code": "any_code", "message": "Sorry.", "data": {"status": status}}).encode()

    assert says in refusal(raw)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"action":"woocommerce_payment_complete","arg":332}', CUSTOM_TOPIC),
        (b'{"action":"any","arg":[1,2]}', CUSTOM_TOPIC),
        (b'{"order":{"id":1}}', LEGACY),
        (b'{"errors":[{"code":"x"}]}', LEGACY),
    ],
)
def test_other_shapes_are_recognised(raw: bytes, reason: str) -> None:
    assert refusal(raw) == reason


def test_a_subscription_is_no_order_though_it_looks_like_one() -> None:
    for topic in ("subscription.updated", "order.updated"):
        about = read(body(billing_period="month", billing_interval="1"), topic)

        assert replace(about, shop="") == NotAnOrder("a subscription, not an order", ORDER["id"])


@pytest.mark.parametrize(
    "members",
    [
        {"order": {"id": 1}},
        {"errors": ["none"]},
        {"action": "buy", "arg": 1},
        {"code": "a coupon", "data": {"status": 404}},
    ],
)
def test_an_order_is_one_whatever_a_plugin_has_added_to_it(members: dict[str, object]) -> None:
    assert read(body(**members)) == read(body())
    assert unreadable(body(**members, total="12,50")) == "total '12,50'"
    assert unreadable(body(**members, id=...)).startswith("id missing")
    assert unreadable(json.dumps({**members, "id": 5}).encode()).startswith("status missing")


# Bodies of no good will.


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "unreadable: not JSON"),
        (b"webhook_id=1", "unreadable: not JSON"),
        (b'{"id":328,', "unreadable: not JSON"),
        (b"{'id':328}", "unreadable: not JSON"),
        (b'{"id":328}{"id":329}', "unreadable: not JSON"),
        (b"\0", "unreadable: not JSON"),
        (b'{"id":328}\0', "unreadable: not JSON"),
        (b'{"order_key":"\0"}', "unreadable: not JSON"),
        (b'\xef\xbb\xbf{"id":328}', "unreadable: not JSON"),  # a byte order mark
        (b'{"status":"\xff"}', "unreadable: not JSON"),
        (b'{"status":"\xed\xa0\x80"}', "unreadable: not JSON"),  # a surrogate, encoded
        ('{"id":328}'.encode("utf-16"), "unreadable: not JSON"),
        (b'{"id":' + b"9" * 5000 + b"}", "unreadable: not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "unreadable: the JSON is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "unreadable: the JSON is nested too deeply"),
        (b"[" * 100_000, "unreadable: the JSON is nested too deeply"),
        (b"[]", "unreadable: not a JSON object"),
        (b'[{"id":328}]', "unreadable: not a JSON object"),
        (b"null", "unreadable: not a JSON object"),
        (b"true", "unreadable: not a JSON object"),
        (b"328", "unreadable: not a JSON object"),
        (b'"order"', "unreadable: not a JSON object"),
        (b"NaN", "unreadable: not a JSON object"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_what_cannot_be_read_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    assert refusal(raw) == reason


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\xef\xbb\xbf" + body(), "not JSON"),
        (body()[:-1], "not JSON"),
        (body() + b"x", "not JSON"),
        (body(billing={"city": "K\xf6ln"}).replace(b"\\u00f6", b"\xf6"), "not JSON"),
        (body(meta_data=5).replace(b"5", b"[" * 100_000), "the JSON is nested too deeply"),
    ],
    ids=["a mark", "cut off", "goes on", "Latin-1", "deep"],
)
def test_an_order_that_no_decoder_takes_waits_for_a_person(raw: bytes, why: str) -> None:
    assert read(raw, "order.created") == Unreadable(LIKE_AN_ORDER + why)
    assert read(raw, "product.created") == NotAnOrder(f"unreadable: {why}")


@pytest.mark.parametrize("field", ["total", "id", "date_modified_gmt", "line_items", "refunds"])
def test_any_depth_of_nesting_is_survived(field: str) -> None:
    """At some depth the JSON can still be read, and what is made of it hardly."""
    for depth in range(850, 1050):
        for before, after in (("[", "]"), ('{"a":', "}")):
            nested = before * depth + "1" + after * depth
            read(b'{"order_key":"a","%s":%s}' % (field.encode(), nested.encode()))


@pytest.mark.parametrize("field", sorted(ORDER))
def test_nothing_in_any_field_is_fatal(field: str) -> None:
    values: list[object] = [None, True, -1, 1e308, int("9" * 400), "", "\0", "\ud800", [], [[]], {}, {"a": 1}]

    for value in (..., *values):
        read(body(**{field: value}))


@quickly
@given(st.binary(max_size=200), st.text(max_size=80))
def test_no_bytes_are_fatal(raw: bytes, topic: str) -> None:
    read(raw, topic, topic)
    assert len(content_digest(topic, raw)) == 32


any_text = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates, too
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | any_text
    | st.sampled_from(
        ["order.deleted", "processing", "12.50", "2026-11-23T11:49:32", "9999-12-31T23:59:59-01:00"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
telling_names = st.sampled_from(
    [*ORDER, "code", "data", "action", "arg", "order", "errors", "billing_period", "status"]
)


@quickly
@given(any_json, any_text)
def test_no_json_is_fatal(value: object, topic: str) -> None:
    read(json.dumps(value).encode(), topic)


@quickly
@given(st.dictionaries(telling_names, any_json, max_size=8), st.sampled_from(["order.updated", "", "x"]))
def test_no_order_with_anything_in_it_is_fatal(changes: dict[str, object], topic: str) -> None:
    read(body(**changes), topic)
    read(json.dumps(changes).encode(), topic)


# Which deliveries are the same.


def test_an_order_is_the_same_delivery_under_any_topic() -> None:
    for one in RECORDED_ORDERS:
        assert content_digest("order.created", one.body) == content_digest("order.updated", one.body)


def test_created_and_updated_with_one_body_are_one_delivery() -> None:
    created, updated = (one for one in recorded.load("life-of-a-store") if one.scenario == "paid_at_once")

    assert (created.topic, updated.topic) == ("order.created", "order.updated")
    assert content_digest(created.topic, created.body) == content_digest(updated.topic, updated.body)


@pytest.mark.parametrize("raw", [b'{"id":355}', b'{"id": 355}', b' { "id" : 355 }\n'])
def test_a_bare_id_is_another_delivery_under_another_topic(raw: bytes) -> None:
    topics = ["order.deleted", "customer.deleted", "product.deleted", "", "\ud800"]

    assert len({content_digest(topic, raw) for topic in topics}) == len(topics)
    assert content_digest("order.deleted", raw) == content_digest("order.deleted", raw)


def test_a_deletion_in_one_shop_is_not_the_same_in_another() -> None:
    shops = ["", "shop.example", "shop.example/2", "\ud800"]

    assert len({content_digest("order.deleted", b'{"id":"355"}', shop) for shop in shops}) == len(shops)
    assert content_digest("order.deleted", b'{"id":355}') != content_digest(
        "", b'{"id":355}', "order.deleted"
    )
    assert len({content_digest("order.updated", body(), shop) for shop in shops}) == 1


def test_a_deletion_names_no_shop_unless_a_header_did() -> None:
    raw = b'{"id":355}'

    assert read_delivery("order.deleted", raw) == Deletion(355, shop="")
    assert content_digest("order.deleted", raw) == content_digest("order.deleted", raw, shop="")


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"line_items":', b'{"line_items":' + b"[" * 100_000])
def test_what_cannot_be_decoded_names_no_shop(raw: bytes) -> None:
    assert read(raw, source="https://shop.example/").shop == ""


def test_the_same_order_is_the_same_whichever_shop_sent_it() -> None:
    about = read_order()

    assert about.shop
    assert about == replace(about, shop="copy.example")


def test_another_body_is_another_delivery() -> None:
    bodies = [b"", b" ", b'{"id":355}', b'{"id":356}', b'{"id": 355}', body(), body(total="1.00")]

    assert len({content_digest("order.deleted", raw) for raw in bodies}) == len(bodies)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order.updated", "order.updated"),
        ("", "(none)"),
        ("a\r\nb", "a??b"),
        ("\0\x1b[31m\ud800", "??[31m?"),
        ("x" * 61, "x" * 60),
    ],
)
def test_a_header_is_made_fit_to_print(text: str, expected: str) -> None:
    assert printable(text) == expected
