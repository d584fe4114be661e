"""What the ledger lacks of a listed order, and why no webhook told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.issuance import Details, Timekeeping
from bridge.ledger.absences import Absence
from bridge.ledger.comparison import Known
from bridge.ledger.finds import GONE, MISSING, RESTORED, STALE, TRASHED
from bridge.ledger.shop_webhooks import KnownWebhook
from bridge.ledger.store import Store
from bridge.pipeline.comparison import Witness, difference
from bridge.shop import Listed
from tests.support import stored
from tests.support.books import NOW, snapshot_of

MINUTE = timedelta(minutes=1)
STORE = replace(stored.STORE, created_at=NOW - 60 * MINUTE)
LISTED = Listed(
    id=1,
    modified=NOW,
    created=NOW,
    status="processing",
    total="12.30",
    currency="EUR",
    refunded="0",
    number="1",
)
KNOWN = Known(snapshot_of())


def differ(known: Known = KNOWN, *, store: Store = STORE, **listed: Any) -> str | None:
    return difference(replace(LISTED, **listed), known, store)


def test_an_order_that_is_known_as_it_is_listed_lacks_nothing() -> None:
    assert differ() is None
    assert differ(modified=NOW - MINUTE) is None  # the ledger has a newer state than the page


def test_an_order_of_which_nothing_is_known_is_missing() -> None:
    assert differ(Known()) == MISSING
    assert differ(Known(), status="a-status-of-a-plugin", total="", currency="") == MISSING


@pytest.mark.parametrize("known", [Known(is_under_way=True), replace(KNOWN, is_under_way=True)])
def test_an_order_whose_delivery_is_under_way_lacks_nothing_yet(known: Known) -> None:
    assert differ(known, modified=NOW + MINUTE, status="completed") is None


def test_what_was_modified_later_is_stale() -> None:
    assert differ(modified=NOW + MINUTE) == STALE


@pytest.mark.parametrize(
    "listed",
    [{"status": "completed"}, {"total": "12.31"}, {"currency": "USD"}, {"refunded": "1.00"}],
    ids=lambda listed: next(iter(listed)),
)
def test_what_says_something_else_at_the_same_date_is_stale(listed: dict[str, Any]) -> None:
    assert differ(**listed) == STALE


def test_a_refund_that_was_deleted_is_found_by_content() -> None:
    known = Known(snapshot_of(details=Details(paid_back="10.00")))
    assert differ(known, refunded="10.0") is None
    assert differ(known, refunded="0") == STALE


def test_the_same_sum_in_another_notation_is_the_same() -> None:
    assert differ(total="12.3000") is None


@pytest.mark.parametrize("listed", [{"total": ""}, {"status": ""}, {"currency": ""}, {"total": "1.234,50"}])
def test_what_a_listing_does_not_tell_differs_from_nothing(listed: dict[str, Any]) -> None:
    assert differ(**listed) is None


def test_local_times_are_not_compared_with_those_of_a_listing() -> None:
    known = Known(snapshot_of(details=Details(timekeeping=Timekeeping.LOCAL)))
    assert differ(known, modified=NOW + 120 * MINUTE) is None
    assert differ(known, modified=NOW + 120 * MINUTE, status="completed") == STALE


def test_an_order_in_the_trash_counts_if_it_is_known_and_not_known_as_deleted() -> None:
    assert differ(status="trash") == TRASHED
    assert differ(replace(KNOWN, is_deleted=True), status="trash") is None
    assert differ(Known(snapshot_of(status="trash")), status="trash") is None
    assert differ(Known(), status="trash") is None


def test_a_deleted_order_that_is_listed_has_left_the_trash() -> None:
    assert differ(replace(KNOWN, is_deleted=True)) == RESTORED


def test_nothing_of_the_past_is_missing() -> None:
    before = STORE.created_at - MINUTE
    assert differ(Known(), modified=before, created=before) is None
    # Of before the store was added, and touched since: its webhook would have told, too.
    everything = replace(STORE, options=replace(STORE.options, issue_from=None))
    assert differ(Known(), created=before, store=everything) == MISSING
    later = replace(STORE, options=replace(STORE.options, issue_from=NOW))
    assert differ(Known(), created=NOW - MINUTE, store=later) is None
    assert differ(Known(), created=NOW, store=later) == MISSING
    # What is known goes on, however old it is.
    assert differ(modified=NOW + MINUTE, created=before, store=later) == STALE


def webhook(topic: str, **given: Any) -> KnownWebhook:
    usual = KnownWebhook(1, topic, 7, "active", NOW - 60 * MINUTE, NOW, NOW, None, [], None)
    return replace(usual, **given)


def why(kind: str = STALE, **given: Any) -> str:
    topics = {STALE: "order.updated", MISSING: "order.created", TRASHED: "order.deleted"}
    topics |= {RESTORED: "order.restored", GONE: "order.deleted"}
    witness = Witness(
        webhooks={topics[kind]: webhook(topics[kind], modified=NOW - MINUTE)},
        last_deliveries={topics[kind]: NOW - MINUTE},
        absences=[],
        last_refused_at=None,
    )
    return replace(witness, **given).why(kind, NOW)


@pytest.mark.parametrize("kind", [MISSING, STALE, TRASHED, RESTORED, GONE])
def test_each_topic_is_a_witness_of_its_own(kind: str) -> None:
    assert why(kind) == "never tried"
    assert why(kind, webhooks={}) == "not known"


@pytest.mark.parametrize(
    ("status", "reason"), [("disabled", "switched off"), ("deleted", "deleted"), ("paused", "paused")]
)
def test_a_webhook_that_is_off_is_the_reason(status: str, reason: str) -> None:
    assert why(webhooks={"order.updated": webhook("order.updated", status=status)}) == reason


def test_a_webhook_that_was_made_anew_since_was_off() -> None:
    anew = webhook("order.updated", modified=NOW + 2 * MINUTE, remade=[NOW + MINUTE])
    assert why(webhooks={"order.updated": anew}) == "switched off"
    before = webhook("order.updated", modified=NOW - MINUTE, remade=[NOW - 2 * MINUTE])
    assert why(webhooks={"order.updated": before}) == "never tried"


def test_a_webhook_that_was_tried_after_its_last_delivery_was_swallowed_on_the_way() -> None:
    tried = {"order.updated": webhook("order.updated", modified=NOW + MINUTE)}
    assert why(webhooks=tried) == "tried and swallowed on the way"
    assert why(webhooks=tried, last_deliveries={}) == "tried and swallowed on the way"
    assert why(webhooks=tried, last_deliveries={"order.updated": NOW + 2 * MINUTE}) == "never tried"


def test_what_a_webhook_did_before_it_was_seen_is_not_known() -> None:
    new = webhook("order.updated", since=NOW + MINUTE, modified=NOW + 2 * MINUTE)
    assert why(webhooks={"order.updated": new}) == "not known"


def test_what_this_side_did_comes_first() -> None:
    away = [Absence(1, 1, NOW - MINUTE, NOW + MINUTE)]
    off = {"order.updated": webhook("order.updated", status="disabled")}
    assert why(absences=away, webhooks=off) == "the bridge was away"
    assert why(absences=[Absence(1, 1, NOW + MINUTE, NOW + 2 * MINUTE)]) == "never tried"
    assert why(last_refused_at=NOW + MINUTE, webhooks=off) == "refused by us"
    assert why(last_refused_at=NOW - MINUTE) == "never tried"
