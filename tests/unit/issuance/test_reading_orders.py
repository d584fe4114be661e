"""What is read of an order, and what in it is no guess: ids, texts, amounts, refunds and dates."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bridge.issuance import Order, Timekeeping, printable
from bridge.issuance.order import decimal
from tests.support.reading import (
    ORDER,
    WRONG,
    body,
    read,
    read_order,
    refusal,
    unreadable,
)

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


@pytest.mark.parametrize("bad", ["", " ", "x", "1,00", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_finite_number_is_no_amount(bad: str) -> None:
    assert decimal(bad) is None


def test_an_amount_is_the_same_with_more_digits() -> None:
    assert decimal("300") == decimal("300.00") == Decimal(300)


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
        (f"2026-11-23T11:49:32.{'0' * 20}", datetime(2026, 11, 23, 11, 49, 32, tzinfo=UTC)),  # 40 characters
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
    f"2026-11-23T11:49:32.{'0' * 21}",  # too long
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
