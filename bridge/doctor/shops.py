"""What is found of one store: whether its orders come, are forwarded, and end as documents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from bridge.admin.store_options import lost_in_bare_body
from bridge.doctor import orders
from bridge.doctor.finding import Finding, Level, lasting
from bridge.doctor.sight import WEBHOOKS, StoreSight
from bridge.ledger.deliveries import FAILED, QUARANTINED, UNREADABLE
from bridge.ledger.stores import flags

PUBLIC_API = "https://api.spaceinvoices.com/v1"
LONGEST_FIRST_FETCH = 60.0  # seconds after a store was added
LONGEST_DUE = 900.0  # seconds; what is due is sent at once, but for a rush of orders
REFUSED_WITHIN = timedelta(days=1)
SILENT_FOR = timedelta(days=7)  # since the last delivery


def look_at_store(sight: StoreSight) -> Iterator[Finding]:
    """Each check in turn."""
    yield from _token(sight)
    yield from _pause(sight)
    yield from _config(sight)
    yield from _options(sight)
    yield from _issuances(sight)
    yield from orders.look_at_orders(sight)
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
        is_gone = store.is_gone
    if is_gone:
        yield sight.finding(
            "config",
            Level.WRONG,
            f"The organization {store.organization_id} has no Woocommerce object {store.woocommerce_id} (any "
            f"more): {'nothing is forwarded' if store.is_gone else _stops_soon(sight)}.",
            f"spacebridge stores remove {store.name}; then, with the id of the object that is there now: "
            f"spacebridge stores add {store.name} --organization {store.organization_id} --woocommerce ID",
        )
    elif store.config is None:
        yield _never_fetched(sight)
    elif config is not None and not flags(config).active:
        yield _inactive(sight)
    else:
        yield sight.finding("config", Level.OK, "Its config is active.")


def _stops_soon(sight: StoreSight) -> str:
    """What follows from an answer that is not believed before it was given twice."""
    since = sight.store.config_missing_since
    seen = f" The bridge was told so first {lasting(sight.now - since)} ago" if since else ""
    return f"said so twice, minutes apart, it is believed, and nothing is forwarded.{seen}".rstrip(".")


def _inactive(sight: StoreSight) -> Finding:
    """A note, but where orders come in of which nothing is issued."""
    message = "It is set inactive in Space Invoices: nothing is forwarded."
    woocommerce_id = sight.store.woocommerce_id
    mend = f"Set the Woocommerce object {woocommerce_id} active there, if orders are to be forwarded."
    skipped = sight.backlog.while_inactive
    if skipped.newest_at is None or sight.store.inactive_since is None:
        return sight.finding("config", Level.WARNING, message, mend)
    message = (
        f"It has been inactive in Space Invoices for {lasting(sight.now - sight.store.inactive_since)}, and "
        f"orders come in, of which nothing is issued: {skipped.orders}, the last "
        f"{lasting(sight.now - skipped.newest_at)} ago."
    )
    mend += f" If not, switch its webhooks off ({WEBHOOKS}), or: spacebridge stores remove {sight.store.name}"
    return sight.finding("config", Level.WRONG, message, mend)


def _options(sight: StoreSight) -> Iterator[Finding]:
    """Options that an older version accepted together."""
    names = lost_in_bare_body(sight.store.options)
    if names:
        yield sight.finding(
            "choices",
            Level.WRONG,
            f"order_body=bare does not tell Space Invoices what {' and '.join(names)} make of an order: it "
            "may issue another document, or none.",
            f"spacebridge stores set {sight.store.name} order_body=merged",
        )


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
            f"Documents refused by Space Invoices, or tried for three days in vain: {backlog.failed}.",
            f"{listing} failed; when what its last error says is mended: spacebridge issuances resend ID",
        )


def _late(sight: StoreSight) -> Iterator[Finding]:
    """What should have been issued by now; if the store is paused, the pause tells of it.

    What is only tried again, ever more seldom, is a note: three days are given to that.
    """
    store, backlog = sight.store, sight.backlog
    if backlog.oldest_due_seconds <= LONGEST_DUE or store.paused_at is not None:
        return
    message = f"Documents that are due: {backlog.due}, the oldest for {lasting(backlog.oldest_due_seconds)}."
    mend = f"What keeps them, if anything: spacebridge issuances list --store {store.name} --state due"
    if sight.blamed is not None:
        yield sight.consequence("issuances", message)
    elif backlog.oldest_stuck_seconds > LONGEST_DUE:
        yield sight.finding("issuances", Level.WRONG, message, mend)
    else:
        yield sight.finding(
            "issuances", Level.WARNING, f"{message} They are tried again by themselves.", mend
        )


def _kept(sight: StoreSight) -> Iterator[Finding]:
    """Deliveries that wait for an operator."""
    name, backlog = sight.store.name, sight.backlog
    listing = f"spacebridge deliveries list --store {name} --state"
    if number := backlog.kept(FAILED):
        yield sight.finding(
            "deliveries",
            Level.WRONG,
            f"Deliveries that could not be processed: {number}.",
            f"{listing} failed; then: spacebridge deliveries replay ID",
        )
    if number := backlog.kept(QUARANTINED):
        yield sight.finding(
            "deliveries",
            Level.WRONG,
            f"Deliveries in quarantine, since they come from another address than the shop's: {number}. "
            "Nothing is issued for them.",
            f"{listing} quarantined; if the shop has moved, or has several addresses: spacebridge stores set "
            f"{name} shop_urls=OLD,NEW; if it is a copy of the shop: spacebridge deliveries ignore ID",
        )
    if number := backlog.kept(UNREADABLE):
        yield sight.finding(
            "deliveries",
            Level.WRONG,
            f"Deliveries that look like orders and cannot be read: {number}. Nothing is issued for them.",
            f"{listing} unreadable; mend the order in the shop and save it there, or try again: spacebridge "
            "deliveries replay ID; if it is no order: spacebridge deliveries ignore ID",
        )


def _refused(sight: StoreSight) -> Iterator[Finding]:
    """Requests that were refused (401), after which no good one has come."""
    store, good_at = sight.store, sight.backlog.last_delivery_at
    at = store.last_refused_at
    if at is None or sight.now - at > REFUSED_WITHIN or (good_at is not None and good_at > at):
        return
    good = "and none was ever accepted" if good_at is None else "and none was accepted since"
    yield sight.finding(
        "deliveries",
        Level.WRONG,
        f"Deliveries are refused, since their signature is missing or wrong: {store.refused_deliveries} so "
        f"far, the last {lasting(sight.now - at)} ago, {good}. What the shop sends is lost.",
        f"In each of the store's webhooks ({WEBHOOKS}), enter its secret; a new one is shown, once, by: "
        f"spacebridge stores rotate-secret {store.name}. If each has the right one, a stranger sends them.",
    )


def _deliveries(sight: StoreSight) -> Iterator[Finding]:
    store, backlog = sight.store, sight.backlog
    yield from _kept(sight)
    yield from _refused(sight)
    pinged = "no ping ever came"
    if store.last_ping_at is not None:
        pinged = f"the last ping came {lasting(sight.now - store.last_ping_at)} ago"
    if backlog.last_delivery_at is None:
        yield sight.finding(
            "deliveries",
            Level.WARNING,
            f"No delivery ever came; {pinged}.",
            f"{WEBHOOKS}: each has to be Active, its delivery URL to end in /webhooks/{store.name}, and its "
            f"secret to be the store's (spacebridge stores rotate-secret {store.name} makes a new one).",
        )
        return
    silent_for = sight.now - backlog.last_delivery_at
    message = f"The last delivery came {lasting(silent_for)} ago; {pinged}."
    if silent_for <= SILENT_FOR:
        yield sight.finding("deliveries", Level.OK, message)
    else:
        mend = f"{WEBHOOKS}: see that each is Active. WooCommerce disables one after seven failures in a row."
        yield sight.finding("deliveries", Level.WARNING, message, mend)
