"""Checks one store: whether its orders come in, are forwarded, and become documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from bridge.admin.store_options import lost_in_bare_body
from bridge.doctor.absences import check_absences
from bridge.doctor.finding import WEBHOOKS, Finding, Level, format_duration
from bridge.doctor.finds import check_finds
from bridge.doctor.observation import Result, StoreObservation
from bridge.doctor.shops import check_connection
from bridge.doctor.silence import check_silence
from bridge.doctor.webhooks import check_webhooks
from bridge.ledger.deliveries import FAILED, QUARANTINED, UNREADABLE
from bridge.ledger.stores import flags
from bridge.ledger.waiting import PENDING, PENDING_PAID, UNKNOWN_STATUS

PUBLIC_API = "https://api.spaceinvoices.com/v1"
LONGEST_FIRST_FETCH = 60.0  # seconds after a store was added
LONGEST_DUE = 900.0  # seconds; a due document is sent at once, except in a rush of orders
REFUSED_WITHIN = timedelta(days=1)


def check_store(observation: StoreObservation) -> Iterator[Finding]:
    """Yield the findings of all checks of a store."""
    for name, check in _CHECKS.items():
        for level, message, mend in check(observation):
            yield Finding(name, level, message, mend, observation.store.name)


def _token(observation: StoreObservation) -> Iterator[Result]:
    store, fetch = observation.store, observation.fetch
    if fetch is None or not fetch.is_conclusive:
        return
    if fetch.error is None:
        yield Level.OK, "Space Invoices accepts the token.", None
    elif not fetch.refuses_token:
        yield (
            Level.WRONG,
            f"{fetch.error} It knows no such organization, or is not the API.",
            f"Compare the ids with Space Invoices: spacebridge stores show {store.name}; and "
            f"SPACEBRIDGE_API_URL with {PUBLIC_API}",
        )
    elif store.paused_at is None or store.next_probe_at is None:  # else `_pause` reports it
        message = f"{fetch.error} The token, or its rights there, are not accepted."
        yield Level.WRONG, message, f"spacebridge stores set-token {store.name}"


def _pause(observation: StoreObservation) -> Iterator[Result]:
    store = observation.store
    if store.paused_at is None:
        return
    reason = (store.pause_reason or "no reason is given").rstrip(".")
    message = f"Paused for {observation.since(store.paused_at)}: {reason}."
    if observation.backlog.due:
        message += f" Documents that wait: {observation.backlog.due}."
    resume = f"spacebridge stores resume {store.name}"
    if store.next_probe_at is None:
        yield Level.WARNING, message, resume
    elif _is_for_token(observation):
        yield Level.WRONG, message, f"spacebridge stores set-token {store.name}"
    elif observation.cause is not None:
        yield observation.consequence(message)
    else:
        yield Level.WRONG, message, f"It is retried by itself, at growing intervals; at once: {resume}"


def _is_for_token(observation: StoreObservation) -> bool:
    """Whether the token caused the pause, by what Space Invoices says now, or else said then."""
    if observation.fetch is not None and observation.fetch.is_conclusive:
        return observation.fetch.refuses_token
    return any(f"answered {status}" in (observation.store.pause_reason or "") for status in (401, 403))


def _config(observation: StoreObservation) -> Iterator[Result]:
    store, fetch = observation.store, observation.fetch
    config, is_gone = store.config, store.is_gone
    if fetch is not None and fetch.is_conclusive:
        if fetch.error is not None:
            return  # `_token` reports it
        config, is_gone = fetch.config, fetch.config is None
    if is_gone:
        yield (
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
        yield Level.OK, "Its config is active.", None


def _stops_soon(observation: StoreObservation) -> str:
    """The consequence of a missing object, which the bridge believes when it is confirmed."""
    missing_since = observation.store.config_missing_since
    first = f" The bridge first saw this {observation.since(missing_since)} ago" if missing_since else ""
    return f"when a second look, minutes later, confirms this, nothing is forwarded.{first}".rstrip(".")


def _inactive(observation: StoreObservation) -> Result:
    """A warning, or wrong if orders come in for which nothing is issued."""
    store, skipped = observation.store, observation.backlog.while_inactive
    mend = f"Set the Woocommerce object {store.woocommerce_id} active there, if orders are to be forwarded."
    if skipped.newest_at is None or store.inactive_since is None:
        return Level.WARNING, "It is set inactive in Space Invoices: nothing is forwarded.", mend
    return (
        Level.WRONG,
        f"It has been inactive in Space Invoices for {observation.since(store.inactive_since)}, and orders "
        f"come in, for which nothing is issued: {skipped.orders}, the last "
        f"{observation.since(skipped.newest_at)} ago.",
        f"{mend} If not, switch its webhooks off ({WEBHOOKS}), or: spacebridge stores remove {store.name}",
    )


def _never_fetched(observation: StoreObservation) -> Result:
    store = observation.store
    message = f"The config was never fetched, and the orders wait for it. {store.config_error or ''}".strip()
    if observation.cause is not None:
        return observation.consequence(message)
    if store.config_tried_at is None and observation.backlog.added_seconds_ago <= LONGEST_FIRST_FETCH:
        mend = "The store is new, and this takes some seconds. Look again: spacebridge doctor"
        return Level.WARNING, message, mend
    return Level.WRONG, message, f"spacebridge stores sync {store.name}"


def _options(observation: StoreObservation) -> Iterator[Result]:
    """Report options that are refused now, and that an earlier version accepted."""
    if names := lost_in_bare_body(observation.store.options):
        yield (
            Level.WRONG,
            f"order_body=bare does not tell Space Invoices what {' and '.join(names)} make of an order: it "
            "may issue another document, or none.",
            f"spacebridge stores set {observation.store.name} order_body=merged",
        )


def _issuances(observation: StoreObservation) -> Iterator[Result]:
    results = [*_stuck(observation), *_late(observation)]
    yield from results or [(Level.OK, "No document is held, failed or late.", None)]


def _stuck(observation: StoreObservation) -> Iterator[Result]:
    """Report documents that wait for an operator."""
    backlog = observation.backlog
    listing = f"spacebridge issuances list --store {observation.store.name} --state"
    if backlog.held:
        yield (
            Level.WRONG,
            f"Documents held, since nobody knows whether they were issued: {backlog.held}.",
            f"{listing} held; look for each in Space Invoices, and if it is there: spacebridge issuances "
            "mark-issued ID; if it is not: spacebridge issuances resend ID",
        )
    if backlog.failed:
        yield (
            Level.WRONG,
            f"Documents refused by Space Invoices, or tried for three days in vain: {backlog.failed}.",
            f"{listing} failed; when what its last error says is mended: spacebridge issuances resend ID",
        )


def _late(observation: StoreObservation) -> Iterator[Result]:
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
        yield observation.consequence(message)
    elif backlog.oldest_stuck_seconds > LONGEST_DUE:
        yield Level.WRONG, message, mend
    else:
        yield Level.WARNING, f"{message} They are tried again by themselves.", mend


def _orders(observation: StoreObservation) -> Iterator[Result]:
    """Report each kind of order that waits for a person."""
    store, backlog = observation.store.name, observation.backlog
    listing, setting = f"spacebridge orders list --store {store}", f"spacebridge stores set {store}"
    for reason, level, orders, mend in (
        (
            PENDING_PAID,
            Level.WRONG,
            "Orders that are pending, although the shop says that they are paid",
            "--rule pending; set each to processing in the shop, or, if pending orders are to have "
            f"documents: {setting} issue_pending=true",
        ),
        (
            UNKNOWN_STATUS,
            Level.WRONG,
            "Orders of a status that is not WooCommerce's own, so that nothing is issued for them",
            f"--rule unknown_status; say what the status means: {setting} status_map=CUSTOM:STANDARD",
        ),
        (
            PENDING,
            Level.WARNING,
            "Orders that are pending and unpaid",
            "--rule pending; cancel in the shop what was abandoned, or, if pending orders are to have "
            f"documents: {setting} issue_pending=true",
        ),
    ):
        if waiting := backlog.waiting.get(reason):
            message = f"{orders}: {waiting.orders}, the first for {observation.since(waiting.since)}."
            yield level, message, f"{listing} {mend}"
    attention = backlog.attention
    if attention.orders:
        message = f"Orders that need a person: {attention.orders}"
        if attention.newest_at is not None:
            message += f", the last since {observation.since(attention.newest_at)} ago"
        mend = f"{listing} --decision attention; the reason of each says what is to be done"
        yield Level.WARNING, f"{message}.", mend


def _kept(observation: StoreObservation) -> Iterator[Result]:
    """Report deliveries that wait for an operator."""
    name, backlog = observation.store.name, observation.backlog
    listing = f"spacebridge deliveries list --store {name} --state"
    if number := backlog.kept(FAILED):
        mend = f"{listing} failed; then: spacebridge deliveries replay ID"
        yield Level.WRONG, f"Deliveries that could not be processed: {number}.", mend
    if number := backlog.kept(QUARANTINED):
        yield (
            Level.WRONG,
            f"Deliveries in quarantine, since they come from another address than the shop's: {number}. "
            "Nothing is issued for them.",
            f"{listing} quarantined; if the shop has moved, or has several addresses: spacebridge stores set "
            f"{name} shop_urls=OLD,NEW; if it is a copy of the shop: spacebridge deliveries ignore ID",
        )
    if number := backlog.kept(UNREADABLE):
        yield (
            Level.WRONG,
            f"Deliveries that look like orders and cannot be read: {number}. Nothing is issued for them.",
            f"{listing} unreadable; mend the order in the shop and save it there, or try again: spacebridge "
            "deliveries replay ID; if it is no order: spacebridge deliveries ignore ID",
        )


def _refused(observation: StoreObservation) -> Iterator[Result]:
    """Report requests that were refused (401), if no good one has come since."""
    store, good_at = observation.store, observation.backlog.last_delivery_at
    at = store.last_refused_at
    if at is None or observation.now - at > REFUSED_WITHIN or (good_at is not None and good_at > at):
        return
    accepted = "and none was ever accepted" if good_at is None else "and none was accepted since"
    yield (
        Level.WRONG,
        f"Deliveries are refused, since their signature is missing or wrong: {store.refused_deliveries} so "
        f"far, the last {observation.since(at)} ago, {accepted}. What the shop sends is lost.",
        f"In each of the store's webhooks ({WEBHOOKS}), enter its secret; a new one is shown, once, by: "
        f"spacebridge stores rotate-secret {store.name}. If each has the right one, a stranger sends them.",
    )


def _deliveries(observation: StoreObservation) -> Iterator[Result]:
    yield from _kept(observation)
    yield from _refused(observation)
    store, delivered_at = observation.store, observation.backlog.last_delivery_at
    ping = "no ping ever came"
    if store.last_ping_at is not None:
        ping = f"the last ping came {observation.since(store.last_ping_at)} ago"
    if delivered_at is None:
        yield (
            Level.WARNING,
            f"No delivery ever came; {ping}.",
            f"{WEBHOOKS}: each has to be Active, its delivery URL to end in /webhooks/{store.name}, and its "
            f"secret to be the store's (spacebridge stores rotate-secret {store.name} makes a new one).",
        )
        return
    yield Level.OK, f"The last delivery came {observation.since(delivered_at)} ago; {ping}.", None


_CHECKS: Mapping[str, Callable[[StoreObservation], Iterator[Result]]] = {
    "token": _token,
    "pause": _pause,
    "config": _config,
    "choices": _options,  # the name that JSON has always had
    "issuances": _issuances,
    "orders": _orders,
    "deliveries": _deliveries,
    "absences": check_absences,
    "silence": check_silence,
    "connection": check_connection,
    "webhooks": check_webhooks,
    "found": check_finds,
}
