"""Whether a delivery is to be processed, by what it is about and where it comes from."""

from __future__ import annotations

import pytest

from bridge.issuance import About, Deletion, NotAnOrder, Unreadable
from bridge.pipeline.quarantine import judged
from tests.support.deciding import CARD

OURS = ["shop.example", "shop.example/de"]
FOREIGN = "quarantined", "it comes from copy.example, and the store's shop is shop.example, shop.example/de"


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (CARD, ("received", None)),  # it names no site
        (Deletion(1, "shop.example/de"), ("received", None)),
        (Unreadable("why", 1, "shop.example"), ("unreadable", "why")),
        (NotAnOrder("why", 1, "shop.example"), ("ignored", "why")),
        (Deletion(1, "copy.example"), FOREIGN),
        (Unreadable("why", 1, "copy.example"), FOREIGN),
        # What is no order is of no use from wherever it comes.
        (NotAnOrder("why", 1, "copy.example"), ("ignored", "why")),
    ],
)
def test_a_delivery_is_judged_by_what_it_is_about_and_where_it_comes_from(
    about: About, expected: tuple[str, str | None]
) -> None:
    assert judged(about, OURS) == expected


def test_while_no_address_is_known_none_is_foreign() -> None:
    assert judged(Deletion(1, "copy.example"), []) == ("received", None)
    assert judged(Unreadable("why", 1, "copy.example"), []) == ("unreadable", "why")
