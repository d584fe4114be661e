"""The one way in for deliveries: each is described, inserted, and published to the workers.

A webhook's are recorded here, and so is what comes without one: by reconciliation, back-fill or hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol

import structlog

from bridge.db import Ledger, LedgerUnavailableError
from bridge.db.batch_writer import BatchWriter
from bridge.db.errors import LedgerBusyError
from bridge.issuance import About, Deletion, content_digest, printable, read_delivery
from bridge.ledger import stores
from bridge.ledger.deliveries import WEBHOOK, compressed
from bridge.ledger.insertion import Insertion, NewDelivery, insert, insert_together
from bridge.pipeline.quarantine import judged, shop_urls_of

log = structlog.get_logger(__name__)


class DeliveryStore(Protocol):
    """What a delivery needs of its store, as it was when the delivery was verified: a `Store`, or less."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def shop_urls(self) -> Sequence[str]: ...
    @property
    def encrypted_webhook_secret(self) -> str: ...


class StoreChangedError(Exception):
    """The store was removed, or has another secret since it was read: read it and verify again."""


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """A delivery that is in the ledger."""

    id: int
    outcome: str  # accepted, duplicate, ignored, quarantined or unreadable
    reason: str | None  # why it is none of the first two
    shop_urls: Sequence[str]  # the addresses of the store's shop, which it may have been the first to tell


class DeliveryRecorder:
    """Records deliveries: those that threads bring at the same time, in one transaction."""

    def __init__(
        self, ledger: Ledger, *, publish: Callable[[int], None], now: Callable[[], datetime]
    ) -> None:
        """`publish` is given the id of each delivery that is to be processed; it must not wait."""
        self._ledger = ledger
        self._publish = publish
        self._now = now
        self._batch_writer = BatchWriter(self._insert_together, concurrency=ledger.direct_writers)

    def record(
        self,
        store: DeliveryStore,
        topic: str,
        body: bytes,
        site: str = "",
        *,
        source: str = WEBHOOK,
        occurrence: str = "",
    ) -> RecordedDelivery:
        """Record a delivery that is known to be the store's. It is committed when this returns.

        `site` is the address of the site that it comes from, for a body that does not name it; `source` tells
        how it came. `occurrence` distinguishes it from a delivery of the same content that was processed
        before something else happened.

        1. Read what it is about, and whether it is to be processed.
        2. Insert it together with others. Alone, if that failed, or if its address is not known to be the
           shop's: the first order tells where the shop is.
        3. Publish its id.

        A crash between the commit and the answer leaves a delivery that WooCommerce counts as failed. The
        sweep processes it all the same.

        Raises StoreChangedError, LedgerUnavailableError, and LedgerFaultError; nothing is recorded then.
        """
        about = read_delivery(topic, body, site)
        new, shop_urls = describe(store, topic, body, about, source=source, now=self._now()), store.shop_urls
        if occurrence:
            new["digest"] = sha256(new["digest"] + occurrence.encode()).digest()
        insertion = None
        if not about.shop or about.shop in shop_urls:
            insertion = self._batch_writer.write(new)
        if insertion is None:
            insertion, shop_urls = self._insert_alone(store, new, about)
        if insertion.is_to_be_processed:
            self._publish(insertion.delivery_id)
        outcome, reason = "accepted", new["reason"]
        if insertion.is_duplicate:
            outcome, reason = "duplicate", None
        elif reason is not None:
            outcome = new["state"]
        log.info(
            "delivery recorded",
            store=store.name,
            delivery=insertion.delivery_id,
            order=new["resource_id"],
            topic=new["topic"],
            source=source,
            outcome=outcome,
        )
        return RecordedDelivery(insertion.delivery_id, outcome, reason, shop_urls)

    def _insert_together(self, batch: Sequence[NewDelivery]) -> Sequence[Insertion | None]:
        """In one transaction. None for what has to be inserted alone, which says what is wrong with it."""
        try:
            return self._ledger.write_by_driver(
                lambda cursor: insert_together(cursor, self._ledger.dialect, batch)
            )
        except LedgerBusyError:
            return [None] * len(batch)
        except LedgerUnavailableError:
            raise
        except Exception:  # the driver or the database refuses one of them
            return [None] * len(batch)

    def _insert_alone(
        self, store: DeliveryStore, new: NewDelivery, about: About
    ) -> tuple[Insertion, Sequence[str]]:
        """Insert it in a transaction of its own, judged by the shop's addresses, which are returned, too."""
        with self._ledger.write() as connection:
            shop_urls = shop_urls_of(connection, stores.get(connection, store.id), about)
            new["state"], new["reason"] = judged(about, shop_urls)
            insertion = insert(connection, new)
            if insertion is None:
                raise StoreChangedError(store.name)
        return insertion, shop_urls


def describe(
    store: DeliveryStore, topic: str, body: bytes, about: About, *, source: str = WEBHOOK, now: datetime
) -> NewDelivery:
    """What is inserted of a delivery that arrives now and is about this."""
    state, reason = judged(about, store.shop_urls)
    is_deletion = isinstance(about, Deletion)
    return {
        "store_id": store.id,
        "webhook_secret": store.encrypted_webhook_secret,
        "topic": printable(topic),
        "digest": content_digest(topic, body, about.shop if is_deletion else ""),
        "body": compressed(body),
        "resource_id": about.resource_id,
        "is_deletion": is_deletion,
        "shop_url": about.shop or None,
        "source": source,
        "state": state,
        "reason": reason,
        "received_at": now,
    }
