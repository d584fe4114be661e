"""Makes connections to an SQLite file."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL

from bridge.db.connections import new_engine


def sqlite_engine(url: URL, *, begin: str, pool_size: int, lock_timeout: float, **pragmas: str) -> Engine:
    """An engine for an SQLite file, with these pragmas. The statement `begin` begins its transactions."""
    engine = new_engine(url, pool_size=pool_size, max_overflow=20)
    pragmas = {
        "busy_timeout": f"{lock_timeout * 1000:.0f}",
        "synchronous": "FULL",
        "foreign_keys": "ON",
        **pragmas,
    }

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions; `begin_transaction` does
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin_transaction)
    return engine
