"""Records deliveries as they arrive: those that come at the same time, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningInsert

from bridge.ledger.deliveries import IGNORED, RECEIVED, Recorded, compressed, counting_repeats
from bridge.ledger.engine import Ledger
from bridge.ledger.errors import LedgerBusyError, LedgerUnavailableError
from bridge.ledger.group_commit import GroupCommit
from bridge.ledger.tables import deliveries, stores

_BROUGHT = [
    deliveries.c[name]
    for name in ("topic", "digest", "body", "resource_id", "is_deletion", "state", "reason", "received_at")
]
_COLUMNS = ["store_id", *(one.name for one in _BROUGHT), "last_received_at"]

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KnownStore:
    """A store as it was looked up: its webhook secret as the ledger keeps it, and in clear."""

    id: int
    name: str
    encrypted_secret: str = field(repr=False)
    secret: str = field(repr=False)


class Recorder:
    """Records deliveries of stores that are known. Whether they are what they were, the insertion sees."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        dialect = ledger.dialect
        self._moment: Any = deliveries.c.received_at.type.dialect_impl(dialect).bind_processor(dialect)
        if dialect.name == "sqlite":
            self._insert = self._one_by_one
            compiled = _insertion_of_one().compile(dialect=sqlite.dialect(paramstyle="named"))
        else:
            self._insert = self._all_at_once
            compiled = _insertion_of_many().compile(dialect=dialect)
        self._sql, self._constants = str(compiled), compiled.params
        self._group = GroupCommit(self._commit)

    def record(
        self,
        store: KnownStore,
        *,
        topic: str,
        digest: bytes,
        body: bytes,
        resource_id: int | None,
        is_deletion: bool,
        ignored_because: str | None,
        now: datetime,
    ) -> Recorded | None:
        """The same as `deliveries.record`, but committed on return.

        None, and nothing is recorded, if the store does not have this secret any more: one is encrypted to
        another text whenever it changes, and erased when the store is removed. None, too, for what cannot be
        recorded together with others, whatever the reason: recorded by itself, it is told that. Raises
        LedgerUnavailableError.
        """
        return self._group.write(
            {
                "store_id": store.id,
                "webhook_secret": store.encrypted_secret,
                "topic": topic,
                "digest": digest,
                "body": compressed(body),
                "resource_id": resource_id,
                "is_deletion": is_deletion,
                "state": RECEIVED if ignored_because is None else IGNORED,
                "reason": ignored_because,
                "received_at": self._moment(now),
            }
        )

    def _commit(self, rows: Sequence[_Row]) -> Sequence[Recorded | None]:
        try:
            with self._ledger.write_by_driver() as cursor:
                return self._insert(cursor, rows)
        except LedgerBusyError:
            return [None] * len(rows)
        except LedgerUnavailableError:
            raise
        except (
            Exception
        ):  # one of them is refused, by the driver or by the database: let each be told its own
            return [None] * len(rows)

    def _one_by_one(self, cursor: Any, rows: Sequence[_Row]) -> Sequence[Recorded | None]:
        found = [cursor.execute(self._sql, self._constants | row).fetchone() for row in rows]
        return [None if one is None else _recorded(*one) for one in found]

    def _all_at_once(self, cursor: Any, rows: Sequence[_Row]) -> Sequence[Recorded | None]:
        """One statement, and so one exchange with the server, which refuses to insert the same row twice."""
        first = {(row["store_id"], row["digest"]): row for row in reversed(rows)}
        lists = {name: [row[name] for row in first.values()] for name in rows[0]}
        found = {(one[3], one[4]): one for one in cursor.execute(self._sql, self._constants | lists)}
        keys = [(row["store_id"], row["digest"]) for row in rows]
        return [
            _recorded(*found[key]) if key in found and first[key] is row else None
            for key, row in zip(keys, rows, strict=True)
        ]


def _recorded(delivery_id: int, duplicates: int, state: str, *_: object) -> Recorded:
    return Recorded(delivery_id, duplicates > 0, state == RECEIVED)


def _insertion_of_one() -> ReturningInsert[Any]:
    """For SQLite: a row of parameters, if its store has that secret."""
    values = {one.name: bindparam(one.name, type_=one.type) for one in _BROUGHT}
    brought = select(stores.c.id, *values.values(), values["received_at"]).where(
        stores.c.id == bindparam("store_id"), stores.c.webhook_secret == bindparam("webhook_secret")
    )
    return counting_repeats(sqlite.insert(deliveries).from_select(_COLUMNS, brought))


def _insertion_of_many() -> ReturningInsert[Any]:
    """For PostgreSQL: a row of each place in the lists that are its parameters, if its store has that secret."""
    columns = [deliveries.c.store_id, stores.c.webhook_secret, *_BROUGHT]
    lists = func.unnest(*(bindparam(one.name, type_=ARRAY(one.type)) for one in columns))
    rows = lists.table_valued(
        *(column(one.name, one.type) for one in columns), name="brought"
    ).render_derived()
    brought = (
        select(rows.c.store_id, *(rows.c[one.name] for one in _BROUGHT), rows.c.received_at)
        .join(stores, and_(stores.c.id == rows.c.store_id, stores.c.webhook_secret == rows.c.webhook_secret))
        # Two processes that are brought the same repeats lock them in the same order, not each other out.
        .order_by(rows.c.store_id, rows.c.digest)
    )
    return counting_repeats(postgresql.insert(deliveries).from_select(_COLUMNS, brought))
