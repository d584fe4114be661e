"""What is found of one store: whether its orders come, are forwarded, and end as documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.diagnosis.accounts import Reply
from bridge.diagnosis.finding import Finding, Level, lasting
from bridge.ledger.backlog import StoreBacklog
from bridge.ledger.stores import Store, flags

PUBLIC_API = "https://api.spaceinvoices.com/v1"
LONGEST_FIRST_FETCH = 60.0  # seconds after a store was added
LONGEST_DUE = 900.0  # seconds; what is due is sent at once, but for a rush of orders
SILENT_FOR = timedelta(days=7)  # since the last delivery

_WEBHOOKS = "WooCommerce > Settings > Advanced > Webhooks"


@dataclass(frozen=True, slots=True)
class StoreSight:
    """What there is to see of a store.

    `reply` is None if Space Invoices was not asked. `blamed` is the check that found what holds the store up,
    and is not about it, if one did.
    """

    store: Store
    backlog: StoreBacklog
    reply: Reply | None
    blamed: str | None
    now: datetime

    def finding(self, check: str, level: Level, message: str, mend: str | None = None) -> Finding:
        """One of this store."""
        return Finding(check, level, message, mend, self.store.name)

    def consequence(self, check: str, message: str) -> Finding:
        """One of this store that goes with what is blamed."""
        mend = f"It goes on by itself when what is wrong with the {self.blamed} is mended."
        return self.finding(check, Level.WARNING, message, mend)


def look_at_store(sight: StoreSight) -> Iterator[Finding]:
    """Each check in turn."""
    yield from _token(sight)
    yield from _pause(sight)
    yield from _config(sight)
    yield from _issuances(sight)
    yield from _deliveries(sight)


def _token(sight: StoreSight) -> Iterator[Finding]:
    store, reply = sight.store, sight.reply
    if reply is None or not reply.is_of_use:
        return
    if reply.error is None:
        yield sight.finding("token", Level.OK, "Space Invoices accepts the token.")
    elif not reply.refuses_token:
        yield sight.finding(
            "token",
            Level.WRONG,
            f"{reply.error} It knows no such organization, or is not the API.",
            f"Compare the ids with Space Invoices: spacebridge stores show {store.name}; and "
            f"SPACEBRIDGE_API_URL with {PUBLIC_API}",
        )
    elif store.paused_at is None or store.next_probe_at is None:  # else the pause tells of it
        yield sight.finding(
            "token",
            Level.WRONG,
            f"{reply.error} The token, or its rights there, are not accepted.",
            f"spacebridge stores set-token {store.name}",
        )


def _pause(sight: StoreSight) -> Iterator[Finding]:
    store = sight.store
    if store.paused_at is None:
        return
    reason = (store.pause_reason or "no reason is given").rstrip(".")
    message = f"Paused for {lasting(sight.now - store.paused_at)}: {reason}."
    if sight.backlog.due:
        message += f" Documents that wait: {sight.backlog.due}."
    if store.next_probe_at is None:
        yield sight.finding("pause", Level.WARNING, message, f"spacebridge stores resume {store.name}")
    elif _is_for_its_token(sight):
        yield sight.finding("pause", Level.WRONG, message, f"spacebridge stores set-token {store.name}")
    elif sight.blamed is not None:
        yield sight.consequence("pause", message)
    else:
        mend = (
            f"It is tried again by itself, ever more seldom; at once: spacebridge stores resume {store.name}"
        )
        yield sight.finding("pause", Level.WRONG, message, mend)


def _is_for_its_token(sight: StoreSight) -> bool:
    """Whether a pause is the token's fault: by what Space Invoices says now, or else by what it said then."""
    if sight.reply is not None and sight.reply.is_of_use:
        return sight.reply.refuses_token
    return any(f"answered {status}" in (sight.store.pause_reason or "") for status in (401, 403))


def _config(sight: StoreSight) -> Iterator[Finding]:
    store, reply = sight.store, sight.reply
    if reply is not None and reply.is_of_use:
        if reply.error is not None:
            return  # which was told of
        config = reply.config
        is_gone = config is None
    else:
        config = store.config
        is_gone = config is not None and config.get("_isDeleted") is True
    if is_gone:
        yield sight.finding(
            "config",
            Level.WRONG,
            f"The organization {store.organization_id} has no Woocommerce object {store.woocommerce_id} (any "
            "more): nothing is forwarded.",
            f"spacebridge stores remove {store.name}; then, with the id of the object that is there now: "
            f"spacebridge stores add {store.name} --organization {store.organization_id} --woocommerce ID",
        )
    elif store.config is None:
        yield _never_fetched(sight)
    elif config is not None and not flags(config).active:
        yield sight.finding(
            "config",
            Level.WARNING,
            "It is set inactive in Space Invoices: nothing is forwarded.",
            f"Set the Woocommerce object {store.woocommerce_id} active there, if orders are to be forwarded.",
        )
    else:
        yield sight.finding("config", Level.OK, "Its config is active.")


def _never_fetched(sight: StoreSight) -> Finding:
    store = sight.store
    message = f"The config was never fetched, and the orders wait for it. {store.config_error or ''}".strip()
    if sight.blamed is not None:
        return sight.consequence("config", message)
    if store.config_tried_at is None and sight.backlog.added_seconds_ago <= LONGEST_FIRST_FETCH:
        mend = "The store is new, and this takes some seconds. Look again: spacebridge doctor"
        return sight.finding("config", Level.WARNING, message, mend)
    return sight.finding("config", Level.WRONG, message, f"spacebridge stores sync {store.name}")


def _issuances(sight: StoreSight) -> Iterator[Finding]:
    found = [*_stuck(sight), *_late(sight)]
    yield from found or [sight.finding("issuances", Level.OK, "No document is held, failed or late.")]


def _stuck(sight: StoreSight) -> Iterator[Finding]:
    """What waits for an operator."""
    backlog = sight.backlog
    listing = f"spacebridge issuances list --store {sight.store.name} --state"
    if backlog.held:
        yield sight.finding(
            "issuances",
            Level.WRONG,
            f"Documents held, since nobody knows whether they were issued: {backlog.held}.",
            f"{listing} held; look for each in Space Invoices, and if it is there: spacebridge issuances "
            "mark-issued ID; if it is not: spacebridge issuances resend ID",
        )
    if backlog.failed:
        yield sight.finding(
            "issuances",
            Level.WRONG,
            f"Documents refused by Space Invoices, or tried for three days: {backlog.failed}.",
            f"{listing} failed; when what its last error says is mended: spacebridge issuances resend ID",
        )


def _late(sight: StoreSight) -> Iterator[Finding]:
    """What should have been sent by now; if the store is paused, the pause tells of it."""
    store, backlog = sight.store, sight.backlog
    if backlog.oldest_due_seconds <= LONGEST_DUE or store.paused_at is not None:
        return
    message = f"Documents that are due: {backlog.due}, the oldest for {lasting(backlog.oldest_due_seconds)}."
    if sight.blamed is not None:
        yield sight.consequence("issuances", message)
    else:
        mend = f"What keeps them, if anything: spacebridge issuances list --store {store.name} --state due"
        yield sight.finding("issuances", Level.WRONG, message, mend)


def _deliveries(sight: StoreSight) -> Iterator[Finding]:
    store, backlog = sight.store, sight.backlog
    if backlog.failed_deliveries:
        yield sight.finding(
            "deliveries",
            Level.WRONG,
            f"Deliveries that could not be processed: {backlog.failed_deliveries}.",
            f"spacebridge deliveries list --store {store.name} --state failed; then: spacebridge deliveries "
            "replay ID",
        )
    pinged = "no ping ever came"
    if store.last_ping_at is not None:
        pinged = f"the last ping came {lasting(sight.now - store.last_ping_at)} ago"
    if backlog.last_delivery_at is None:
        yield sight.finding(
            "deliveries",
            Level.WARNING,
            f"No delivery ever came; {pinged}.",
            f"{_WEBHOOKS}: each has to be Active, its delivery URL to end in /webhooks/{store.name}, and its "
            f"secret to be the store's (spacebridge stores rotate-secret {store.name} makes a new one).",
        )
        return
    silent_for = sight.now - backlog.last_delivery_at
    message = f"The last delivery came {lasting(silent_for)} ago; {pinged}."
    if silent_for <= SILENT_FOR:
        yield sight.finding("deliveries", Level.OK, message)
    else:
        mend = (
            f"{_WEBHOOKS}: see that each is Active. WooCommerce disables one after seven failures in a row."
        )
        yield sight.finding("deliveries", Level.WARNING, message, mend)
