"""Processes deliveries: updates the orders they are about, and decides on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from time import monotonic

import structlog
from sqlalchemy import Connection

from bridge.issuance import Deletion, NotAnOrder, Order, is_newer, read_delivery, standing
from bridge.ledger import LedgerUnavailableError, deliveries, issuances, orders, stores
from bridge.ledger.after_commit import after_commit
from bridge.ledger.deliveries import Delivery, Finished, KnownDeletion
from bridge.ledger.errors import LedgerBusyError
from bridge.ledger.orders import Identity, KnownOrder, Resource
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.settle import Dossier, decide_on, save
from bridge.pipeline.work import Work

LONGEST_WAIT = 2.0  # seconds that all of a message together wait for locks, where each is by itself
SHORTEST_WAIT = 0.05  # seconds for each of them, when these are over

log = structlog.get_logger(__name__)


def process_deliveries(context: Context, delivery_ids: Collection[int]) -> Work:
    """Bring recorded deliveries to their end, and return what is to be done for them now.

    One transaction: a worker that dies in it leaves the deliveries as they were, for the sweep to find. Any
    number of workers may process the same ones: the second waits for the first, and finds them processed.
    Where one of them cannot be processed, or somebody else has locked what it is about, each is in a
    transaction of its own. What is locked is then left to the sweep; of a single delivery, LedgerBusyError is
    raised.
    """
    return _process_each(context, delivery_ids, context.patience)


def _process_each(context: Context, delivery_ids: Collection[int], wait: float) -> Work:
    try:
        with context.ledger.write(wait=wait) as connection:
            return _process(context, connection, delivery_ids)
    except LedgerBusyError as error:
        if len(delivery_ids) == 1:
            raise
        return _one_by_one(context, delivery_ids, error)
    except LedgerUnavailableError:
        raise
    except Exception as error:
        if len(delivery_ids) > 1:
            return _one_by_one(context, delivery_ids, error)
        # A delivery that we cannot process must neither block the others nor vanish.
        for delivery_id in delivery_ids:
            log.exception("a delivery could not be processed", delivery=delivery_id)
            with context.ledger.write() as connection:
                deliveries.note_failure(
                    connection, delivery_id, f"could not be processed: {type(error).__name__}"
                )
        return Work()


def _one_by_one(context: Context, delivery_ids: Collection[int], error: Exception) -> Work:
    """Process each by itself. However many are locked, that takes this thread a few seconds."""
    log.warning("processing one by one", deliveries=len(delivery_ids), error=type(error).__name__)
    until = monotonic() + LONGEST_WAIT
    done = []
    for one in delivery_ids:
        wait = min(context.patience, max(SHORTEST_WAIT, until - monotonic()))
        try:
            done.append(_process_each(context, [one], wait))
        except LedgerBusyError as busy:
            log.warning("a delivery's order is locked; the sweep tries again", delivery=one, error=str(busy))
    return Work.of(done)


def _process(context: Context, connection: Connection, delivery_ids: Collection[int]) -> Work:
    # Whoever processes a delivery locks what it is about first, and then all else by its id.
    deliveries.lock_resources_of(connection, delivery_ids)
    batch = _read(connection, deliveries.lock_unprocessed(connection, delivery_ids))
    for delivery, about in batch.read:
        if delivery.id not in batch.finished:
            _process_one(connection, batch, delivery, about)
    context.remember(batch.stores.values())
    save(connection, batch.dossiers.values(), context.now())
    deliveries.finish(connection, list(batch.finished.values()))
    for delivery, _ in batch.read:
        line = {"delivery": delivery.id, "store": delivery.store, "order": delivery.resource_id}
        after_commit(connection, partial(log.info, "delivery processed", **line))
    return _work(batch)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Deliveries that are processed together, as they arrived, and what is known of their orders."""

    read: Sequence[tuple[Delivery, Order | Deletion | NotAnOrder]]
    stores: Mapping[int, Store]
    deletions: Mapping[Resource, Sequence[KnownDeletion]]
    dossiers: Mapping[int, Dossier]  # by the orders' ids
    arrived_at: Mapping[int, datetime]  # of the deliveries, by their ids
    finished: dict[int, Finished] = field(default_factory=dict)

    def of_identity(self, identity: Identity) -> Dossier:
        """The dossier of the order of this identity, which was added if it is new."""
        return next(one for one in self.dossiers.values() if one.order.identity == identity)

    def latest_of(self, resource: Resource) -> Dossier | None:
        """That of the youngest order with this WooCommerce id of which something is known by now.

        It is the one that a deletion can mean.
        """
        known = [
            one
            for one in self.dossiers.values()
            if one.order.snapshot is not None and one.order.identity[:2] == resource
        ]
        return max(known, key=lambda one: one.order.id, default=None)

    def finish(self, delivery: Delivery, state: str, reason: str) -> None:
        self.finished[delivery.id] = Finished(delivery.id, state, reason)


def _read(connection: Connection, locked: Sequence[Delivery]) -> _Batch:
    """What is known about these deliveries' orders, which are locked; new ones are added."""
    read = [(one, read_delivery(one.topic, one.body)) for one in locked]
    about_orders = [(one, about) for one, about in read if isinstance(about, Order | Deletion)]
    resources = {(one.store_id, about.resource_id) for one, about in about_orders}
    identities = [
        (one.store_id, about.resource_id, about.order_key)
        for one, about in about_orders
        if isinstance(about, Order)
    ]
    orders.add(connection, identities)
    known = orders.lock_of_resources(connection, resources)
    documents = issuances.of_resources(connection, resources)
    # If a store's rules change from here on, its decisions bear the old version, and the sweep decides anew.
    found = stores.get_each(connection, {one.store_id for one in locked})
    deletions = deliveries.deletions(connection, resources)
    return _Batch(
        read=read,
        stores=found.answer,
        deletions=deletions.answer,
        dossiers={one.id: Dossier.of(one, documents.answer.get(one.id, ())) for one in known.answer.values()},
        arrived_at={one.id: one.received_at for one in locked},
    )


def _process_one(
    connection: Connection, batch: _Batch, delivery: Delivery, about: Order | Deletion | NotAnOrder
) -> None:
    match about:
        case NotAnOrder(reason=reason):
            batch.finish(delivery, deliveries.IGNORED, reason)
            return
        case Deletion():
            dossier, reason = _trash(connection, batch, delivery)
        case Order() as snapshot:
            _trash_what_was_trashed_before(connection, batch, delivery)
            dossier, reason = _update(batch, delivery, snapshot)
    if dossier is not None:
        verdict = decide_on(dossier, batch.stores[delivery.store_id])
        reason = f"{reason} -> {verdict.decision}: {verdict.reason}"
    batch.finish(delivery, deliveries.PROCESSED, reason)


def _trash_what_was_trashed_before(connection: Connection, batch: _Batch, delivery: Delivery) -> None:
    """Process the deletions that arrived before this snapshot first: it may be what restores the order.

    The shop may trash the order once more just now: the repeat is another state of the same row.
    """
    before = [
        one.delivery_id
        for one in batch.deletions[_resource(delivery)]
        if one.is_unprocessed
        and one.arrived_at <= delivery.received_at
        and one.delivery_id not in batch.finished
    ]
    if not before:
        return
    for deletion in deliveries.lock_unprocessed(connection, before):
        if deletion.last_received_at <= delivery.received_at:
            _, reason = _trash(connection, batch, deletion)
            batch.finish(deletion, deliveries.PROCESSED, reason)


def _trash(connection: Connection, batch: _Batch, delivery: Delivery) -> tuple[Dossier | None, str]:
    dossier = batch.latest_of(_resource(delivery))
    if dossier is None:
        # A snapshot that arrived before, and is processed after, finds this deletion by itself.
        return None, "deletes an order of which nothing was known"
    newest_at = _arrival(connection, batch, dossier.order)
    if newest_at is not None and newest_at > delivery.last_received_at:
        return dossier, "deletes the order, of which the shop has sent more since"
    dossier.order = replace(dossier.order, deleted_at=delivery.last_received_at)
    return dossier, "deletes the order"


def _arrival(connection: Connection, batch: _Batch, order: KnownOrder) -> datetime | None:
    """When the newest snapshot of an order arrived."""
    if order.delivery_id is None:
        return None
    if order.delivery_id in batch.arrived_at:
        return batch.arrived_at[order.delivery_id]
    newest = deliveries.get(connection, order.delivery_id)
    return newest.received_at if newest else None


def _update(batch: _Batch, delivery: Delivery, snapshot: Order) -> tuple[Dossier, str]:
    dossier = batch.of_identity((*_resource(delivery), snapshot.order_key))
    order = dossier.order
    known, deleted_at = order.snapshot, order.deleted_at
    if known is None:
        moments = [one.arrived_at for one in batch.deletions[_resource(delivery)]]
        deleted_at = max(moments, default=None)
    # A deletion carries no time of its own, so its arrival is its place among the snapshots. One that
    # arrived later, and that the shop saved later, means that the order was restored.
    if (
        deleted_at
        and delivery.received_at > deleted_at
        and (known is None or snapshot.modified > known.modified)
    ):
        deleted_at = None
    if not _replaces(batch.stores[delivery.store_id], delivery, snapshot, order):
        dossier.order = replace(order, deleted_at=deleted_at)
        return dossier, "older than what was known of the order"
    dossier.order = replace(order, snapshot=snapshot, delivery_id=delivery.id, deleted_at=deleted_at)
    return dossier, f"order {snapshot.resource_id} is {snapshot.status}"


def _replaces(store: Store, delivery: Delivery, snapshot: Order, order: KnownOrder) -> bool:
    known = order.snapshot
    if known is None or order.delivery_id is None:
        return True
    new = snapshot.modified, standing(snapshot, store.policy.status_map)
    old = known.modified, standing(known, store.policy.status_map)
    if new == old:
        return delivery.id >= order.delivery_id  # the one that arrived last
    return is_newer(*new, *old)


def _resource(delivery: Delivery) -> Resource:
    return delivery.store_id, delivery.resource_id or 0


def _work(batch: _Batch) -> Work:
    due: dict[int, list[int]] = {}
    for dossier in batch.dossiers.values():
        for issuance in dossier.issuances.values():
            if issuance.state == issuances.DUE:
                due.setdefault(issuance.store_id, []).append(issuance.id)
    configs = [store.id for store in batch.stores.values() if store.config is None]
    return Work(due_stores=list(due), configs=configs, due_issuances=due)
