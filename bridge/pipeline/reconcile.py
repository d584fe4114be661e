"""Compares a shop with the ledger, and has what is missing or newer there enter as deliveries.

The only place that knows what "missing" and "stale" mean is `comparison.difference`: the duty, the command
and its rehearsal all come here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from bridge.issuance import Order, read_delivery
from bridge.ledger import absences, comparison, deliveries, finds, shop_webhooks, shops, stores
from bridge.ledger.comparison import Known
from bridge.ledger.deliveries import PROCESSED, RECONCILE
from bridge.ledger.finds import GONE, STALE, TRASHED, Find
from bridge.ledger.shops import Shop as ShopRow
from bridge.ledger.stores import Store
from bridge.pipeline.comparison import TOPIC_OF, TRASH, Witness, difference
from bridge.pipeline.context import Context
from bridge.pipeline.receive import DeliveryRecorder, RecordedDelivery, StoreChangedError
from bridge.shop import AnswerError, Listed, Shop

OVERLAP = timedelta(minutes=10)  # what the watermark is set back by at each round
NOT_YET = timedelta(minutes=2)  # an order that was modified since then may still be told by its webhook
LONGEST_DELAY = timedelta(minutes=8)  # of a store's webhooks that is waited for
RECENT = timedelta(hours=48)  # compared again every day
OLD = timedelta(days=35)  # compared every week, by the day they were created
FEW_TOGETHER = 3  # orders; fewer are fetched one by one
FEW_GONE = 4  # orders that may be deleted for good at a time
MOST_OPEN = 500  # orders that are in no listing, asked for one by one

RECENT_EVERY = timedelta(days=1)
CONTENT_EVERY = timedelta(days=7)
TRASH_EVERY = timedelta(days=1)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one comparison covers; the times are by the shop's clock.

    `since` and `until`: of the modification. `created_since`: orders that were created since then are
    compared, too, whenever they were modified.
    """

    since: datetime
    until: datetime
    wait: timedelta  # from there to the shop's present: what was modified in it may still be told
    created_since: datetime | None = None
    with_trash: bool = False
    kinds: Sequence[str] = ()  # of comparison, that are done with it: recent, content, trash


@dataclass(slots=True)
class Comparison:
    """What a comparison has done so far."""

    plan: Plan
    compared: int = 0
    found: list[Find] = field(default_factory=list)
    delivery_ids: list[int] = field(default_factory=list)  # to be processed
    broken: list[int] = field(default_factory=list)  # ids of orders that the shop does not show
    is_complete: bool = False


Report = Callable[[Comparison, float], None]  # is given the share of the times that is done, 0 to 1


def plan_of(
    shop: ShopRow,
    store: Store,
    clock: datetime,
    delay: timedelta,
    now: datetime,
    *,
    was_away: bool,
    untold_until: datetime | None,
) -> Plan:
    """What the next round of a shop is to cover.

    `clock`: the shop's; `delay`: usual for its webhooks; `was_away`: no receiver was up for a while, which no
    round has made good yet; `untold_until`: its webhooks were off until then, so that none can still tell.
    """
    wait = max(NOT_YET, min(2 * delay, LONGEST_DELAY))
    if untold_until is not None:
        wait = max(timedelta(0), min(wait, clock - untold_until))
    earliest = max(store.created_at, clock - OLD)  # of a shop that was never compared
    since = earliest if shop.compared_until is None else shop.compared_until - OVERLAP
    if shop.compare_from is not None:
        since = min(since, shop.compare_from)
    kinds = []
    if _is_due(shop.compared_recent_at, RECENT_EVERY, now):
        since = min(since, clock - RECENT)
        kinds.append("recent")
    created_since = None
    if _is_due(shop.compared_content_at, CONTENT_EVERY, now):
        created_since = clock - OLD
        kinds.append("content")
    with_trash = (
        _is_due(shop.compared_trash_at, TRASH_EVERY, now) or was_away or shop.compare_from is not None
    )
    if with_trash:
        kinds.append("trash")
    return Plan(since, clock - wait, wait, created_since, with_trash, kinds)


def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    return last is None or now - last >= every


class Reconciler:
    """One comparison of one shop, whose lease the caller holds."""

    def __init__(
        self,
        context: Context,
        store: Store,
        shop: ShopRow,
        client: Shop,
        *,
        is_rehearsal: bool = False,
        report: Report = lambda _comparison, _share: None,
    ) -> None:
        """`is_rehearsal`: nothing is written but the lease. `report` is called after each page."""
        self._context = context
        self._store = store
        self._shop = shop
        self._client = client
        self._is_rehearsal = is_rehearsal
        self._report = report
        self._seen: set[int] = set()  # ids of the second listing, and of the trash
        self._shown: set[int] = set()  # ids that were fetched
        self._recorder = DeliveryRecorder(context.ledger, publish=self._note_delivery, now=context.now)

    def plan(self, untold_until: datetime | None = None) -> Plan:
        """What is due, as `plan_of` has it. Asks the shop for its clock; raises ShopError."""
        with self._context.ledger.read() as connection:
            delay = comparison.usual_delay(connection, self._store.id)
            was_away = bool(absences.unsettled(connection, self._store.id))
        clock, now = self._client.clock, self._context.now()
        return plan_of(
            self._shop, self._store, clock, delay, now, was_away=was_away, untold_until=untold_until
        )

    def run(self, plan: Plan) -> Comparison:
        """Compare, and record what is missing or newer.

        Raises ShopError and LedgerUnavailableError; the watermark then stays where it was, and what was
        recorded is found recorded by the next round. So it may end with its process anywhere.
        """
        began_at = self._context.now()
        self._comparison = Comparison(plan)
        with self._context.ledger.read() as connection:
            self._witness = self._ask_for_witness(connection)
        for page in self._client.modified_since(plan.since, plan.until):
            self._compare(page)
            self._report(self._comparison, _share(plan.since, plan.until, page[-1].modified))
        if plan.created_since is not None:
            for page in self._client.created_since(plan.created_since, plan.until):
                self._compare(page)
                self._seen.update(one.id for one in page)
                self._report(self._comparison, _share(plan.created_since, plan.until, page[-1].created))
        if plan.with_trash:
            for page in self._client.trashed():
                self._compare(page)
                self._seen.update(one.id for one in page)
        if plan.created_since is not None:
            self._ask_for_those_that_are_not_listed()
        self._comparison.is_complete = not self._comparison.broken
        if self._comparison.is_complete and not self._is_rehearsal:
            self._end(began_at)
        return self._comparison

    def _ask_for_witness(self, connection: Connection) -> Witness:
        store_id = self._store.id
        last = {
            topic: comparison.last_delivery_at(connection, store_id, topic) for topic in shop_webhooks.TOPICS
        }
        return Witness(
            webhooks=shop_webhooks.of_store(connection, store_id),
            last_deliveries={topic: at for topic, at in last.items() if at is not None},
            absences=absences.unsettled(connection, store_id),
            last_refused_at=stores.get(connection, store_id).last_refused_at,
        )

    def _compare(self, page: Sequence[Listed]) -> None:
        with self._context.ledger.read() as connection:
            known = comparison.known(connection, self._store.id, [one.id for one in page])
        self._comparison.compared += len(page)
        differing = []
        for one in page:
            kind = difference(one, known.get(one.id, Known()), self._store)
            if kind is not None:
                differing.append((one, kind))
        bodies = self._fetch_together([one.id for one, _ in differing])
        for one, kind in differing:
            self._take(one.id, kind, one.modified, known.get(one.id, Known()), bodies.get(one.id))
        self._renew()

    def _fetch_together(self, order_ids: Sequence[int]) -> Mapping[int, bytes]:
        """Bodies in one request, where that saves some; what is not among them is fetched alone."""
        if len(order_ids) < FEW_TOGETHER or self._is_rehearsal:
            return {}
        try:
            return self._client.orders(order_ids)
        except AnswerError as error:  # one order that the shop cannot show spoils all of them
            log.warning("orders are fetched one by one", store=self._store.name, error=str(error))
            return {}

    def _ask_for_those_that_are_not_listed(self) -> None:
        """Orders that wait, and that no listing showed: deleted for good, or of a status that nobody knows.

        Their absence from a listing proves nothing; each is asked for by itself.
        """
        with self._context.ledger.read() as connection:
            waiting = comparison.open_orders(connection, self._store.id, limit=MOST_OPEN) - self._seen
            known = comparison.known(connection, self._store.id, waiting)
        if len(waiting) > FEW_GONE and self._has_none_of(sorted(waiting)[-FEW_GONE - 1 :]):
            return
        for order_id in sorted(waiting):
            self._take(order_id, GONE, None, known[order_id])
            self._renew()

    def _has_none_of(self, order_ids: Sequence[int]) -> bool:
        """Whether it is another shop by now, or was restored from a back-up: then none counts as deleted.

        They go on waiting, which hurts nobody, and is told of those that wait for long.
        """
        if any(self._client.order(order_id) is not None for order_id in order_ids):
            return False
        log.warning(
            "the shop has none of the orders that wait; they are not taken as deleted",
            store=self._store.name,
            orders=list(order_ids),
        )
        return True

    def _take(
        self,
        order_id: int,
        kind: str,
        changed_at: datetime | None,
        known: Known,
        body: bytes | None = None,
    ) -> None:
        """Record an order as it is now: its body, which is fetched if it is not given."""
        if self._is_rehearsal and order_id in self._shown:
            return
        self._shown.add(order_id)
        try:
            body = body or self._client.order(order_id)
        except AnswerError as error:
            log.warning(
                "a shop does not show an order", store=self._store.name, order=order_id, error=str(error)
            )
            self._comparison.broken.append(order_id)
            return
        about = None if body is None else read_delivery(TOPIC_OF[STALE], body)
        if body is None:
            if known.snapshot is None:
                return  # nothing was known of it, and nothing is left
            kind, topic, body = GONE, TOPIC_OF[GONE], json.dumps({"id": order_id}).encode()
        elif isinstance(about, Order) and about.status == TRASH:
            kind, topic = TRASHED, TOPIC_OF[STALE]  # the whole order: its date tells it from a restored one
        elif kind == GONE:  # it is there, in a status that no listing shows
            if isinstance(about, Order) and known.snapshot is not None and _is_same(about, known.snapshot):
                return
            kind, topic = STALE, TOPIC_OF[STALE]
        else:
            topic = TOPIC_OF[kind]
        if self._is_rehearsal:
            self._find(order_id, kind, changed_at, None)
            return
        delivery = self._record(topic, body, known)
        if delivery is not None:
            self._find(order_id, kind, changed_at, delivery)

    def _record(self, topic: str, body: bytes, known: Known) -> int | None:
        """The id of the delivery; None if the ledger has it, and has taken it into account.

        An order can be again what it was before it was deleted, or changed twice, within a second: that is
        another occurrence of the same content.
        """
        made = self._record_once(topic, body, "")
        if made.outcome != "duplicate":
            return made.id
        occurrence = self._occurrence(made.id, known)
        if occurrence is None:
            return None
        again = self._record_once(topic, body, occurrence)
        return None if again.outcome == "duplicate" else again.id

    def _occurrence(self, delivery_id: int, known: Known) -> str | None:
        """After what an order has the content of this delivery again; None if it has it since then."""
        with self._context.ledger.read() as connection:
            delivery = deliveries.get(connection, delivery_id)
        if delivery is None or delivery.state != PROCESSED or known.snapshot is None:
            return None
        if known.is_deleted:
            return f"after deletion {known.deleted_arrival}"
        return None if known.delivery_id == delivery_id else f"after delivery {known.delivery_id}"

    def _record_once(self, topic: str, body: bytes, occurrence: str) -> RecordedDelivery:
        while True:
            try:
                return self._recorder.record(
                    self._store, topic, body, self._shop.url, source=RECONCILE, occurrence=occurrence
                )
            except StoreChangedError:
                with self._context.ledger.read() as connection:
                    self._store = stores.get(connection, self._store.id)
                if self._store.removed_at is not None:
                    raise

    def _find(self, order_id: int, kind: str, changed_at: datetime | None, delivery_id: int | None) -> None:
        found = Find(
            self._store.id,
            order_id,
            kind,
            self._witness.why(kind, changed_at),
            delivery_id,
            changed_at,
            self._context.now(),
        )
        self._comparison.found.append(found)
        if delivery_id is None:
            return
        with self._context.ledger.write() as connection:
            finds.add(connection, [found])
        log.warning(
            "found by comparing with the shop",
            store=self._store.name,
            order=order_id,
            delivery=delivery_id,
            kind=kind,
            why=found.reason,
        )

    def _note_delivery(self, delivery_id: int) -> None:
        self._comparison.delivery_ids.append(delivery_id)

    def _renew(self) -> None:
        with self._context.ledger.write() as connection:
            shops.renew(connection, self._store.id, self._context.now())

    def _end(self, began_at: datetime) -> None:
        """All of it is recorded: only now the watermark moves, and absences are over."""
        plan, now = self._comparison.plan, self._context.now()
        with self._context.ledger.write() as connection:
            shops.note_compared(
                connection,
                self._store.id,
                until=plan.until,
                compare_from=self._shop.compare_from,
                kinds=plan.kinds,
                now=now,
            )
            shops.keep_page_size(connection, self._store.id, self._client.page_size)
            absences.settle(
                connection, self._store.id, ended_before=began_at - plan.wait, who="reconcile", now=now
            )


def _is_same(one: Order, other: Order) -> bool:
    return (one.modified, one.status) == (other.modified, other.status)


def _share(since: datetime, until: datetime, reached: datetime | None) -> float:
    if reached is None or until <= since:
        return 0.0
    return min(1.0, max(0.0, (reached - since) / (until - since)))
