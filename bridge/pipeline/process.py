"""Processes deliveries: updates the orders they are about, and decides on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from time import monotonic

import structlog
from sqlalchemy import Connection

from bridge.db import LedgerUnavailableError
from bridge.db.after_commit import after_commit
from bridge.db.errors import LedgerBusyError
from bridge.issuance import About, Deletion, Order, Place, is_newer, read_delivery, stage_of, was_saved_later
from bridge.ledger import deliveries, issuances, orders, processing, stores
from bridge.ledger.deliveries import Delivery
from bridge.ledger.orders import Identity, KnownOrder, Resource
from bridge.ledger.processing import Finished, KnownDeletion
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.decide import OrderState, decide_on, save
from bridge.pipeline.pending_work import PendingWork
from bridge.pipeline.quarantine import judged, shop_urls_of
from bridge.pipeline.snapshot import snapshot_of

RESTORED = "order.restored"  # a topic, which is not signed
LONGEST_WAIT = 2.0  # seconds that all of a message together wait for locks, where each is by itself
SHORTEST_WAIT = 0.05  # seconds for each of them, when these are over

log = structlog.get_logger(__name__)


def process_deliveries(context: Context, delivery_ids: Collection[int]) -> PendingWork:
    """Bring recorded deliveries to their end, and return what is to be done for them now.

    One transaction: a worker that dies in it leaves the deliveries as they were, for the sweep to find. Any
    number of workers may process the same ones: the second waits for the first, and finds them processed.
    Where one of them cannot be processed, or somebody else has locked what it is about, each is in a
    transaction of its own. What is locked is then left to the sweep; of a single delivery, LedgerBusyError is
    raised.
    """
    return _process_each(context, delivery_ids, context.patience)


def _process_each(context: Context, delivery_ids: Collection[int], wait: float) -> PendingWork:
    try:
        with context.ledger.write(lock_timeout=wait) as connection:
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
                processing.note_failure(
                    connection, delivery_id, f"could not be processed: {type(error).__name__}"
                )
        return PendingWork()


def _one_by_one(context: Context, delivery_ids: Collection[int], error: Exception) -> PendingWork:
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
    return PendingWork.of(done)


def _process(context: Context, connection: Connection, delivery_ids: Collection[int]) -> PendingWork:
    # Whoever processes a delivery locks what it is about first, and then all else by its id.
    processing.lock_resources_of(connection, delivery_ids)
    batch = _read(connection, delivery_ids)
    for delivery, about in batch.read:
        if delivery.id not in batch.finished:
            _process_one(connection, batch, delivery, about)
    context.remember(batch.stores.values())
    save(connection, batch.order_states.values(), context.now())
    orders.drop_unknown(connection, [one.order.id for one in batch.order_states.values() if not one.is_known])
    processing.finish(connection, list(batch.finished.values()))
    processing.supersede(
        connection,
        [
            one.id
            for one, about in batch.read
            if isinstance(about, Order) and batch.finished[one.id].state == deliveries.PROCESSED
        ],
    )
    for delivery, _ in batch.read:
        line = {"delivery": delivery.id, "store": delivery.store, "order": delivery.resource_id}
        after_commit(connection, partial(log.info, "delivery processed", **line))
    return _work(batch)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Deliveries that are processed together, as they arrived, and what is known of their orders."""

    read: Sequence[tuple[Delivery, About]]
    stores: Mapping[int, Store]
    deletions: Mapping[Resource, Sequence[KnownDeletion]]
    order_states: dict[int, OrderState]  # by the orders' ids
    arrivals: Mapping[int, int]  # of the deliveries, by their ids
    finished: dict[int, Finished] = field(default_factory=dict)

    def of_resource(self, resource: Resource) -> Sequence[OrderState]:
        """Those of the orders with this WooCommerce id that are known by now, the oldest first."""
        known = [
            one for one in self.order_states.values() if one.is_known and one.order.identity[:2] == resource
        ]
        return sorted(known, key=lambda one: one.order.id)

    def of_identity(self, identity: Identity) -> OrderState:
        """The state of the order of this identity, which was added if it is new."""
        return next(one for one in self.order_states.values() if one.order.identity == identity)

    def finish(self, delivery: Delivery, state: str, reason: str | None) -> None:
        self.finished[delivery.id] = Finished(delivery.id, state, reason)


def _read(connection: Connection, delivery_ids: Collection[int]) -> _Batch:
    """Lock these deliveries and their orders, and read what is known of them; new orders are added."""
    # If a store's rules change from here on, its decisions bear the old version, and they are taken again.
    by_id = dict(stores.of_deliveries(connection, delivery_ids))
    locked = processing.lock_unprocessed(connection, delivery_ids)
    read = [(one, read_delivery(one.topic, one.body, one.shop_url or "")) for one in locked]
    refused: dict[int, Finished] = {}
    for delivery, about in read:
        store = by_id[delivery.store_id]
        shop_urls = shop_urls_of(connection, store, about)
        if shop_urls != store.options.shop_urls:  # the delivery has told it
            by_id[store.id] = replace(store, options=replace(store.options, shop_urls=shop_urls))
        state, reason = judged(about, shop_urls)
        if state != deliveries.RECEIVED:
            refused[delivery.id] = Finished(delivery.id, state, reason)
    wanted = [
        (delivery.store_id, about)
        for delivery, about in read
        if delivery.id not in refused and isinstance(about, Order | Deletion)
    ]
    resources = {(store_id, about.resource_id) for store_id, about in wanted}
    orders.add(
        connection,
        [
            (store_id, about.resource_id, about.order_key)
            for store_id, about in wanted
            if isinstance(about, Order)
        ],
    )
    known = orders.lock_of_resources(connection, resources)
    described = [order_id for order_id, one in known.items() if one.snapshot is not None]
    documents = issuances.of_orders(connection, described) if described else {}
    return _Batch(
        read=read,
        stores=by_id,
        deletions=processing.deletions(connection, resources),
        order_states={
            order_id: OrderState.of(one, documents.get(order_id, ())) for order_id, one in known.items()
        },
        arrivals={one.id: one.arrival for one in locked},
        finished=refused,
    )


def _process_one(connection: Connection, batch: _Batch, delivery: Delivery, about: About) -> None:
    match about:
        case Deletion():
            order_state, reason = _trash(connection, batch, delivery)
        case Order():
            _trash_what_was_trashed_before(connection, batch, delivery)
            order_state, reason = _update(connection, batch, delivery, about)
        case _:
            raise ValueError(f"delivery {delivery.id} is about no order")
    if order_state is not None:
        verdict = decide_on(order_state, batch.stores[delivery.store_id])
        reason = f"{reason} -> {verdict}"
    batch.finish(delivery, deliveries.PROCESSED, reason)


def _trash_what_was_trashed_before(connection: Connection, batch: _Batch, delivery: Delivery) -> None:
    """Process the deletions that arrived before this snapshot first: it may be what restores the order.

    The shop may trash the order once more just now: the repeat is another state of the same row.
    """
    before = [
        one.delivery_id
        for one in batch.deletions[_resource(delivery)]
        if one.is_unprocessed and one.arrival <= delivery.arrival and one.delivery_id not in batch.finished
    ]
    if not before:
        return
    for deletion in processing.lock_unprocessed(connection, before):
        if deletion.arrival > delivery.arrival:
            continue
        about = read_delivery(deletion.topic, deletion.body, deletion.shop_url or "")
        state, reason = judged(about, batch.stores[deletion.store_id].options.shop_urls)
        if state == deliveries.RECEIVED:
            state, (_, reason) = deliveries.PROCESSED, _trash(connection, batch, deletion)
        batch.finish(deletion, state, reason)


def _trash(connection: Connection, batch: _Batch, delivery: Delivery) -> tuple[OrderState | None, str]:
    """It can only mean the youngest order with this WooCommerce id."""
    order_state = next(reversed(batch.of_resource(_resource(delivery))), None)
    if order_state is None:
        # A snapshot that arrived before, and is processed after, finds this deletion by itself.
        return None, "deletes an order of which nothing was known"
    if _arrival(connection, batch, order_state.order) >= delivery.arrival:
        return order_state, "deletes the order, of which the shop has sent more since"
    order_state.order = replace(
        order_state.order, deleted_at=delivery.last_received_at, deleted_arrival=delivery.arrival
    )
    return order_state, "deletes the order"


def _update(
    connection: Connection, batch: _Batch, delivery: Delivery, about: Order
) -> tuple[OrderState, str]:
    snapshot = snapshot_of(about, delivery, batch.stores[delivery.store_id])
    order_state = _order_state_of(connection, batch, delivery, snapshot)
    order = order_state.order
    if order.order_key != snapshot.order_key:
        order = replace(order, former_key=order.order_key)
    status_map = batch.stores[delivery.store_id].options.status_map
    place = _place(snapshot, status_map, delivery.arrival)
    known = None
    if order.snapshot is not None:
        known = _place(order.snapshot, status_map, _arrival(connection, batch, order))
    deleted_at, deleted_arrival = _last_deletion(connection, batch, delivery, order)
    # A deletion carries no time of its own, so its arrival is its place among the snapshots. One that
    # arrived later, and that the shop saved later, means that the order was restored. Where the shop says
    # so itself, its clock may have been set back in between.
    is_restored = (
        deleted_at is not None
        and delivery.arrival >= deleted_arrival
        and (known is None or delivery.topic == RESTORED or was_saved_later(place, known))
    )
    if is_restored:
        deleted_at, deleted_arrival = None, 0
    order = replace(order, deleted_at=deleted_at, deleted_arrival=deleted_arrival or None)
    if known is not None and not is_restored and not is_newer(place, known):
        order_state.order = order
        return order_state, "older than what was known of the order"
    order_state.order = replace(order, snapshot=snapshot, delivery_id=delivery.id)
    return order_state, f"order {snapshot.resource_id} is {snapshot.status}"


def _order_state_of(connection: Connection, batch: _Batch, delivery: Delivery, snapshot: Order) -> OrderState:
    """The state of a snapshot's order.

    Where its key is new, and an order of the same id was created at the same time, it is that order: shops
    have changed the keys of their orders. One that is installed again starts its ids again, at another time.
    """
    mine = batch.of_identity((*_resource(delivery), snapshot.order_key))
    if mine.is_known:
        return mine
    for other in reversed(batch.of_resource(_resource(delivery))):
        known = _creation_of(connection, other.order)
        if known is not None and known == (snapshot.details.created, snapshot.details.created_is_local):
            return other
    return mine


def _creation_of(connection: Connection, order: KnownOrder) -> tuple[datetime, bool] | None:
    """When an order was created, and whether that is the shop's own time; None if it is not known."""
    known = order.snapshot
    if known is not None and known.details.created is None and order.delivery_id is not None:
        # Saved by a version that did not keep it.
        delivery = deliveries.get(connection, order.delivery_id)
        about = read_delivery(delivery.topic, delivery.body) if delivery else None
        known = about if isinstance(about, Order) else None
    if known is None or known.details.created is None:
        return None
    return known.details.created, known.details.created_is_local


def _last_deletion(
    connection: Connection, batch: _Batch, delivery: Delivery, order: KnownOrder
) -> tuple[datetime | None, int]:
    """When the order was last deleted, and the arrival of that; None and 0 if it is not deleted."""
    deletions = batch.deletions[_resource(delivery)]
    if order.snapshot is None:
        counting = [one.arrival for one in deletions if _counts(connection, batch, one)]
        latest = max(counting, default=0)
        return (delivery.received_at, latest) if latest else (None, 0)
    if order.deleted_at is None:
        return None, 0
    processed = [one.arrival for one in deletions if not one.is_unprocessed]
    # An older version has not kept the arrival.
    return order.deleted_at, order.deleted_arrival or max(processed, default=0)


def _counts(connection: Connection, batch: _Batch, deletion: KnownDeletion) -> bool:
    """Whether a deletion was or will be processed; one that waits may be of another site."""
    if not deletion.is_unprocessed:
        return True
    delivery = deliveries.get(connection, deletion.delivery_id)
    if delivery is None:
        return False
    about = read_delivery(delivery.topic, delivery.body, delivery.shop_url or "")
    state, _ = judged(about, batch.stores[delivery.store_id].options.shop_urls)
    return state == deliveries.RECEIVED


def _place(snapshot: Order, status_map: Mapping[str, str], arrival: int) -> Place:
    return Place(snapshot.modified, snapshot.details.timekeeping, stage_of(snapshot, status_map), arrival)


def _arrival(connection: Connection, batch: _Batch, order: KnownOrder) -> int:
    """The place of the newest snapshot of an order among the arrivals."""
    if order.delivery_id is None:
        return 0
    if order.delivery_id in batch.arrivals:
        return batch.arrivals[order.delivery_id]
    newest = deliveries.get(connection, order.delivery_id)
    return newest.arrival if newest else order.delivery_id


def _resource(delivery: Delivery) -> Resource:
    return delivery.store_id, delivery.resource_id or 0


def _work(batch: _Batch) -> PendingWork:
    states = batch.order_states.values()
    due = dict.fromkeys(one.order.store_id for one in states if one.has_something_due)
    configs = [store.id for store in batch.stores.values() if store.config is None]
    return PendingWork(due_stores=list(due), configs=configs)
