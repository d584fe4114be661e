"""Records deliveries as they arrive: those that come at the same time, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Unpack

from bridge.db.batch_writer import BatchWriter
from bridge.db.engine import Ledger
from bridge.db.errors import LedgerBusyError, LedgerUnavailableError
from bridge.db.tables import deliveries
from bridge.ledger.deliveries import NewDelivery, Recorded, columns
from bridge.ledger.insertion import Row, insertion


@dataclass(frozen=True, slots=True)
class CachedStore:
    """A store as it was looked up: its webhook secret as the ledger keeps it, and in clear.

    `shop_urls` are the addresses of its shop, none if they were not known then.
    """

    id: int
    name: str
    shop_urls: frozenset[str]
    encrypted_secret: str = field(repr=False)
    secret: str = field(repr=False)


class Recorder:
    """Records deliveries of stores that are known. Whether they are what they were, the insertion sees."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        dialect = ledger.dialect
        self._moment: Any = deliveries.c.received_at.type.dialect_impl(dialect).bind_processor(dialect)
        self._insert = insertion(dialect)
        self._group = BatchWriter(self._commit, concurrency=ledger.direct_writers)

    def record(self, store: CachedStore, *, now: datetime, **new: Unpack[NewDelivery]) -> Recorded | None:
        """The same as `deliveries.record`, but committed on return.

        None, and nothing is recorded, if the store does not have this secret any more: one is encrypted to
        another text whenever it changes, and erased when the store is removed. None, too, for what cannot be
        recorded together with others, whatever the reason: recorded by itself, it is told that. Raises
        LedgerUnavailableError.
        """
        self._moment(now)  # a moment without a time zone is refused by itself, and not together with others
        return self._group.write(
            {
                "store_id": store.id,
                "webhook_secret": store.encrypted_secret,
                **columns(new),
                "received_at": now,
            }
        )

    def _commit(self, rows: Sequence[Row]) -> Sequence[Recorded | None]:
        try:
            return self._ledger.write_by_driver(lambda cursor: self._insert(cursor, rows))
        except LedgerBusyError:
            return [None] * len(rows)
        except LedgerUnavailableError:
            raise
        except Exception:  # the driver or the database refuses one of them: let each be told its own
            return [None] * len(rows)
