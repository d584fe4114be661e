"""Plans: nothing that is done for each delivery, request or sweep reads through a table that grows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, Connection, Engine, event, insert, select, text, update

from bridge.db import Ledger, tables
from bridge.ledger import backlog, deliveries, issuances, store_configs, stores
from bridge.pipeline.process import process_deliveries
from tests.integration.conftest import BACKENDS
from tests.support.books import add_store
from tests.support.servers import PostgresServer
from tests.support.shop import Shop, at, forward, maintain, open_shop

ROWS = 6000  # of each table that grows, nearly all of them settled long ago, and most of one store
OPEN = 40  # of them are not
GROWING = {"deliveries", "orders", "issuances", "attempts"}
# The indexes of open rows alone, which are few: all of one may be read.
PARTIAL = {
    index.name
    for table in tables.metadata.sorted_tables
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None
}


@dataclass
class Filled:
    """A shop whose ledger holds much, and the statements that were seen, each with values it was given."""

    shop: Shop
    url: URL
    statements: dict[str, Any] = field(default_factory=dict)
    planned_once: set[str] = field(default_factory=set)  # by PostgreSQL, for whatever values

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep each statement that is carried out in the block."""

        def keep(*executed: Any) -> None:
            connection, _, statement, parameters, *_ = executed
            is_planned = statement.split(maxsplit=1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}
            if is_planned and connection.engine.url == self.url:
                # One that is carried out for many rows has a list of theirs.
                values = parameters[0] if isinstance(parameters, list) else parameters
                self.statements.setdefault(statement, values)
                if _plans_once(connection.connection.driver_connection):
                    self.planned_once.add(statement)

        event.listen(Engine, "before_cursor_execute", keep)
        yield
        event.remove(Engine, "before_cursor_execute", keep)

    def scans(self) -> Mapping[str, list[str]]:
        """The statements that read through a table that grows, with what does so in their plans."""
        with self._plans() as plan:
            scans = {statement: plan(statement, values) for statement, values in self.statements.items()}
        return {statement: steps for statement, steps in scans.items() if steps}

    @contextmanager
    def _plans(self) -> Iterator[Callable[[str, Any], list[str]]]:
        if self.url.get_backend_name() == "sqlite":
            # A connection of its own, which enforces no foreign key: to look for orders of a delivery that
            # is just being inserted is a part of SQLite's plan that it skips while no key is violated.
            with closing(sqlite3.connect(str(self.url.database))) as own:
                yield lambda statement, values: _sqlite_scans(
                    own.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                )
            return
        with self.shop.context.ledger.write() as connection:
            yield lambda statement, values: list(
                _postgresql_scans(
                    _plan_for_any_values(connection, statement)
                    if statement in self.planned_once
                    else _postgresql_plan(connection, statement, values)
                )
            )


def _plans_once(driver: Any) -> bool:
    """Whether PostgreSQL is to plan each statement once: on a connection whose transactions write."""
    return isinstance(driver, psycopg.Connection) and not driver.read_only


def _sqlite_scans(plan: Iterable[tuple[int, int, int, str]]) -> list[str]:
    steps = [detail for *_, detail in plan if detail.startswith("SCAN ")]
    return [step for step in steps if step.split()[1] in GROWING and not PARTIAL & set(step.split())]


def _postgresql_plan(connection: Connection, statement: str, values: Any) -> Mapping[str, Any]:
    explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
    plan: Mapping[str, Any] = explained[0]["Plan"]
    return plan


def _plan_for_any_values(connection: Connection, statement: str) -> Mapping[str, Any]:
    """The one that a statement has which is prepared, and which PostgreSQL is to plan once."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
    connection.exec_driver_sql(f"PREPARE planned AS {numbered}")
    values = f"({', '.join(['NULL'] * len(names))})" if names else ""
    plan = _postgresql_plan(connection, f"EXECUTE planned{values}", ())
    connection.exec_driver_sql("DEALLOCATE planned")
    return plan


def _postgresql_scans(node: Mapping[str, Any]) -> Iterator[str]:
    kind, relation, index = (node.get(name) for name in ("Node Type", "Relation Name", "Index Name"))
    if kind == "Seq Scan" and relation in GROWING:
        yield f"{kind} of {relation}"
    if index is not None and "Index Cond" not in node and index not in PARTIAL:
        yield f"{kind} of all of {index}"
    for below in node.get("Plans", []):
        yield from _postgresql_scans(below)


@pytest.fixture(scope="module", params=BACKENDS)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'ledger.db'}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.new_database("plans")
    ledger = Ledger(url)
    ledger.upgrade()
    with open_shop(ledger) as shop:
        with ledger.write() as connection:
            _fill(connection, shop.store_id, shop.clock.now())
            if request.param == "postgresql":  # as its autovacuum does; in SQLite, nobody does
                connection.execute(text("ANALYZE"))
        yield Filled(shop, connection.engine.url)
    ledger.close()


def _fill(connection: Connection, store_id: int, now: datetime) -> None:
    other_stores = [add_store(connection, f"shop-{number}") for number in range(3)]
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("deliveries", "orders", "issuances", "attempts")
    }
    for number in range(1, ROWS + 1):
        is_open = number > ROWS - OPEN
        of = {"store_id": store_id if number % 10 else other_stores[number % 3]}
        then = now - timedelta(minutes=ROWS - number)
        rows["deliveries"].append(
            of
            | {"topic": "order.updated", "digest": number.to_bytes(32), "body": b"", "received_at": then}
            | {"resource_id": 1000 + number, "is_deletion": number % 20 == 0, "last_received_at": then}
            | {"state": _state_of_delivery(number)}
        )
        rows["orders"].append(
            of
            | {"resource_id": 1000 + number, "order_key": f"wc_order_{number}", "delivery_id": number}
            | {"number": str(number), "status": "processing", "payment_method": "stripe"}
            | {"total": "12.30", "currency": "EUR", "modified": then, "has_date_paid": True}
            | {"has_refunds": False, "decided_version": 1, "decision": "invoice" if is_open else "done"}
            | {"rule": "received" if is_open else "invoiced", "rule_since": then}
        )
        state = ("due", "sending", "held", "failed")[number % 4] if is_open else "issued"
        soon = now + timedelta(minutes=30)
        rows["issuances"].append(
            of
            | {"order_id": number, "kind": "invoice", "state": state, "created_at": then}
            | {"next_attempt_at": soon if state == "due" else None}
            | {"lease_ends_at": soon if state == "sending" else None}
        )
        rows["attempts"].append({"issuance_id": number, "delivery_id": number, "started_at": then})
    for name, values in rows.items():
        connection.execute(insert(tables.metadata.tables[name]), values)


def _have_orders_wait(connection: Connection, since: datetime) -> None:
    """Ten orders, and ten deliveries, of each kind that waits for a person."""
    waiting: list[dict[str, Any]] = [
        {"rule": "inactive", "decision": "skip"},
        {"rule": "pending", "decision": "wait", "has_date_paid": True},
        {"rule": "pending", "decision": "wait", "has_date_paid": False},
        {"rule": "unknown_status", "decision": "wait"},
        {"rule": "sub_order", "decision": "attention"},
    ]
    for tens, values in enumerate(waiting):
        of_these = tables.orders.c.id.between(10 * tens, 10 * tens + 9)
        connection.execute(update(tables.orders).where(of_these).values(rule_since=since, **values))
    for tens, state in enumerate(["unreadable", "quarantined"], 1):
        of_these = tables.deliveries.c.id.between(10 * tens, 10 * tens + 9)
        connection.execute(update(tables.deliveries).where(of_these).values(state=state))


def _state_of_delivery(number: int) -> str:
    if number > ROWS - OPEN and number % 8 == 0:
        return "failed"
    return "ignored" if number % 7 == 0 else "processed"


def _deliver(filled: Filled) -> None:
    """An order that is new, paid, repeated, trashed and restored."""
    shop = filled.shop
    with filled.watched():
        with shop.context.ledger.read() as connection:
            assert stores.find(connection, "shop") is not None
        for second, status in [(1, "pending"), (2, "processing"), (2, "processing")]:
            shop.process(shop.receive(at(second, status=status)))
        shop.process(shop.receive({"id": 1}, "order.deleted"))
        shop.process(shop.receive(at(30, status="processing")))
    assert shop.states() == {"invoice": "due"}


def _deliver_together(filled: Filled) -> None:
    """Several orders that are new, paid, trashed and restored: many deliveries in each transaction."""
    shop = filled.shop
    fields = [{"id": number, "order_key": f"wc_order_{number}"} for number in range(11, 16)]
    created = [shop.receive(at(1, status="pending", **one)) for one in fields]
    paid = [shop.receive(at(2, status="processing", **one)) for one in fields]
    trashed = [shop.receive({"id": one["id"]}, "order.deleted") for one in fields]
    restored = [shop.receive(at(30, status="processing", **one)) for one in fields]
    with filled.watched():
        process_deliveries(shop.context, created)
        process_deliveries(shop.context, trashed[:3])
        work = process_deliveries(shop.context, [*paid, *restored])
    assert list(work.due_stores) == [shop.store_id]


def _forward_together(filled: Filled) -> None:
    """Several documents that are claimed together."""
    shop = filled.shop
    due = [shop.paid(number) for number in range(21, 25)]
    with filled.watched():
        forward(shop.context, shop.store_id, threads=8)
    assert {shop.issuance(one).state for one in due} == {"issued"}


def _forward(filled: Filled) -> None:
    """All that is due of a store."""
    shop = filled.shop
    issuance_id = shop.paid(2)
    with filled.watched():
        forward(shop.context, shop.store_id)
    assert shop.issuance(issuance_id).state == "issued"


def _duties(filled: Filled) -> None:
    """With something of each kind to find, and rules that have changed."""
    shop = filled.shop
    waiting = shop.receive(at(40, status="processing", id=3, order_key="wc_order_3"))
    lost, open_order = shop.claim(shop.paid(4), lease=1), shop.paid(5)
    shop.clock.advance(seconds=10)
    with shop.context.ledger.write() as connection:
        store = stores.get(connection, shop.store_id)
        config = {**(store.config or {}), "issueInvoiceOnComplete": True}
        store_configs.save(connection, store, config, shop.clock.now())
    with filled.watched():
        found = maintain(shop.context)
    assert waiting in found.deliveries
    assert shop.issuance(lost.issuance_id).state == "held"
    assert shop.issuance(open_order).state == "withdrawn"


def _scrape(filled: Filled) -> None:
    """What the metrics tell of the ledger."""
    shop, now = filled.shop, filled.shop.clock.now()
    with shop.context.ledger.write() as connection:
        _have_orders_wait(connection, now - timedelta(days=3))
        connection.execute(
            update(tables.stores)
            .where(tables.stores.c.id == shop.store_id)
            .values(inactive_since=now, inactive_after_delivery=6)
        )
    with filled.watched(), shop.context.ledger.read() as connection:
        found = backlog.measure(connection, now)
    assert found.kept_deliveries == {"failed": 5, "unreadable": 10, "quarantined": 10}
    assert found.orders_waiting == {"pending": 10, "pending_paid": 10, "unknown_status": 10}
    assert found.orders_attention - found.orders_attention_recent == 10
    assert found.inactive_orders == {"shop": 3}
    assert found.open_issuances["held"] >= 10
    assert found.open_issuances["failed"] == 10


WORK = {
    "a delivery": _deliver,
    "deliveries together": _deliver_together,
    "a request": _forward,
    "requests together": _forward_together,
    "the duties": _duties,
    "a scrape": _scrape,
}


@pytest.mark.parametrize("work", WORK)
def test_nothing_reads_through_a_table_that_grows(filled: Filled, work: str) -> None:
    filled.statements.clear()
    WORK[work](filled)
    assert len(filled.statements) > 5, "the statements were not seen"
    assert filled.scans() == {}


def test_what_does_read_through_a_table_that_grows_is_seen(filled: Filled) -> None:
    filled.statements.clear()
    with filled.watched(), filled.shop.context.ledger.read() as connection:
        deliveries.listed(connection, state="ignored")
        issuances.listed(connection, state="issued")
        connection.execute(select(tables.orders).where(tables.orders.c.number == "7")).all()
    assert len(filled.scans()) == 3
