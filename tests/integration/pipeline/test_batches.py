"""Deliveries that are processed together end as they do one by one, and one that cannot be stops no other."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from bridge.db import Ledger, LedgerUnavailableError, tables
from bridge.ledger import deliveries, issuances, orders, store_configs, stores
from bridge.ledger.attempts import Claim, start
from bridge.ledger.deliveries import FAILED, PROCESSED, RECEIVED
from bridge.ledger.issuances import Issuance
from bridge.ledger.processing import GIVE_UP_AFTER
from bridge.pipeline.complete import Completed, record
from bridge.pipeline.process import process_deliveries
from bridge.spaceinvoices import Effect, Outcome
from tests.support.books import add_store
from tests.support.shop import WOOCOMMERCE, Shop, at
from tests.support.shop import record as receive

CONFIGS: Sequence[dict[str, Any]] = [
    {"id": WOOCOMMERCE, "name": "Shop"},
    {"id": WOOCOMMERCE, "name": "Shop", "issueInvoiceForBankPayment": True, "issueInvoiceOnComplete": True},
]
numbers = itertools.count()


@dataclass(frozen=True)
class Arrival:
    """What one of two stores sends, so many seconds after what came before it."""

    store: int
    body: dict[str, Any]
    topic: str = "order.updated"
    seconds: int = 1


@dataclass(frozen=True)
class Step:
    """What arrives, which of all that has arrived is then processed, and what is done to whatever is due."""

    arrivals: Sequence[Arrival]
    taken: int  # a bit for each delivery, from the first
    then: str


# A shop that was installed again starts its ids again, at another time.
orders_of_the_shop = st.sampled_from(
    [
        {"order_key": "wc_order_z", "date_created_gmt": "2026-11-01T12:00:00"},
        {"order_key": "wc_order_z", "date_created_gmt": "2026-11-01T12:00:00"},
        {"order_key": "wc_order_a", "date_created_gmt": "2026-11-20T12:00:00"},
    ]
)
snapshots = st.builds(
    lambda second, order, **fields: at(second, **order, **fields),
    st.integers(0, 9),
    orders_of_the_shop,
    id=st.integers(1, 2),
    status=st.sampled_from(["pending", "on-hold", "processing", "completed", "cancelled", "refunded", "odd"]),
    payment_method=st.sampled_from(["bacs", "stripe"]),
    total=st.sampled_from(["10.00", "10.00", "20.00"]),
)
seconds = st.sampled_from([1, 1, 1, 0, -3])  # a clock may be set back
arrivals = st.one_of(
    st.builds(Arrival, st.integers(0, 1), snapshots, seconds=seconds),
    st.builds(Arrival, st.integers(0, 1), snapshots, seconds=seconds),
    st.builds(
        Arrival,
        st.integers(0, 1),
        st.fixed_dictionaries({"id": st.integers(1, 2)}),
        st.sampled_from(["order.deleted", "order.deleted", "order.deleted", "coupon.created"]),
        seconds,
    ),
)
ENDS = ["nothing", "nothing", "sending", "issued", "failed", "held", "put off", "withdrawn"]
histories = st.lists(
    st.builds(
        Step, st.lists(arrivals, min_size=1, max_size=8), st.integers(0, 2**24 - 1), st.sampled_from(ENDS)
    ),
    min_size=1,
    max_size=3,
)


class Side:
    """Two stores, to which the same happens as to those of the other side; only the processing differs."""

    def __init__(self, shop: Shop, process: Callable[[Sequence[int]], None]) -> None:
        self.shop = shop
        self.process = process
        self.received: list[int] = []  # ids of deliveries, in the order in which they arrived first
        self.names: list[str] = []
        self.store_ids: list[int] = []
        with shop.context.ledger.write() as connection:
            for config in CONFIGS:
                self.names.append(f"shop-{next(numbers)}")
                self.store_ids.append(add_store(connection, self.names[-1]))
                store = stores.get(connection, self.store_ids[-1])
                store_configs.save(connection, store, config, shop.clock.now())

    def receive(self, connection: Connection, arrival: Arrival) -> None:
        store_id, now = self.store_ids[arrival.store], self.shop.clock.now()
        delivery_id = receive(connection, store_id, arrival.body, arrival.topic, now=now)
        if delivery_id not in self.received:
            self.received.append(delivery_id)

    def take(self, bits: int) -> None:
        """Process those of the deliveries for which a bit is set."""
        self.process([one for place, one in enumerate(self.received) if bits >> place & 1])

    def bring_to(self, end: str) -> None:
        """Do this to whatever is due."""
        with self.shop.context.ledger.write() as connection:
            for name in self.names:
                for issuance in issuances.listed(connection, store=name, state="due"):
                    _end(self.shop, connection, issuance, end)

    def state(self) -> Any:
        """All that is known in the end, in which nothing tells one side from the other."""
        with self.shop.context.ledger.read() as connection:
            found = [deliveries.get(connection, one) for one in self.received]
            of_deliveries = [one and (one.state, _nameless(one.reason), one.duplicates) for one in found]
            of_stores = [self._of_store(connection, name) for name in self.names]
        return of_deliveries, of_stores

    def _of_store(self, connection: Connection, name: str) -> Any:
        return [
            (
                replace(
                    one,
                    id=0,
                    store_id=0,
                    store="",
                    delivery_id=0,
                    deleted_arrival=None,
                    reason=_nameless(one.reason),
                ),
                self.received.index(one.delivery_id) if one.delivery_id else None,
                sorted(_documents(issuances.of_order(connection, one.id)), key=lambda one: one.kind),
            )
            # From the oldest of each id: a deletion means the youngest.
            for one in sorted(
                orders.listed(connection, store=name), key=lambda one: (one.resource_id, one.id)
            )
        ]


def _end(shop: Shop, connection: Connection, issuance: Issuance, end: str) -> None:
    now = shop.clock.now()
    order = orders.lock(connection, issuance.order_id)
    if end == "withdrawn":
        assert issuances.withdraw_for_good(connection, issuance.id, now, who="maja")
        return
    claims = [Claim.of(order, issuance)]
    (attempt,) = start(connection, claims, now=now, lease_ends_at=now + timedelta(hours=1))
    effects = {
        "issued": Effect.ISSUED,
        "failed": Effect.REFUSED,
        "held": Effect.UNKNOWN,
        "put off": Effect.NOT_TAKEN,
    }
    if end in effects:
        record(
            shop.context,
            connection,
            [Completed(attempt, Outcome(effects[end], end), duration=0.1)],
            orders.lock_each(connection, [order.id]),
        )


def _documents(of_order: Collection[Issuance]) -> Iterator[Issuance]:
    """The documents, without what makes no difference to whether and as what they are issued.

    One that fell due and was withdrawn before anybody could see it is not there at all where both happened in
    one transaction. Nor does one that was put off, and did both in one transaction, fall due sooner for it.
    """
    for one in of_order:
        if one.state != issuances.WITHDRAWN or one.attempts or one.withdrawn_by:
            ids: dict[str, Any] = {"id": 0, "store_id": 0, "store": "", "order_id": 0, "attempt_id": 0}
            yield replace(one, **ids, next_attempt_at=None, first_attempt_at=None)


def _nameless(reason: str | None) -> str | None:
    """Without the ids of issuances."""
    return reason and re.sub(r"issuance \d+", "issuance #", reason)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories)
def test_deliveries_processed_together_end_as_they_do_one_by_one(shop: Shop, history: list[Step]) -> None:
    def together(ids: Sequence[int]) -> None:
        process_deliveries(shop.context, [*reversed(ids), *ids[:1]])

    def one_by_one(ids: Sequence[int]) -> None:
        with shop.context.ledger.read() as connection:
            received = [found for one in ids if (found := deliveries.get(connection, one)) is not None]
        for delivery in sorted(received, key=lambda one: (one.arrival, one.id)):
            process_deliveries(shop.context, [delivery.id])

    sides = [Side(shop, together), Side(shop, one_by_one)]
    for step in [*history, Step([], -1, "nothing")]:
        with shop.context.ledger.write() as connection:
            for arrival in step.arrivals:
                shop.clock.advance(seconds=arrival.seconds)
                for side in sides:
                    side.receive(connection, arrival)
        for side in sides:
            side.take(step.taken)
            if step.then != "nothing":
                side.bring_to(step.then)
        assert sides[0].state() == sides[1].state()
    of_deliveries, _ = sides[0].state()
    assert {state for state, *_ in of_deliveries} <= {"processed", "ignored"}


def _receive_five(shop: Shop) -> list[int]:
    fields = ({"id": number, "order_key": f"wc_order_{number}"} for number in range(1, 6))
    return [shop.receive(at(2, status="processing", **one)) for one in fields]


def _break(shop: Shop, delivery_id: int) -> None:
    """As if a disk had: what is kept of the body is no longer what was written."""
    with shop.context.ledger.write() as connection:
        row = update(tables.deliveries).where(tables.deliveries.c.id == delivery_id)
        connection.execute(row.values(body=b"not what zlib has written"))


def _rows(shop: Shop, ids: Sequence[int]) -> list[tuple[str, int, str | None]]:
    columns = (tables.deliveries.c[name] for name in ("state", "failures", "reason"))
    with shop.context.ledger.read() as connection:
        found = tables.deliveries.select().where(tables.deliveries.c.id.in_(ids)).with_only_columns(*columns)
        return [(row.state, row.failures, row.reason) for row in connection.execute(found.order_by("id"))]


def test_one_that_cannot_be_processed_leaves_the_others_processed_and_is_noted_once(shop: Shop) -> None:
    ids = _receive_five(shop)
    _break(shop, ids[2])
    work = process_deliveries(shop.context, ids)
    rows = _rows(shop, ids)
    assert rows.pop(2) == (RECEIVED, 1, "could not be processed: error")
    assert {(state, failures) for state, failures, _ in rows} == {(PROCESSED, 0)}
    with shop.context.ledger.read() as connection:
        due = [one.id for one in issuances.listed(connection, state="due")]
    assert len(due) == 4
    assert list(work.due_stores) == [shop.store_id]


def test_one_that_can_never_be_processed_is_given_up_and_the_others_are_not_touched_again(shop: Shop) -> None:
    ids = _receive_five(shop)
    _break(shop, ids[0])
    for _ in range(GIVE_UP_AFTER + 2):
        process_deliveries(shop.context, ids)
    (state, failures, _), *rows = _rows(shop, ids)
    assert (state, failures) == (FAILED, GIVE_UP_AFTER)
    assert {(state, failures) for state, failures, _ in rows} == {(PROCESSED, 0)}


def test_while_the_ledger_cannot_be_written_no_delivery_is_taken_to_have_failed(
    shop: Shop, database_url: str
) -> None:
    shop.process(shop.receive(at(1, status="pending", order_key="wc_order_1")))
    ids = _receive_five(shop)
    impatient = Ledger(database_url, lock_timeout=0.1)
    with shop.context.ledger.write() as connection:
        orders.lock(connection, shop.order().id)
        with suppress(LedgerUnavailableError):  # where one lock is everybody's
            process_deliveries(replace(shop.context, ledger=impatient, patience=0.1), ids)
    impatient.close()
    assert _rows(shop, ids)[0] == (RECEIVED, 0, None)
    assert {failures for _, failures, _ in _rows(shop, ids)} == {0}
    process_deliveries(shop.context, ids)
    assert {state for state, *_ in _rows(shop, ids)} == {PROCESSED}
