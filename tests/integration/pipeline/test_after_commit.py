"""Logs and counters tell what is committed: of a transaction that fails at its commit, they tell nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from bridge.db import Ledger, LedgerFaultError
from bridge.db.after_commit import after_commit
from bridge.pipeline.process import process_deliveries
from bridge.telemetry.counts import REGISTRY
from tests.support.api import failing_api
from tests.support.shop import Shop, at, forward_issuance, maintain, open_shop

# What is promised at a change of the table, and not kept by the commit.
PROMISES = "CREATE TABLE promises (id BIGINT REFERENCES stores (id) DEFERRABLE INITIALLY DEFERRED)"
BREAKING = {
    "sqlite": [
        PROMISES,
        "CREATE TRIGGER breaking AFTER UPDATE ON {0} BEGIN INSERT INTO promises VALUES (-1); END",
    ],
    "postgresql": [
        PROMISES,
        "CREATE FUNCTION promise() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO promises VALUES (-1); RETURN NULL; END $$",
        "CREATE TRIGGER breaking AFTER UPDATE ON {0} FOR EACH ROW EXECUTE FUNCTION promise()",
    ],
}
KEEPING = {"sqlite": "DROP TRIGGER breaking", "postgresql": "DROP TRIGGER breaking ON {0}"}


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """A store in a ledger of its own, whose schema the tests change."""
    ledger = Ledger(database_url)
    ledger.upgrade()
    with open_shop(ledger) as shop:
        yield shop
    ledger.close()


@contextmanager
def failing_at_commit(shop: Shop, table: str) -> Iterator[None]:
    """A transaction that changes a row of this table fails, and not before its commit."""
    dialect = shop.context.ledger.dialect.name
    with shop.context.ledger.write() as connection:
        for statement in BREAKING[dialect]:
            connection.execute(text(statement.format(table)))
    yield
    with shop.context.ledger.write() as connection:
        connection.execute(text(KEEPING[dialect].format(table)))


def counted(name: str) -> float:
    """All that has been counted under a name, in this process."""
    return sum(
        sample.value for metric in REGISTRY.collect() for sample in metric.samples if sample.name == name
    )


def events(lines: Sequence[Any]) -> list[str]:
    return [line["event"] for line in lines]


def test_nothing_is_told_of_a_delivery_whose_transaction_fails_at_its_commit(shop: Shop) -> None:
    received = shop.receive(at(1, status="processing"))
    before = counted("spacebridge_decisions_total")
    with structlog.testing.capture_logs() as lines, failing_at_commit(shop, "orders"):
        assert not process_deliveries(shop.context, [received]).due_stores
    assert events(lines) == ["a delivery could not be processed"]
    assert counted("spacebridge_decisions_total") == before
    with structlog.testing.capture_logs() as lines:
        process_deliveries(shop.context, [received])
    assert events(lines) == ["delivery processed"]
    assert counted("spacebridge_decisions_total") == before + 1


def test_nothing_is_told_of_an_attempt_whose_outcome_fails_at_its_commit(shop: Shop) -> None:
    invoice = shop.paid(1)
    before = counted("spacebridge_attempts_total")
    with structlog.testing.capture_logs() as lines, failing_at_commit(shop, "attempts"):
        forward_issuance(shop.context, invoice)
    assert events(lines) == ["an outcome could not be recorded"]
    assert counted("spacebridge_attempts_total") == before
    shop.clock.advance(hours=1)
    with structlog.testing.capture_logs() as lines:
        maintain(shop.context)
    assert [(one["event"], one["outcome"]) for one in lines] == [("attempt ended", "unknown")]
    assert counted("spacebridge_attempts_total") == before + 1


def test_nothing_is_told_of_a_pause_that_fails_at_its_commit(shop: Shop) -> None:
    invoice = shop.paid(1)
    with failing_api(shop) as (api, context):
        api.order_status = 401
        with structlog.testing.capture_logs() as lines, failing_at_commit(shop, "stores"):
            forward_issuance(context, invoice)
        assert events(lines) == ["an outcome could not be recorded"]
        assert shop.store().paused_at is None
        second = shop.paid(2)
        with structlog.testing.capture_logs() as lines:
            forward_issuance(context, second)
    assert events(lines) == ["store paused", "attempt ended"]


def test_a_hook_that_fails_is_no_failure_of_the_transaction(shop: Shop) -> None:
    calls: list[str] = []

    def fail() -> None:
        raise BrokenPipeError

    with shop.context.ledger.write() as connection:
        after_commit(connection, fail)
        after_commit(connection, lambda: calls.append("after it"))
        assert calls == []
    assert calls == ["after it"]


def test_the_hooks_of_a_rolled_back_transaction_do_not_run_after_the_next(shop: Shop) -> None:
    calls: list[str] = []

    def hook_and_fail() -> None:
        with shop.context.ledger.write() as connection:
            after_commit(connection, lambda: calls.append("rolled back"))
            connection.execute(text("INSERT INTO stores (id) VALUES (NULL)"))

    with pytest.raises(LedgerFaultError):
        hook_and_fail()
    with shop.context.ledger.write() as connection:
        after_commit(connection, lambda: calls.append("committed"))
    assert calls == ["committed"]
