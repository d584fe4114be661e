"""A store of a test's ledger that is connected to the stand-in of a shop; the test sets both clocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.ledger import shops
from bridge.pipeline.context import Context
from bridge.pipeline.process import process_deliveries
from bridge.pipeline.reconcile import Comparison, Plan, Reconciler
from bridge.shop import Shop as Client
from bridge.shop import ShopKeys, find_endpoint
from tests.support.connected import connect_to
from tests.support.shop import Shop, forward
from tests.support.shop_stand_in import ShopStandIn


@dataclass
class Connected:
    """The store, and its shop at the other end."""

    store: Shop
    there: ShopStandIn
    keys: ShopKeys

    @property
    def context(self) -> Context:
        return self.store.context

    def now(self) -> datetime:
        return self.store.clock.now()

    def advance(self, **by: float) -> None:
        """Let time pass, here and there."""
        self.store.clock.advance(**by)
        self.set_clock_there()

    def set_clock_there(self) -> None:
        self.there.skew += self.store.clock.now().timestamp() - self.there.shop.clock()

    def row(self) -> shops.Shop:
        with self.context.ledger.read() as connection:
            found = shops.of_store(connection, self.store.store_id)
        assert found is not None
        return found

    def client(self) -> Client:
        return Client(find_endpoint(self.there.url, self.keys, pause=0), self.keys, pause=0)

    def reconciler(self, client: Client, *, is_rehearsal: bool = False) -> Reconciler:
        return Reconciler(self.context, self.store.store(), self.row(), client, is_rehearsal=is_rehearsal)

    def compare(self, *, is_rehearsal: bool = False, **plan: Any) -> Comparison:
        """Compare what is due, or as this says; have all that enters processed and issued."""
        with self.client() as client:
            reconciler = self.reconciler(client, is_rehearsal=is_rehearsal)
            planned: Plan = replace(reconciler.plan(), **plan)
            comparison = reconciler.run(planned)
        for delivery_id in comparison.delivery_ids:
            process_deliveries(self.context, [delivery_id])
        forward(self.context, self.store.store_id)
        return comparison


@contextmanager
def connected(store: Shop) -> Iterator[Connected]:
    """Connect a store to a shop that has no orders yet, and was compared just now."""
    with ShopStandIn(zone="UTC") as there:
        keys = ShopKeys(there.consumer_key, there.consumer_secret)
        made = Connected(store, there, keys)
        made.set_clock_there()
        context, now = store.context, store.clock.now()
        connect_to(context.ledger, context.vault, store.store_id, there, now)
        with context.ledger.write() as connection:
            kinds = ("recent", "content", "trash")
            shops.note_compared(
                connection, store.store_id, until=now, compare_from=None, kinds=kinds, now=now
            )
        yield made
