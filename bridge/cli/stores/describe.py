"""Describes a store's state, config and shop in sentences, for a person on call at night: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.ledger.shops import Shop
from bridge.ledger.store import PREVIOUS_SECRET_LASTS
from bridge.ledger.stores import Store, flags

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def when(moment: datetime | None, now: datetime) -> str:
    """A moment and its distance from now: `2026-11-23 12:00:00+00:00, 3 minutes ago`."""
    if moment is None:
        return "never"
    return f"{moment.isoformat(' ', 'seconds')}, {distance(moment, now)}"


def distance(moment: datetime, now: datetime) -> str:
    """The distance of a moment from now, in the largest unit: `3 minutes ago`, `in 2 days`, `just now`."""
    seconds = int((now - moment).total_seconds())
    for length, unit in _UNITS:
        if (number := abs(seconds) // length) > 0:
            amount = f"{number} {unit}{'s' if number > 1 else ''}"
            return f"{amount} ago" if seconds > 0 else f"in {amount}"
    return "just now"


def state(store: Store, now: datetime) -> str:
    """The state of a store, since when it has it, why, and what to do."""
    match store.state:
        case "removed":
            return f"was removed, {when(store.removed_at, now)}: nothing comes in or is issued any more."
        case "paused":
            return (
                f"is paused since {when(store.paused_at, now)}: {store.pause_reason}. {_next_try(store, now)}"
            )
        case "new":
            reason = store.config_error or not_listed(store, now) or "That is done while the bridge runs."
            return f"is new: its config has not been fetched yet, and its orders wait. {reason}"
        case "inactive" if store.is_gone:
            return (
                "issues nothing: its Woocommerce object is not in Space Invoices any more. "
                "Remove the store, and add it with another object."
            )
        case "inactive":
            return (
                "issues nothing: its Woocommerce object is inactive in Space Invoices. Activate it there; "
                "what has come in meanwhile is issued then."
            )
    return "is active."


def not_listed(store: Store, now: datetime) -> str | None:
    """Since when Space Invoices has not listed the store's object; None if it does, or that is believed."""
    if store.config_missing_since is None or store.is_gone:
        return None
    return (
        f"Space Invoices does not list its Woocommerce object, as it first said "
        f"{distance(store.config_missing_since, now)}. It is asked again within minutes, and believed then."
    )


def config(properties: Mapping[str, Any]) -> Sequence[str]:
    """The meaning of a Woocommerce object's flags, a sentence for each."""
    decides = flags(properties)
    bank = "an invoice" if decides.issue_invoice_for_bank_payment else "an estimate"
    invoices = "An invoice is issued as soon as its order is received."
    if decides.issue_invoice_on_complete:
        bank = "no estimate" if decides.issue_invoice_for_bank_payment else bank
        invoices = "An invoice is issued when its order is completed."
    elif not decides.issue_invoice_for_bank_payment:
        invoices = f"{invoices[:-1]}, and for a bank payment, as soon as that is there."
    mailed = [
        documents
        for documents, name in (
            ("invoices", "sendInvoiceAutomatically"),
            ("estimates", "sendEstimateAutomatically"),
        )
        if properties.get(name) is True
    ]
    return [
        f"An unpaid order by bank payment gets {bank} when it is received.",
        invoices,
        f"Space Invoices sends {' and '.join(mailed) or 'neither invoices nor estimates'} to the customer.",
    ]


def webhook_secret(store: Store, now: datetime) -> str | None:
    """The progress of a rotation of the webhook secret; None if none is under way."""
    if not store.still_good(now):
        return None
    seen_at = store.webhook_secret_seen_at
    if seen_at is None:
        return (
            "A new webhook secret was made, and no delivery has been signed with it yet: enter it in each "
            "webhook in WooCommerce. The one before is good until then."
        )
    return (
        f"The new webhook secret was first seen {distance(seen_at, now)}. The one before is good until "
        f"{when(seen_at + PREVIOUS_SECRET_LASTS, now)}: by then, enter the new one in each webhook."
    )


def shop_document(shop: Shop) -> Mapping[str, object]:
    """The connection to a store's shop, for JSON. It has no key."""
    names = ("url", "login", "can_write", "connected_at", "highest_order_id")
    state = ("compared_at", "error", "error_kind", "failing_since")
    return {name: getattr(shop, name) for name in (*names, *state)}


def connection(shop: Shop, now: datetime) -> Sequence[str]:
    """The connection to a store's shop: where, since when, what its key may, and how it stands."""
    may = "read and write" if shop.can_write else "read, and not write: webhooks are not mended"
    sentences = [
        f"{shop.url}, connected {when(shop.connected_at, now)}",
        f"Its key may {may}. It logs in by {shop.login}.",
        f"Compared with the ledger: {when(shop.compared_at, now)}",
    ]
    if shop.error is not None and shop.failing_since is not None:
        sentences.append(f"It cannot be asked, since {when(shop.failing_since, now)}: {shop.error}")
    return sentences


def _next_try(store: Store, now: datetime) -> str:
    if store.next_probe_at is None:
        return f"`spacebridge stores resume {store.name}` has it go on."
    if store.next_probe_at <= now:
        return "It is tried again with the next order that is due."
    return f"It is tried again {distance(store.next_probe_at, now)}."
