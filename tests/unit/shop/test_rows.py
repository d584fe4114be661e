"""Rows of listings, also odd ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.shop import Listed, Refund
from bridge.shop.rows import id_of, listed, offset, refund

WHOLE = {
    "id": 7,
    "status": "processing",
    "total": "12.30",
    "currency": "EUR",
    "number": "2026-7",
    "refunds": [{"id": 1, "total": "-10.00"}, {"id": 2, "total": "-0.30"}],
    "date_created": "2026-11-01T10:00:00",
    "date_created_gmt": "2026-11-01T09:00:00",
    "date_modified_gmt": "2026-11-02T09:00:00",
}


def test_a_row_is_read() -> None:
    assert listed(WHOLE, 7) == Listed(
        id=7,
        modified=datetime(2026, 11, 2, 9, tzinfo=UTC),
        created=datetime(2026, 11, 1, 9, tzinfo=UTC),
        status="processing",
        total="12.30",
        currency="EUR",
        refunded="10.30",
        number="2026-7",
    )
    assert offset(WHOLE, "date_created") == timedelta(hours=1)
    assert offset(WHOLE, "date_modified") is None


@pytest.mark.parametrize(
    ("odd", "total", "refunded"),
    [
        ({"total": 12.5}, "12.5", "0"),
        ({"total": None, "refunds": None}, "", "0"),
        ({"total": [], "refunds": {"0": {}}}, "", "0"),
        ({"refunds": [None, {"total": "x"}, {"total": "-1"}, {}, {"total": True}]}, "", "1"),
        ({"refunds": [{"total": "NaN"}]}, "", "0"),
        ({"refunds": [{"total": "Infinity"}]}, "", "0"),
        ({"refunds": [{"total": "sNaN"}, {"total": "-2"}]}, "", "2"),
        (
            {"refunds": [{"total": "-9e999999"}, {"total": "-9e999999"}]},
            "",
            "9.000000000000000000000000000E+999999",
        ),
        ({"date_modified_gmt": "0000-00-00T00:00:00", "status": 3, "number": True}, "", "0"),
        ({"date_created_gmt": 5, "date_modified_gmt": {}}, "", "0"),
    ],
)
def test_what_cannot_be_read_leaves_the_row(odd: dict[str, Any], total: str, refunded: str) -> None:
    row = listed({"id": 7, **odd}, 7)
    assert (row.id, row.total, row.refunded) == (7, total, refunded)
    assert row.modified is None
    assert row.created is None


@pytest.mark.parametrize(
    ("row", "row_id"),
    [
        ({"id": 7}, 7),
        ({"id": "7"}, 7),
        ({"id": True}, None),
        ({"id": 0}, None),
        ({"id": -7}, None),
        ({"id": "\u0667"}, None),
        ({"id": 7.0}, None),
        ({"id": "9" * 5000}, None),
        ({}, None),
        ([7], None),
        (None, None),
    ],
)
def test_an_id_is_a_whole_number_above_zero(row: object, row_id: int | None) -> None:
    assert id_of(row) == row_id


def test_a_refund_has_a_positive_amount() -> None:
    row = {"id": 9, "parent_id": 7, "amount": "-3.00", "date_created_gmt": "2026-11-02T09:00:00"}
    assert refund(row, 9) == Refund(9, 7, "3.00", datetime(2026, 11, 2, 9, tzinfo=UTC))
