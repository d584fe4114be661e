"""What a delivery says: an order, a deletion, or neither. Its body is read, whatever is in it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.issuance import (
    About,
    Deletion,
    Details,
    NotAnOrder,
    Order,
    Timekeeping,
    Unreadable,
    address_of,
    content_digest,
    printable,
    read_delivery,
)
from bridge.ledger.order_details import written
from tests import recorded
from tests.recorded import Recorded

FILES = ["life-of-a-store", "not-a-current-order", "odd-secrets", "same-second-burst"]
EVERYTHING = [one for name in FILES for one in recorded.load(name)]
ORDER: dict[str, Any] = next(one for one in EVERYTHING if one.scenario == "paid_at_once").order()

SHOP_404 = (
    "an error of the shop instead of an order (404): "
    "the order is gone, or the webhook's API version is too old for this shop"
)
LEGACY = "the legacy API v3: set the webhook's API version to v3 (WP REST API)"
CUSTOM_TOPIC = "a custom topic: it names an action, not the order"

quickly = settings(max_examples=200, deadline=None, derandomize=True)


def body(**changes: object) -> bytes:
    """A recorded order with other properties. `...` takes one away."""
    members = {**ORDER, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def read(raw: bytes, topic: str = "order.updated", source: str = "") -> About:
    """What a delivery says, of which every test wants that the ledger can keep it."""
    about = read_delivery(topic, raw, source)
    for field in dataclasses.fields(about):
        value = getattr(about, field.name)
        if isinstance(value, str):
            assert "\0" not in value
            value.encode("utf-8")
    assert about.resource_id is None or 0 < about.resource_id < 2**63
    if isinstance(about, Order):
        assert about.modified.tzinfo is UTC
        assert about.status
        assert about.currency
        assert about.total
        written(about.details).encode("utf-8")
    if isinstance(about, NotAnOrder | Unreadable):
        assert about.reason
        assert len(about.reason) < 400
        assert about.reason.isprintable()
    return about


def read_order(**changes: object) -> Order:
    about = read(body(**changes))
    assert isinstance(about, Order), about
    return about


def refusal(raw: bytes, topic: str = "order.updated") -> str:
    about = read(raw, topic)
    assert isinstance(about, NotAnOrder), about
    return about.reason


LIKE_AN_ORDER = "it looks like an order, and cannot be read: "


def unreadable(raw: bytes, topic: str = "order.updated") -> str:
    """What is wrong with what looks like an order; under another topic, nobody misses an order in it."""
    about = read(raw, topic)
    assert isinstance(about, Unreadable), about
    elsewhere = read(raw, "product.updated")
    assert elsewhere == NotAnOrder(
        "another topic: product.updated is not about orders", about.resource_id, about.shop
    ), elsewhere
    assert about.reason.startswith(LIKE_AN_ORDER)
    return about.reason.removeprefix(LIKE_AN_ORDER)


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


@pytest.mark.parametrize("one", RECORDED_ORDERS, ids=lambda one: f"{one.seq}")
def test_a_recorded_order_is_read_as_it_was_sent(one: Recorded) -> None:
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


# API v1, which has no *_gmt.


def without_gmt(**changes: object) -> bytes:
    return body(**{name: ... for name in ORDER if name.endswith("_gmt")}, meta_data=..., **changes)


def test_an_order_of_api_v1_is_read_by_its_local_times() -> None:
    about = read(without_gmt(date_modified="2026-11-23T12:49:32"))

    assert isinstance(about, Order)
    assert about.modified == datetime(2026, 11, 23, 12, 49, 32, tzinfo=UTC)
    assert about.has_date_paid
    assert about.details.timekeeping is Timekeeping.LOCAL
    assert about.details.created == datetime.fromisoformat(ORDER["date_created"] + "+00:00")
    assert about.details.created_is_local


@pytest.mark.parametrize(
    ("changes", "modified", "timekeeping"),
    [
        ({}, ORDER["date_modified_gmt"], Timekeeping.UTC),
        ({"date_modified_gmt": None}, ORDER["date_modified"], Timekeeping.LOCAL),
        # It says by itself how far from UTC it is.
        (
            {"date_modified_gmt": None, "date_modified": "2026-11-23T12:49:32+01:00"},
            "2026-11-23T11:49:32",
            Timekeeping.UTC,
        ),
        ({"date_modified_gmt": None, "date_modified": None}, ORDER["date_created_gmt"], Timekeeping.UTC),
        (
            {"date_modified_gmt": None, "date_modified": None, "date_created_gmt": None},
            ORDER["date_created"],
            Timekeeping.LOCAL,
        ),
    ],
)
def test_a_time_of_the_shops_own_is_never_taken_for_utc(
    changes: dict[str, object], modified: str, timekeeping: Timekeeping
) -> None:
    about = read_order(**changes)

    assert about.modified == datetime.fromisoformat(modified + "+00:00")
    assert about.details.timekeeping is timekeeping
    assert about.details.created_is_local is ("date_created_gmt" in changes)


def test_an_order_of_api_v1_is_unpaid_without_a_date() -> None:
    about = read(without_gmt(date_paid=None))

    assert isinstance(about, Order)
    assert not about.has_date_paid


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"date_paid_gmt": None}, True),
        ({"date_paid": None}, True),
        ({"date_paid": None, "date_paid_gmt": None}, False),
        ({"date_paid": ..., "date_paid_gmt": ...}, False),
        ({"date_paid": "", "date_paid_gmt": ""}, False),
    ],
)
def test_either_payment_date_says_that_it_is_paid(changes: dict[str, object], expected: bool) -> None:
    assert read_order(**changes).has_date_paid is expected


# Fields.


WRONG = "missing or of the wrong type"


@pytest.mark.parametrize(
    "bad", [..., None, True, False, 0, -1, 2**63, int("9" * 400), 1.5, 328.0, "", [], {}, [328]]
)
def test_an_id_that_is_no_positive_bigint_is_not_read(bad: object) -> None:
    assert unreadable(body(id=bad)) == f"id {WRONG}"


@pytest.mark.parametrize(
    "bad", ["x", "0", "-5", " 5", "5 ", "5.0", "1e3", "\uff11\uff12", "1_000", "9" * 19, "9" * 20]
)
def test_a_text_that_is_no_id_is_not_read(bad: str) -> None:
    assert unreadable(body(id=bad)) == f"id {bad!r}"


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("11485", 11485), (str(2**63 - 1), 2**63 - 1)])
def test_an_id_may_be_a_text(text: str, expected: int) -> None:
    assert read_order(id=text).resource_id == read_order(id=expected).resource_id == expected


@pytest.mark.parametrize("bad", [..., None, True, 5, 1.5, [], {}, ["EUR"], {"a": 1}, "", "x" * 201])
@pytest.mark.parametrize("field", ["status", "currency"])
def test_a_text_of_another_type_is_refused_by_name(field: str, bad: object) -> None:
    says = f"{field} '{'x' * 60}'" if bad == "x" * 201 else f"{field} {WRONG}"

    assert unreadable(body(**{field: bad})) == says


@pytest.mark.parametrize("bad", [True, 5, 1.5, ["EUR"], {"a": 1}, "x" * 201])
def test_a_key_of_another_type_is_refused(bad: object) -> None:
    assert unreadable(body(order_key=bad)) == f"order_key {WRONG}"


@pytest.mark.parametrize("empty", [..., None, "", False])
def test_an_imported_order_has_no_key(empty: object) -> None:
    assert read_order(order_key=empty).order_key == ""


@pytest.mark.parametrize("bad", ["\0", "a\0b", "\ud800", "a\udfff", "a\nb", "\x1b[2J", "\u202e"])
@pytest.mark.parametrize("field", ["order_key", "status", "currency", "total"])
def test_a_text_that_no_column_can_hold_is_refused_by_name(field: str, bad: str) -> None:
    says = WRONG if field == "order_key" else repr(printable(bad))

    assert unreadable(body(**{field: bad})) == f"{field} {says}"


@pytest.mark.parametrize("bad", [..., None, True, 5.5, [], "", "\0", "\ud800", "a\nb", "x" * 201])
def test_an_order_may_lack_a_number_and_a_payment_method(bad: object) -> None:
    about = read_order(number=bad, payment_method=bad)

    assert about.number == str(ORDER["id"])
    assert about.payment_method == ""


def test_a_number_may_be_one() -> None:
    assert read_order(number=20340).number == "20340"


def test_everything_that_is_missing_is_named() -> None:
    names = ["id", "status", "currency", "total", "date_modified_gmt"]
    wrong = {"order_key": 5, "refunds": 5, "parent_id": "x"}

    assert unreadable(b'{"line_items":[]}') == ", ".join(f"{one} {WRONG}" for one in names)
    assert unreadable(json.dumps({**wrong, "line_items": []}).encode()) == ", ".join(
        f"{one} {WRONG}" for one in ["id", "order_key", *names[1:], "refunds", "parent_id"]
    )


def test_what_has_neither_an_id_nor_lines_is_no_order() -> None:
    assert refusal(b'{"total":"1.00"}') == (f"not an order: id, status, currency, date_modified_gmt {WRONG}")
    assert refusal(b"{}", "product.updated") == "another topic: product.updated is not about orders"


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        ("0.00", "0.00"),
        ("350", "350"),
        ("300.00", "300.00"),
        ("-12.50", "-12.50"),
        ("40.979999999999997", "40.979999999999997"),
        ("007.50", "007.50"),
        (".5", ".5"),
        ("12.", "12."),
        # A plugin's numbers
        (12, "12"),
        (12.5, "12.5"),
    ],
)
def test_a_total_stays_the_text_that_it_is(total: object, expected: str) -> None:
    assert read_order(total=total).total == expected


@pytest.mark.parametrize(
    "bad",
    [
        "free",
        "12,50",
        "1,234.50",
        "1.234,50",
        "1 234.50",
        "1.2.3",
        "€12.50",
        "NaN",
        "nan",
        "sNaN",
        "Infinity",
        "-Infinity",
        "inf",
        "1e3",
        "1E+2",
        "1E+99999999999999999999",
        "\uff11\uff12",
        "1_000",
        " 5",
        "5 ",
        "+5",
        "--5",
        "-",
        ".",
        "0x10",
    ],
)
def test_a_text_that_is_no_amount_is_shown(bad: str) -> None:
    assert unreadable(body(total=bad)) == f"total {bad!r}"
    assert unreadable(body(refunds=[{"total": bad}])) == f"refunds {WRONG}"


@pytest.mark.parametrize(
    "bad", [..., None, True, "", float("nan"), float("inf"), 1e16, 1e-7, [], ["12.50"], {}, int("1" * 300)]
)
def test_a_total_that_is_no_amount_is_not_read(bad: object) -> None:
    assert unreadable(body(total=bad)) == f"total {WRONG}"


def test_a_total_is_never_cut_short() -> None:
    """Of 300 digits the first 200 are another amount."""
    assert unreadable(body(total="1" * 201)) == f"total '{'1' * 60}'"
    assert read_order(total="1" * 200).total == "1" * 200


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("processing", "processing"),
        ("wc-processing", "processing"),  # as the database has it
        ("wc-backorder", "backorder"),
        ("backorder", "backorder"),
    ],
)
def test_a_status_is_read_without_its_prefix(status: str, expected: str) -> None:
    assert read_order(status=status).status == expected


def test_a_prefix_alone_is_no_status() -> None:
    assert unreadable(body(status="wc-")) == "status 'wc-'"


@pytest.mark.parametrize(
    ("refunds", "has_some", "paid_back"),
    [
        ([{"id": 1, "reason": "", "total": "-10.00"}], True, "10.00"),
        ([{"total": "-10.00"}, {"total": "-0.50"}], True, "10.50"),
        ([{"total": "10.00"}, {"total": -5}], True, "15.00"),  # as some versions have it
        ([{"total": "0.00"}], True, "0.00"),
        ([], False, "0"),
        ({}, False, "0"),  # PHP's empty array may be either
        (None, False, "0"),
        (..., False, "0"),
    ],
)
def test_refunds_are_summed(refunds: object, has_some: bool, paid_back: str) -> None:
    about = read_order(refunds=refunds)

    assert (about.has_refunds, about.details.paid_back) == (has_some, paid_back)


@pytest.mark.parametrize(
    "refunds", [{"1": {"total": "-1.00"}}, ["-1.00"], [{}], [{"total": None}], [{"total": "-1"}, {}], "-1", 5]
)
def test_refunds_that_cannot_be_summed_are_no_guess(refunds: object) -> None:
    assert unreadable(body(refunds=refunds)) == f"refunds {WRONG}"


@pytest.mark.parametrize(
    ("parent_id", "expected"),
    [(428, 428), ("428", 428), (0, 0), ("0", 0), (None, 0), ("", 0), (False, 0), (..., 0)],
)
def test_a_part_of_an_order_knows_of_which(parent_id: object, expected: int) -> None:
    assert read_order(parent_id=parent_id).details.parent_id == expected


@pytest.mark.parametrize("bad", [True, -1, 1.5, "x", [], [428], {}, 2**63])
def test_a_parent_that_is_none_is_no_guess(bad: object) -> None:
    assert unreadable(body(parent_id=bad)) == f"parent_id {WRONG}"


# Dates.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T11:49:32", datetime(2026, 11, 23, 11, 49, 32, tzinfo=UTC)),
        ("2026-11-23T11:49:32Z", datetime(2026, 11, 23, 11, 49, 32, tzinfo=UTC)),
        ("2026-11-23T12:49:32+01:00", datetime(2026, 11, 23, 11, 49, 32, tzinfo=UTC)),
        ("2026-11-23 11:49:32", datetime(2026, 11, 23, 11, 49, 32, tzinfo=UTC)),
        ("1970-01-01T00:00:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_date_is_utc_unless_it_says_otherwise(text: str, expected: datetime) -> None:
    assert read_order(date_modified_gmt=text).modified == expected


NO_DATES: list[object] = [
    ...,
    None,
    True,
    0,
    1764000000,
    "",
    "yesterday",
    "0000-00-00T00:00:00",
    "2026-02-30T00:00:00",
    "2026-11-23T25:00:00",
    "10000-01-01T00:00:00",
    "0001-01-01T00:00:00+01:00",  # before the first moment there is
    "9999-12-31T23:59:59-01:00",  # after the last
    "2026-11-23T11:49:32+99:00",
    "2026-11-23T11:49:32\ud800",
    "2" * 100_000,
    [],
    {},
]


@pytest.mark.parametrize("bad", NO_DATES)
def test_an_order_without_any_date_is_refused(bad: object) -> None:
    dates = ("date_modified_gmt", "date_modified", "date_created_gmt", "date_created")

    assert unreadable(body(**dict.fromkeys(dates, bad))) == f"date_modified_gmt {WRONG}"
    assert read_order(date_created=bad, date_created_gmt=bad).details.created is None


@pytest.mark.parametrize("bad", NO_DATES)
def test_the_next_best_date_stands_in(bad: object) -> None:
    created = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)

    about = read_order(
        date_modified_gmt=bad, date_modified=bad, date_created_gmt="2026-11-23T11:00:00", date_created=bad
    )

    assert about.modified == created


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


@pytest.mark.parametrize("one", RECORDED_ORDERS[:20], ids=lambda one: f"{one.seq}")
def test_an_order_is_the_same_delivery_under_any_topic(one: Recorded) -> None:
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
