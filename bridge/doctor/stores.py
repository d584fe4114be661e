"""Checks one store: whether its orders come in, are forwarded, and become documents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from bridge.admin.store_options import lost_in_bare_body
from bridge.doctor import orders
from bridge.doctor.finding import Finding, Level, format_duration
from bridge.doctor.observation import WEBHOOKS, StoreObservation
from bridge.ledger.deliveries import FAILED, QUARANTINED, UNREADABLE
from bridge.ledger.stores import flags

PUBLIC_API = "https://api.spaceinvoices.com/v1"
LONGEST_FIRST_FETCH = 60.0  # seconds after a store was added
LONGEST_DUE = 900.0  # seconds; a due document is sent at once, except in a rush of orders
REFUSED_WITHIN = timedelta(days=1)
SILENT_FOR = timedelta(days=7)  # since the last delivery


def check_store(observation: StoreObservation) -> Iterator[Finding]:
    """Yield the findings of all checks of a store."""
    yield from _token(observation)
    yield from _pause(observation)
    yield from _config(observation)
    yield from _options(observation)
    yield from _issuances(observation)
    yield from orders.check_orders(observation)
    yield from _deliveries(observation)


def _token(observation: StoreObservation) -> Iterator[Finding]:
    store, fetch = observation.store, observation.fetch
    if fetch is None or not fetch.is_conclusive:
        return
    if fetch.error is None:
        yield observation.finding("token", Level.OK, "Space Invoices accepts the token.")
    elif not fetch.refuses_token:
        yield observation.finding(
            "token",
            Level.WRONG,
            f"{fetch.error} It knows no such organization, or is not the API.",
            f"Compare the ids with Space Invoices: spacebridge stores show {store.name}; and "
            f"SPACEBRIDGE_API_URL with {PUBLIC_API}",
        )
    elif store.paused_at is None or store.next_probe_at is None:  # else `_pause` reports it
        yield observation.finding(
            "token",
            Level.WRONG,
            f"{fetch.error} The token, or its rights there, are not accepted.",
            f"spacebridge stores set-token {store.name}",
        )


def _pause(observation: StoreObservation) -> Iterator[Finding]:
    store = observation.store
    if store.paused_at is None:
        return
    reason = (store.pause_reason or "no reason is given").rstrip(".")
    message = f"Paused for {format_duration(observation.now - store.paused_at)}: {reason}."
    if observation.backlog.due:
        message += f" Documents that wait: {observation.backlog.due}."
    if store.next_probe_at is None:
        yield observation.finding("pause", Level.WARNING, message, f"spacebridge stores resume {store.name}")
    elif _is_for_token(observation):
        yield observation.finding("pause", Level.WRONG, message, f"spacebridge stores set-token {store.name}")
    elif observation.cause is not None:
        yield observation.consequence("pause", message)
    else:
        mend = (
            f"It is retried by itself, at growing intervals; at once: spacebridge stores resume {store.name}"
        )
        yield observation.finding("pause", Level.WRONG, message, mend)


def _is_for_token(observation: StoreObservation) -> bool:
    """Whether the token caused the pause, by what Space Invoices says now, or else said then."""
    if observation.fetch is not None and observation.fetch.is_conclusive:
        return observation.fetch.refuses_token
    return any(f"answered {status}" in (observation.store.pause_reason or "") for status in (401, 403))


def _config(observation: StoreObservation) -> Iterator[Finding]:
    store, fetch = observation.store, observation.fetch
    if fetch is not None and fetch.is_conclusive:
        if fetch.error is not None:
            return  # `_token` reports it
        config = fetch.config
        is_gone = config is None
    else:
        config = store.config
        is_gone = store.is_gone
    if is_gone:
        yield observation.finding(
            "config",
            Level.WRONG,
            f"The organization {store.organization_id} has no Woocommerce object {store.woocommerce_id} (any "
            f"more): {'nothing is forwarded' if store.is_gone else _stops_soon(observation)}.",
            f"spacebridge stores remove {store.name}; then, with the id of the object that is there now: "
            f"spacebridge stores add {store.name} --organization {store.organization_id} --woocommerce ID",
        )
    elif store.config is None:
        yield _never_fetched(observation)
    elif config is not None and not flags(config).active:
        yield _inactive(observation)
    else:
        yield observation.finding("config", Level.OK, "Its config is active.")


def _stops_soon(observation: StoreObservation) -> str:
    """The consequence of a missing object, which the bridge believes when it is confirmed."""
    since = observation.store.config_missing_since
    first = f" The bridge first saw this {format_duration(observation.now - since)} ago" if since else ""
    return f"when a second look, minutes later, confirms this, nothing is forwarded.{first}".rstrip(".")


def _inactive(observation: StoreObservation) -> Finding:
    """A warning, or wrong if orders come in for which nothing is issued."""
    message = "It is set inactive in Space Invoices: nothing is forwarded."
    store = observation.store
    mend = f"Set the Woocommerce object {store.woocommerce_id} active there, if orders are to be forwarded."
    skipped = observation.backlog.while_inactive
    if skipped.newest_at is None or store.inactive_since is None:
        return observation.finding("config", Level.WARNING, message, mend)
    message = (
        "It has been inactive in Space Invoices for "
        f"{format_duration(observation.now - store.inactive_since)}, and orders come in, for which nothing "
        f"is issued: {skipped.orders}, the last {format_duration(observation.now - skipped.newest_at)} ago."
    )
    mend += f" If not, switch its webhooks off ({WEBHOOKS}), or: spacebridge stores remove {store.name}"
    return observation.finding("config", Level.WRONG, message, mend)


def _options(observation: StoreObservation) -> Iterator[Finding]:
    """Report options that are refused now, and that an earlier version accepted."""
    names = lost_in_bare_body(observation.store.options)
    if names:
        yield observation.finding(
            "choices",
            Level.WRONG,
            f"order_body=bare does not tell Space Invoices what {' and '.join(names)} make of an order: it "
            "may issue another document, or none.",
            f"spacebridge stores set {observation.store.name} order_body=merged",
        )


def _never_fetched(observation: StoreObservation) -> Finding:
    store = observation.store
    message = f"The config was never fetched, and the orders wait for it. {store.config_error or ''}".strip()
    if observation.cause is not None:
        return observation.consequence("config", message)
    if store.config_tried_at is None and observation.backlog.added_seconds_ago <= LONGEST_FIRST_FETCH:
        mend = "The store is new, and this takes some seconds. Look again: spacebridge doctor"
        return observation.finding("config", Level.WARNING, message, mend)
    return observation.finding("config", Level.WRONG, message, f"spacebridge stores sync {store.name}")


def _issuances(observation: StoreObservation) -> Iterator[Finding]:
    findings = [*_stuck(observation), *_late(observation)]
    yield from findings or [
        observation.finding("issuances", Level.OK, "No document is held, failed or late.")
    ]


def _stuck(observation: StoreObservation) -> Iterator[Finding]:
    """Report documents that wait for an operator."""
    backlog = observation.backlog
    listing = f"spacebridge issuances list --store {observation.store.name} --state"
    if backlog.held:
        yield observation.finding(
            "issuances",
            Level.WRONG,
            f"Documents held, since nobody knows whether they were issued: {backlog.held}.",
            f"{listing} held; look for each in Space Invoices, and if it is there: spacebridge issuances "
            "mark-issued ID; if it is not: spacebridge issuances resend ID",
        )
    if backlog.failed:
        yield observation.finding(
            "issuances",
            Level.WRONG,
            f"Documents refused by Space Invoices, or tried for three days in vain: {backlog.failed}.",
            f"{listing} failed; when what its last error says is mended: spacebridge issuances resend ID",
        )


def _late(observation: StoreObservation) -> Iterator[Finding]:
    """Report documents that should have been issued by now; if the store is paused, `_pause` does.

    Documents that are only being retried, at growing intervals for up to three days, are a warning.
    """
    store, backlog = observation.store, observation.backlog
    if backlog.oldest_due_seconds <= LONGEST_DUE or store.paused_at is not None:
        return
    oldest = format_duration(backlog.oldest_due_seconds)
    message = f"Documents that are due: {backlog.due}, the oldest for {oldest}."
    mend = f"What keeps them, if anything: spacebridge issuances list --store {store.name} --state due"
    if observation.cause is not None:
        yield observation.consequence("issuances", message)
    elif backlog.oldest_stuck_seconds > LONGEST_DUE:
        yield observation.finding("issuances", Level.WRONG, message, mend)
    else:
        yield observation.finding(
            "issuances", Level.WARNING, f"{message} They are tried again by themselves.", mend
        )


def _kept(observation: StoreObservation) -> Iterator[Finding]:
    """Report deliveries that wait for an operator."""
    name, backlog = observation.store.name, observation.backlog
    listing = f"spacebridge deliveries list --store {name} --state"
    if number := backlog.kept(FAILED):
        yield observation.finding(
            "deliveries",
            Level.WRONG,
            f"Deliveries that could not be processed: {number}.",
            f"{listing} failed; then: spacebridge deliveries replay ID",
        )
    if number := backlog.kept(QUARANTINED):
        yield observation.finding(
            "deliveries",
            Level.WRONG,
            f"Deliveries in quarantine, since they come from another address than the shop's: {number}. "
            "Nothing is issued for them.",
            f"{listing} quarantined; if the shop has moved, or has several addresses: spacebridge stores set "
            f"{name} shop_urls=OLD,NEW; if it is a copy of the shop: spacebridge deliveries ignore ID",
        )
    if number := backlog.kept(UNREADABLE):
        yield observation.finding(
            "deliveries",
            Level.WRONG,
            f"Deliveries that look like orders and cannot be read: {number}. Nothing is issued for them.",
            f"{listing} unreadable; mend the order in the shop and save it there, or try again: spacebridge "
            "deliveries replay ID; if it is no order: spacebridge deliveries ignore ID",
        )


def _refused(observation: StoreObservation) -> Iterator[Finding]:
    """Report requests that were refused (401), if no good one has come since."""
    store, good_at = observation.store, observation.backlog.last_delivery_at
    at = store.last_refused_at
    if at is None or observation.now - at > REFUSED_WITHIN or (good_at is not None and good_at > at):
        return
    accepted = "and none was ever accepted" if good_at is None else "and none was accepted since"
    yield observation.finding(
        "deliveries",
        Level.WRONG,
        f"Deliveries are refused, since their signature is missing or wrong: {store.refused_deliveries} so "
        f"far, the last {format_duration(observation.now - at)} ago, {accepted}. What the shop sends is "
        "lost.",
        f"In each of the store's webhooks ({WEBHOOKS}), enter its secret; a new one is shown, once, by: "
        f"spacebridge stores rotate-secret {store.name}. If each has the right one, a stranger sends them.",
    )


def _deliveries(observation: StoreObservation) -> Iterator[Finding]:
    store, backlog = observation.store, observation.backlog
    yield from _kept(observation)
    yield from _refused(observation)
    ping = "no ping ever came"
    if store.last_ping_at is not None:
        ping = f"the last ping came {format_duration(observation.now - store.last_ping_at)} ago"
    if backlog.last_delivery_at is None:
        yield observation.finding(
            "deliveries",
            Level.WARNING,
            f"No delivery ever came; {ping}.",
            f"{WEBHOOKS}: each has to be Active, its delivery URL to end in /webhooks/{store.name}, and its "
            f"secret to be the store's (spacebridge stores rotate-secret {store.name} makes a new one).",
        )
        return
    silent_for = observation.now - backlog.last_delivery_at
    message = f"The last delivery came {format_duration(silent_for)} ago; {ping}."
    if silent_for <= SILENT_FOR:
        yield observation.finding("deliveries", Level.OK, message)
    else:
        mend = f"{WEBHOOKS}: see that each is Active. WooCommerce disables one after seven failures in a row."
        yield observation.finding("deliveries", Level.WARNING, message, mend)
