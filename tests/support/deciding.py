"""What the tests of the decision have in common: an order, and the verdict on it with other values."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.issuance import (
    Config,
    Decision,
    Details,
    Document,
    Exceptions,
    Kind,
    Order,
    Policy,
    Verdict,
    decide,
)

INVOICE, ESTIMATE = Kind.INVOICE, Kind.ESTIMATE
WAIT, SKIP, DONE, ATTENTION = Decision.WAIT, Decision.SKIP, Decision.DONE, Decision.ATTENTION

CREATED = datetime(2026, 11, 23, 11, 49, 26, tzinfo=UTC)
CARD = Order(
    resource_id=330,
    order_key="wc_order_4H6xDOzHXqvQw",
    number="330",
    status="processing",
    payment_method="stripe_cc",
    total="122.00",
    currency="EUR",
    modified=datetime(2026, 11, 23, 11, 50, 11, tzinfo=UTC),
    has_date_paid=True,
    has_refunds=False,
    details=Details(created=CREATED),
)
BANK: dict[str, Any] = {"payment_method": "bacs", "status": "on-hold", "has_date_paid": False}

DEFAULTS = Config()
INVOICE_FOR_BANK = Config(issue_invoice_for_bank_payment=True)
ON_COMPLETE = Config(issue_invoice_on_complete=True)
BOTH_FLAGS = Config(issue_invoice_for_bank_payment=True, issue_invoice_on_complete=True)

DOCUMENT = Document(total="122.00", currency="EUR")
BEGINNINGS = "The|It is|All of it,|Another plugin"
LATER = CREATED + timedelta(days=1)

_KNOWN = {kind: {one.name for one in fields(kind)} for kind in (Order, Details, Config, Policy, Exceptions)}


def card(status: str, **changes: Any) -> Order:
    """An order paid by card, with other fields or other details."""
    given = {"status": status, **changes}
    details = {name: value for name, value in given.items() if name in _KNOWN[Details]}
    of_order = {name: value for name, value in given.items() if name in _KNOWN[Order]}
    assert given.keys() == {*details, *of_order}
    return replace(CARD, details=replace(CARD.details, **details), **of_order)


def bank(status: str, **changes: Any) -> Order:
    return card(**{**BANK, "status": status, **changes})


def decided(order: Order = CARD, **knobs: Any) -> Verdict:
    """The verdict, of which every test wants a reason that is one sentence, and the rule as a word.

    A knob is `deleted`, the `config`, a kind of document that there is, or a field of the order, its details,
    the config, the policy or the exceptions.
    """
    parts: dict[type, dict[str, Any]] = {kind: {} for kind in _KNOWN}
    config, deleted = knobs.pop("config", DEFAULTS), knobs.pop("deleted", False)
    given = {kind: knobs.pop(kind, None) for kind in Kind}
    documents = {kind: document for kind, document in given.items() if document is not None}
    for name, value in knobs.items():
        (kind,) = (one for one in _KNOWN if name in _KNOWN[one])
        parts[kind][name] = value
    if parts[Order] or parts[Details]:
        order = card(**{"status": order.status, **parts[Order], **parts[Details]})
    verdict = decide(
        order,
        deleted=deleted,
        config=replace(config, **parts[Config]) if config else None,
        policy=Policy(**parts[Policy]),
        documents=documents,
        exceptions=Exceptions(**parts[Exceptions]),
    )
    assert re.fullmatch(rf"({BEGINNINGS}) [^\n]*[^.\s]\.", verdict.reason), verdict.reason
    assert ". " not in verdict.reason
    assert re.fullmatch(r"[a-z_]{4,24}", verdict.rule)
    return verdict
