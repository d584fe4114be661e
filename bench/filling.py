"""Fills a ledger as years of use would: with deliveries, orders and documents that are settled long ago."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Sequence

import psycopg

from bench.orders import FIRST, body_of, order_template
from bench.tested import Bridge

# Ten deliveries for three orders. Order k is of store k modulo their number, and the last delivery that it
# had is its snapshot. Each row is as the bridge leaves it once the document is issued; all bodies are one
# order's, compressed, and all moments spread over 80 days.
_STATEMENTS = (
    "INSERT INTO deliveries (id, store_id, topic, digest, body, resource_id, is_deletion, state, reason,"
    " received_at, last_received_at)"
    " SELECT k, {first_store} + ((3 * k + 9) / 10) % {stores}, 'order.updated', {digest}, {body},"
    " (3 * k + 9) / 10, false, 'processed', 'order is processing -> invoice', {moment}, {moment}"
    " FROM {deliveries}",
    "INSERT INTO orders (id, store_id, resource_id, order_key, delivery_id, number, status, payment_method,"
    " total, currency, modified, has_date_paid, has_refunds, decision, reason, decided_version)"
    " SELECT k, {first_store} + k % {stores}, k, 'wc_order_' || k, 10 * k / 3, '' || k, 'processing',"
    " 'stripe', '126.98', 'EUR', {moment}, true, false, 'done', 'The order has its invoice.', 2"
    " FROM {orders}",
    "INSERT INTO issuances (id, store_id, order_id, kind, state, attempts, attempt_id, first_attempt_at,"
    " total, currency, created_at, settled_at)"
    " SELECT k, {first_store} + k % {stores}, k, 'invoice', 'issued', 1, k, {moment}, '126.98', 'EUR',"
    " {moment}, {moment} FROM {orders}",
    "INSERT INTO attempts (id, issuance_id, delivery_id, started_at, duration_ms, outcome, status)"
    " SELECT k, k, 10 * k / 3, {moment}, 80, 'issued', 200 FROM {orders}",
)
_TABLES = ("deliveries", "orders", "issuances", "attempts")


def fill(bridge: Bridge, orders: int) -> None:
    """Put so many orders into an empty ledger, and ten deliveries for three of them."""
    ((first_store,),) = bridge.query("SELECT min(id) FROM stores")
    body = zlib.compress(body_of(order_template(), FIRST).encode())
    values = {"first_store": str(first_store), "stores": str(len(bridge.stores))}
    if bridge.is_embedded:
        numbers = (
            "(WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {}) SELECT k FROM n)"
        )
        moment = "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || (10 + k % 80) || ' days')"
        values |= {"body": f"X'{body.hex()}'", "digest": "randomblob(32)", "moment": moment}
    else:
        numbers = "generate_series(1, {}) AS n(k)"
        moment = "now() - (10 + k % 80) * interval '1 day'"
        values |= {"body": f"'\\x{body.hex()}'::bytea", "digest": "sha256(k::text::bytea)", "moment": moment}
    values |= {"orders": numbers.format(orders), "deliveries": numbers.format(orders * 10 // 3)}
    _execute(bridge, [statement.format(**values) for statement in _STATEMENTS])
    if bridge.is_embedded:
        _execute(bridge, ["PRAGMA wal_checkpoint(TRUNCATE)"])
        return
    _execute(
        bridge,
        [
            # The ids of what comes next, which an inserted id does not count up.
            *(f"SELECT setval(pg_get_serial_sequence('{one}', 'id'), max(id)) FROM {one}" for one in _TABLES),
            *(f"VACUUM ANALYZE {table}" for table in _TABLES),
            "CHECKPOINT",
        ],
    )


def forget_that_stores_are_new(bridge: Bridge) -> None:
    """Have no order decided anew: for a minute after a store was added, each sweep looks for such orders."""
    _execute(bridge, ["UPDATE stores SET deciding_anew_since = NULL"])


def _execute(bridge: Bridge, statements: Sequence[str]) -> None:
    if bridge.is_embedded:
        with contextlib.closing(sqlite3.connect(bridge.database_url.removeprefix("sqlite:///"))) as file:
            for statement in statements:
                with file:
                    file.execute(statement)
        return
    with psycopg.connect(bridge.database_url, autocommit=True) as server:
        server.execute("SET session_replication_role = replica")  # foreign keys are not looked up row by row
        for statement in statements:
            server.execute(statement.encode())
