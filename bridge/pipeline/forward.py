"""Forwards an issuance: claims it, hands the order to Space Invoices, records the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from urllib.parse import quote

from sqlalchemy import Connection

from bridge.issuance import compose
from bridge.ledger import LedgerUnavailableError, attempts, deliveries, due, issuances, orders, stores
from bridge.ledger.attempts import Claim
from bridge.ledger.deliveries import Delivery
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.stores import Store
from bridge.pipeline.configs import is_stale, is_to_be_awaited, refresh_config
from bridge.pipeline.context import Account, Context
from bridge.pipeline.pause import is_probe_due, probe
from bridge.pipeline.record import Ended, record, stores_of
from bridge.pipeline.settle import open_dossiers, settle
from bridge.telemetry import counts

DEFER_BY = timedelta(minutes=5)  # what cannot be claimed by a fault on this side
LEASE_MARGIN = 30.0  # seconds beyond what a request may take
LONGEST_TURN = 1.0  # seconds a thread waits for its account's turn
RECORD_WITHIN = 120.0  # seconds an outcome is kept for a ledger that is away


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An issuance that a thread wants to send, by the account that it has for its store."""

    issuance_id: int
    account: Account
    is_probe: bool


@dataclass(frozen=True, slots=True)
class _Claim:
    """One request that this worker alone may send."""

    attempt: StartedAttempt
    store: Store
    account: Account
    body: bytes
    idempotency_key: str
    is_probe: bool
    is_too_late: Callable[[], bool]


class _No(Enum):
    """Why there is no claim."""

    NOT_NOW = "it is due no more, or not yet"
    PAUSED = "its store is paused"


_Errand = _Wanted | Ended
_Done = _Claim | _No | Exception | None


def forward_issuance(context: Context, issuance_id: int, store: Store | None = None) -> bool:
    """Have one document issued, if it is still due. Returns whether the store may go on with its next one.

    `store`, if the caller has it, as it was a moment ago.

    A worker that dies before the claim is committed leaves `due`; one that dies after it leaves
    `sending`, which turns into `held` when its lease has ended. Nothing in between can be told apart
    from a request that was sent, so the claim is the last thing before it.
    """
    try:
        store = store or _store_of_due(context, issuance_id)
        if store is None:
            return True
        if store.paused_at is not None and not is_probe_due(store, context.now()):
            return False
        account = context.account(store)
        if not context.pace.wait(account.name, within=LONGEST_TURN):
            return False
        is_ready = _is_ready(context, store)
        wanted = _Wanted(issuance_id, account, is_probe=store.paused_at is not None)
        claim = _claim_or_leave(context, store, wanted) if is_ready else _No.NOT_NOW
    except LedgerUnavailableError:
        raise
    except Exception as error:
        # Left as it is, it would be the first in every sweep, and a crowd of its kind would leave no room.
        at = context.now() + DEFER_BY
        with context.ledger.write() as connection:
            issuances.defer(connection, issuance_id, error=f"{type(error).__name__}: {error}", until=at)
        raise
    if isinstance(claim, _No):
        context.pace.give_back(account.name)
        return is_ready and claim is not _No.PAUSED
    answer = account.api.send_order(
        claim.store.woocommerce_id,
        claim.body,
        idempotency_key=claim.idempotency_key,
        is_too_late=claim.is_too_late,
    )
    if answer.outcome.status == 429:
        context.pace.slow_down(account.name, retry_after=answer.outcome.retry_after)
    _record_even_after_an_outage(
        context, Ended(claim.attempt, answer.outcome, answer.duration, claim.is_probe)
    )
    counts.attempt_ended(claim.store.name, answer.outcome.effect, claim.attempt.number)
    return True


def _is_ready(context: Context, store: Store) -> bool:
    """Whether one of the store's orders may be sent now; if not, the sweep comes back to it."""
    if store.paused_at is not None:
        return probe(context, store)
    if is_stale(context, store):
        refresh_config(context, store.id)
        with context.ledger.read() as connection:
            store = stores.get(connection, store.id)
    return not is_to_be_awaited(context, store)


def _claim_or_leave(context: Context, store: Store, wanted: _Wanted) -> _Claim | _No:
    """Claim the issuance; if that is not possible and it was to be a probe, another may probe at once."""
    claim = _write(context, wanted)
    if isinstance(claim, _Claim):
        return claim
    if wanted.is_probe:
        with context.ledger.write() as connection:
            stores.leave_probe(connection, store.id, context.now())
    return claim or _No.NOT_NOW


def _store_of_due(context: Context, issuance_id: int) -> Store | None:
    """The store of an issuance that seems to be due still."""
    with context.ledger.read() as connection:
        issuance = issuances.get(connection, issuance_id)
        if issuance is None or issuance.state != issuances.DUE:
            return None
        return stores.get(connection, issuance.store_id)


def _record_even_after_an_outage(context: Context, ended: Ended) -> None:
    """Record the outcome, and wait for the ledger to come back if it is away.

    If it does not, or this worker dies here, the issuance ends as `held`. If the lease ends before the ledger
    is back, it is `held` only until the outcome is recorded.
    """
    give_up_at = time.monotonic() + RECORD_WITHIN
    while not _is_recorded(context, ended, may_fail=time.monotonic() < give_up_at):
        time.sleep(0.5)  # a database cannot tell us that it is back


def _is_recorded(context: Context, ended: Ended, *, may_fail: bool) -> bool:
    try:
        _write(context, ended)
    except LedgerUnavailableError:
        if not may_fail:
            raise
        return False
    return True


def _write(context: Context, errand: _Errand) -> _Claim | _No | None:
    """Have an errand written, in one transaction with those of other threads that wait at the same time."""
    done = context.group(_write_each).write(errand)
    if isinstance(done, Exception):
        raise done
    return done


def _write_each(context: Context, errands: Sequence[_Errand]) -> Sequence[_Done]:
    """Carry out errands in one transaction; each by itself if one of them fails."""
    try:
        with context.ledger.write() as connection:
            return _carry_out(context, connection, errands)
    except LedgerUnavailableError as error:
        return [LedgerUnavailableError(str(error)) for _ in errands]
    except Exception as error:
        if len(errands) == 1:
            return [error]
    return [done for errand in errands for done in _write_each(context, [errand])]


def _carry_out(context: Context, connection: Connection, errands: Sequence[_Errand]) -> Sequence[_Done]:
    wanted = {one.issuance_id: one for one in errands if isinstance(one, _Wanted)}
    ended = [one for one in errands if isinstance(one, Ended)]
    order_of = issuances.orders_of(connection, wanted) if wanted else {}
    locked = orders.lock_each(connection, {*order_of.values(), *(one.attempt.order_id for one in ended)})
    if ended:
        record(context, connection, ended, locked)
    claims: Mapping[int, _Claim | _No] = {}
    if wanted:
        of_wanted = [locked[order_id] for order_id in sorted(set(order_of.values()))]
        claims = _claim(context, connection, wanted, of_wanted)
    # Of two who want the same, the last has it.
    return [
        claims.get(one.issuance_id, _No.NOT_NOW)
        if isinstance(one, _Wanted) and wanted[one.issuance_id] is one
        else None
        for one in errands
    ]


def _claim(
    context: Context, connection: Connection, wanted: Mapping[int, _Wanted], locked: Sequence[KnownOrder]
) -> Mapping[int, _Claim | _No]:
    """Claim what may be sent of what is wanted; the answers by the issuances' ids."""
    now = context.now()  # and no sooner: the locks may have been waited for
    by_store = stores_of(connection, locked)
    for order in locked:
        if order.decided_version != by_store[order.store_id].decision_version:
            settle(connection, by_store[order.store_id], order, now)
    answers: dict[int, _Claim | _No] = {}
    chosen: list[tuple[KnownOrder, Issuance]] = []
    for dossier in open_dossiers(connection, locked).values():
        siblings = list(dossier.issuances.values())
        for issuance in siblings:
            if (one := wanted.get(issuance.id)) is None:
                continue
            no = _why_not(context, by_store[issuance.store_id], issuance, siblings, one, now)
            if no is not None:
                answers[issuance.id] = no
            elif dossier.order.snapshot is not None:
                chosen.append((dossier.order, issuance))
                break  # the other one, if it is wanted, too, has to wait
    return {**answers, **_start(context, connection, wanted, by_store, chosen, now)}


def _start(
    context: Context,
    connection: Connection,
    wanted: Mapping[int, _Wanted],
    by_store: Mapping[int, Store],
    chosen: Sequence[tuple[KnownOrder, Issuance]],
    now: datetime,
) -> Mapping[int, _Claim]:
    """Begin an attempt for each of these. All that can go wrong on this side goes wrong before that."""
    sent = deliveries.get_each(connection, {order.delivery_id or 0 for order, _ in chosen})
    bodies = [_compose(by_store[order.store_id], sent[order.delivery_id or 0]) for order, _ in chosen]
    started = attempts.start(
        connection,
        [Claim.of(order, issuance) for order, issuance in chosen],
        now=now,
        lease_ends_at=now + timedelta(seconds=2 * context.api_timeout + LEASE_MARGIN),
    )
    claims = {}
    for (order, issuance), body, attempt in zip(chosen, bodies, started, strict=True):
        store = by_store[order.store_id]
        key = f"{store.woocommerce_id}-{order.resource_id}-{order.order_key}-{issuance.kind}"
        one = wanted[issuance.id]
        # A plugin may have made the order's key of letters that no header can carry.
        claims[issuance.id] = _Claim(
            attempt, store, one.account, body, quote(key), one.is_probe, _half_of_the_lease(context)
        )
    return claims


def _half_of_the_lease(context: Context) -> Callable[[], bool]:
    """Tells whether it is over, after which nothing may be sent any more.

    By both clocks: one stands still while the machine is suspended, and the other may be set back.
    """
    seconds = context.api_timeout + LEASE_MARGIN / 2
    ends_at, ends_after = context.now() + timedelta(seconds=seconds), time.monotonic() + seconds
    return lambda: time.monotonic() > ends_after or context.now() > ends_at


def _why_not(
    context: Context,
    store: Store,
    issuance: Issuance,
    siblings: Sequence[Issuance],
    wanted: _Wanted,
    now: datetime,
) -> _No | None:
    """Why an issuance may not be sent now; None if it may."""
    # A store that was paused since is not probed by what was on its way; by an operator, it is at a stop.
    if store.paused_at is not None and (not wanted.is_probe or store.next_probe_at is None):
        return _No.PAUSED
    if store.encrypted_api_token != wanted.account.encrypted_token:
        return _No.NOT_NOW  # it was given another just now
    if issuance.state != issuances.DUE or not due.has_fallen_due(issuance, now):
        return _No.NOT_NOW
    if is_to_be_awaited(context, store):
        return _No.NOT_NOW  # by rules that are just being asked for; the sweep comes back to it
    # One request for an order at a time: two could overtake each other on their way, and the
    # estimate come after the invoice.
    if any(one.state == issuances.SENDING for one in siblings):
        return _No.NOT_NOW
    return None


def _compose(store: Store, delivery: Delivery) -> bytes:
    if store.order_body == "bare":
        return delivery.body
    return compose(delivery.body, store.config or {})
