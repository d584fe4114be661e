"""What the tests put into a ledger, and how they look at it."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Table, func, select

from bridge.db import Ledger, tables
from bridge.issuance import Kind, Order, StoreOptions, Verdict
from bridge.ledger import attempts, deliveries, issuances, orders, processing, stores
from bridge.ledger.attempts import Claim, NotDueError
from bridge.ledger.deliveries import Delivery
from bridge.ledger.insertion import Insertion, insert
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.ledger.orders import KnownOrder
from bridge.ledger.processing import Finished
from bridge.ledger.stores import Store
from bridge.vault import Vault
from bridge.vault.encryption import make_key

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
LEASE = timedelta(seconds=90)
VAULT = Vault([make_key()])
TOKEN, SECRET = "the-store's-api-token", "the-store's-webhook-secret"

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Books:
    """A ledger with one store in it. Each method is a transaction of its own."""

    ledger: Ledger
    url: str
    store_id: int

    def write(
        self, function: Callable[Concatenate[Connection, _P], _Result], *args: _P.args, **kwargs: _P.kwargs
    ) -> _Result:
        """Call a function of the ledger's in a transaction that commits."""
        with self.ledger.write() as connection:
            return function(connection, *args, **kwargs)

    def read(
        self, function: Callable[Concatenate[Connection, _P], _Result], *args: _P.args, **kwargs: _P.kwargs
    ) -> _Result:
        """Call a function of the ledger's in a transaction that reads."""
        with self.ledger.read() as connection:
            return function(connection, *args, **kwargs)

    def deliver(self, body: bytes = b'{"id": 1}', **given: Any) -> Insertion:
        """Insert a delivery, as `delivery_of` describes it."""
        return self.write(insert_delivery, **delivery_of(self.store_id, body, **given))

    def delivery(self, delivery_id: int) -> Delivery:
        found = self.read(deliveries.get, delivery_id)
        assert found is not None
        return found

    def known(self, resource_id: int = 1, *, store_id: int | None = None, **fields: Any) -> int:
        """An order with a snapshot, `fields` over the usual; its id."""
        with self.ledger.write() as connection:
            return add_order(connection, store_id or self.store_id, resource_id, **fields)

    def order(self, order_id: int) -> KnownOrder:
        return self.write(orders.lock, order_id)

    def due(self, resource_id: int = 1, kind: Kind = Kind.INVOICE, at: datetime = NOW) -> Issuance:
        """An issuance that is due, of an order of its own."""
        with self.ledger.write() as connection:
            return add_due(connection, self.store_id, resource_id, kind, at)

    def claim(
        self, issuance: Issuance, *, now: datetime = NOW, lease: timedelta = LEASE
    ) -> StartedAttempt | None:
        """Begin to send an issuance, as it was when it was read; None if it is due no more."""
        try:
            return self.write(claim, issuance, now=now, lease=lease)
        except NotDueError:
            return None

    def sending(self, resource_id: int = 1, *, lease: timedelta = LEASE) -> StartedAttempt:
        """An issuance that is being sent, of an order of its own."""
        attempt = self.claim(self.due(resource_id), lease=lease)
        assert attempt is not None
        return attempt

    def brought_to(self, state: str, resource_id: int = 1) -> StartedAttempt:
        """An issuance that has been tried once and is in this state now; returns that attempt."""
        with self.ledger.write() as connection:
            attempt = claim(connection, add_due(connection, self.store_id, resource_id))
            if state == "due" or state.startswith("withdrawn"):
                assert issuances.postpone(connection, attempt, error="busy", next_attempt_at=NOW)
            match state:
                case "issued":
                    issuances.mark_issued(connection, [attempt.issuance_id], NOW)
                case "failed":
                    assert issuances.mark_failed(connection, attempt, error="no", now=NOW)
                case "held":
                    assert issuances.mark_held(connection, attempt, error="?", now=NOW)
                case "withdrawn":
                    assert withdraw(connection, attempt.issuance_id, NOW)
                case "withdrawn by an operator":
                    assert issuances.withdraw_for_good(connection, attempt.issuance_id, NOW, who="maja")
        assert state.startswith(self.issuance(attempt.issuance_id).state)
        return attempt

    def issuance(self, issuance_id: int) -> Issuance:
        found = self.read(issuances.get, issuance_id)
        assert found is not None
        return found

    def store(self, store_id: int | None = None) -> Store:
        return self.read(stores.get, store_id or self.store_id)

    def row(self, table: Table, row_id: int) -> Mapping[str, Any]:
        """All columns of a row."""
        with self.ledger.read() as connection:
            return dict(connection.execute(select(table).where(table.c.id == row_id)).mappings().one())

    def count(self, table: Table) -> int:
        with self.ledger.read() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()


def add_store(connection: Connection, name: str = "shop", *, options: StoreOptions | None = None) -> int:
    """A store; its id."""
    return stores.add(
        connection,
        vault=VAULT,
        name=name,
        organization_id="64b7e0c0a1b2c3d4e5f60718",
        woocommerce_id=hashlib.sha256(str(name).encode()).hexdigest()[:24],  # each has its own
        api_token=TOKEN,
        webhook_secret=SECRET,
        options=options or StoreOptions(),
        now=NOW,
    )


def insert_delivery(connection: Connection, /, **new: Any) -> Insertion:
    """Insert a delivery, as `delivery_of` describes it, for its store as it is now."""
    secret = select(tables.stores.c.webhook_secret).where(tables.stores.c.id == new["store_id"])
    row: Any = {"webhook_secret": connection.execute(secret).scalar_one(), **new}
    insertion = insert(connection, row)
    assert insertion is not None
    return insertion


def delivery_of(store_id: int, body: bytes, *, now: datetime = NOW, **given: Any) -> Any:
    """What `insert_delivery` is given: `given`, and the usual for the rest."""
    return {
        "store_id": store_id,
        "topic": "order.updated",
        "digest": hashlib.sha256(body).digest(),
        "body": deliveries.compressed(body),
        "resource_id": 1,
        "is_deletion": False,
        "shop_url": None,
        "source": "webhook",
        "state": "received",
        "reason": None,
        "received_at": now,
        **given,
    }


def snapshot_of(resource_id: int = 1, **fields: Any) -> Order:
    """An order as the shop describes it: `fields`, and the usual for the rest."""
    usual = Order(
        resource_id=resource_id,
        order_key=f"wc_order_{resource_id}",
        number=str(resource_id),
        status="processing",
        payment_method="stripe",
        total="12.30",
        currency="EUR",
        modified=NOW,
        has_date_paid=True,
        has_refunds=False,
    )
    return Order(**{name: fields.get(name, getattr(usual, name)) for name in Order.__slots__})


def add_order(connection: Connection, store_id: int, resource_id: int = 1, **fields: Any) -> int:
    """An order with a snapshot, and the delivery that it came in; its id."""
    snapshot = snapshot_of(resource_id, **fields)
    body = f"{snapshot}".encode()
    recorded = insert_delivery(connection, **delivery_of(store_id, body, resource_id=resource_id))
    order = lock_or_add(connection, store_id, resource_id, snapshot.order_key)
    orders.save(connection, [replace(order, snapshot=snapshot, delivery_id=recorded.delivery_id)])
    return order.id


def lock_or_add(connection: Connection, store_id: int, resource_id: int, order_key: str) -> KnownOrder:
    """The order of this identity, locked; it is added if it is new."""
    identity = store_id, resource_id, order_key
    orders.add(connection, [identity])
    found = orders.lock_of_resources(connection, [(store_id, resource_id)])
    (order,) = [one for one in found.values() if one.identity == identity]
    return order


def save_snapshot(connection: Connection, order_id: int, snapshot: Order, delivery_id: int) -> None:
    """Keep what the shop says of an order, and the delivery in which it did."""
    order = orders.lock(connection, order_id)
    orders.save(connection, [replace(order, snapshot=snapshot, delivery_id=delivery_id)])


def save_deletion(connection: Connection, order_id: int, deleted_at: datetime | None) -> None:
    """Keep when the shop trashed an order, or that it has not."""
    orders.save(connection, [replace(orders.lock(connection, order_id), deleted_at=deleted_at)])


def save_verdict(connection: Connection, order_id: int, verdict: Verdict, version: int) -> None:
    """Keep what was decided on an order, by this version of the rules."""
    decided = replace(
        orders.lock(connection, order_id),
        decision=verdict.label,
        reason=verdict.reason,
        decided_version=version,
    )
    orders.save(connection, [decided])


def finish(connection: Connection, delivery_id: int, *, state: str, reason: str | None) -> None:
    """Note what became of one delivery."""
    processing.finish(connection, [Finished(delivery_id, state, reason)])


def make_due(connection: Connection, *, store_id: int, order_id: int, kind: Kind, now: datetime) -> bool:
    """Have one document issued; whether it is this that made it due, at a moment that nobody else gives."""
    issuances.make_due(connection, [(store_id, order_id, kind)], now)
    (issuance,) = [one for one in issuances.of_order(connection, order_id) if one.kind == kind]
    return issuance.next_attempt_at == now


def withdraw(connection: Connection, issuance_id: int, now: datetime) -> bool:
    """Take back one document that is due; whether it is withdrawn now."""
    issuances.withdraw(connection, [issuance_id], now)
    issuance = issuances.get(connection, issuance_id)
    return issuance is not None and issuance.state == issuances.WITHDRAWN


def mark_issued(connection: Connection, issuance_id: int, now: datetime) -> bool:
    """One document exists; whether it is issued now."""
    issuances.mark_issued(connection, [issuance_id], now)
    issuance = issuances.get(connection, issuance_id)
    return issuance is not None and issuance.state == issuances.ISSUED


def add_due(
    connection: Connection, store_id: int, resource_id: int = 1, kind: Kind = Kind.INVOICE, at: datetime = NOW
) -> Issuance:
    """An issuance that is due, of an order of this id."""
    order_id = add_order(connection, store_id, resource_id)
    issuances.make_due(connection, [(store_id, order_id, kind)], at)
    (issuance,) = [one for one in issuances.of_order(connection, order_id) if one.kind == kind]
    return issuance


def claim(
    connection: Connection, issuance: Issuance, *, now: datetime = NOW, lease: timedelta = LEASE
) -> StartedAttempt:
    """Begin to send an issuance, as a worker does; raises NotDueError if it is due no more."""
    order = orders.lock(connection, issuance.order_id)
    claims = [Claim.of(order, issuance)]
    (attempt,) = attempts.start(connection, claims, now=now, lease_ends_at=now + lease)
    return attempt


def as_logged(error: BaseException) -> str:
    """All that a log would show of an error."""
    return "".join(traceback.format_exception(error))
