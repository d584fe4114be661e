"""The state of the sandbox, in memory and behind one lock: stores, documents and imports."""

from __future__ import annotations

import logging
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Any

from bridge.sandbox.documents import Kind, kind_for
from bridge.sandbox.errors import ApiError, refuse_invalid
from bridge.sandbox.filters import Filter
from bridge.sandbox.validation import (
    PROPERTIES,
    problems_of_changes,
    problems_of_import,
    problems_of_new,
)

logger = logging.getLogger("spacebridge.sandbox")

Woocommerce = Mapping[str, object]
"""A Woocommerce object with all documented properties. A change replaces it, so reading needs no lock."""
Document = Mapping[str, object]
"""An issued document, as `GET /sandbox/documents` lists it. `duplicate`: the order had a document of this
kind before. `out_of_order`: it is an estimate, and the order had its invoice before."""
Import = Mapping[str, object]
"""An import that was started, as `GET /sandbox/imports` lists it."""

COUNTS = (
    "requests",
    "invoices",
    "estimates",
    "duplicates",
    "out_of_order",
    "nothing",
    "imports",
    "rate_limited",
    "refused",
    "failed_on_purpose",
)
IMPORTS_KEPT = 1_000


class Account:
    """One organization with its Woocommerce objects, documents and imports. Thread-safe."""

    def __init__(self, organization_id: str, clock: Callable[[], datetime], random: Random) -> None:
        """`clock`: returns aware datetimes. `random`: makes the ids."""
        self._organization_id = organization_id
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._woocommerces: dict[str, Woocommerce] = {}
        self._documents: list[Document] = []
        self._wrong: list[Document] = []
        self._by_store: Counter[tuple[object, Kind]] = Counter()
        self._bodies: dict[str, bytes] = {}  # compressed: 100,000 orders take 150 MB instead of 600
        self._imports: deque[Import] = deque(maxlen=IMPORTS_KEPT)
        self._issued: set[tuple[object, int, str, Kind]] = set()
        self._positions: Counter[tuple[Kind, int]] = Counter()
        self._counts = dict.fromkeys(COUNTS, 0)

    def count(self, name: str) -> None:
        """Add one to a count; raises KeyError if it is none of COUNTS."""
        with self._lock:
            self._counts[name] += 1

    def check_organization(self, organization_id: str) -> None:
        """Raise ApiError 404 unless it is this account's organization."""
        if organization_id != self._organization_id:
            raise ApiError(404, f'Unknown "Organization" id "{organization_id}".')

    def find(self, criteria: Filter) -> tuple[Sequence[Woocommerce], int]:
        """The Woocommerce objects that a filter selects, oldest first, and their number on all pages."""
        with self._lock:
            objects = list(self._woocommerces.values())
        return criteria.select(objects)

    def get(self, woocommerce_id: str) -> Woocommerce:
        """The object with this id; raises ApiError 404 if there is none, or if it is deleted."""
        woocommerce = self._woocommerces.get(woocommerce_id)
        if woocommerce is None or woocommerce["_isDeleted"]:
            raise ApiError(404, f'Unknown "Woocommerce" id "{woocommerce_id}".')
        return woocommerce

    def create(self, properties: Mapping[str, object], woocommerce_id: str | None = None) -> Woocommerce:
        """Create an object, with an id of 24 random hexadecimal digits if none is given.

        Raises ApiError 422 for invalid properties, and ValueError for an id that exists.
        """
        refuse_invalid(problems_of_new(properties, self._organization_id))
        now = _document_date(self._clock())
        with self._lock:
            new_id = woocommerce_id or f"{self._random.getrandbits(96):024x}"
            if new_id in self._woocommerces:
                raise ValueError(f"there is a Woocommerce object {new_id} already")
            self._woocommerces[new_id] = {
                **dict.fromkeys(PROPERTIES),
                "custom": {},
                **properties,
                "id": new_id,
                "organizationId": self._organization_id,
                "deletedAt": None,
                "_isDeleted": False,
                "deletedId": None,
                "createdAt": now,
                "updatedAt": now,
            }
            return self._woocommerces[new_id]

    def change(self, woocommerce_id: str, changes: Mapping[str, object]) -> Woocommerce:
        """Change properties of an object, and return it; raises ApiError 404 or 422."""
        self.get(woocommerce_id)
        refuse_invalid(problems_of_changes(changes, self._organization_id))
        return self._update(woocommerce_id, changes)

    def delete(self, woocommerce_id: str) -> None:
        """Mark the object as deleted; raises ApiError 404 if there is none, or if it is deleted."""
        self._update(
            woocommerce_id,
            # The API document does not say what `deletedId` holds: here it is the object's own id.
            {"_isDeleted": True, "deletedId": woocommerce_id, "deletedAt": _document_date(self._clock())},
        )

    def start_import(self, woocommerce_id: str, body: Mapping[str, object]) -> None:
        """Record an import, and do nothing: there is no shop to import from. Raises ApiError 404 or 422."""
        self.get(woocommerce_id)
        refuse_invalid(problems_of_import(body))
        with self._lock:
            self._counts["imports"] += 1
            self._imports.append(
                {
                    "woocommerceId": woocommerce_id,
                    "type": body["type"],
                    "importOptions": body.get("importOptions"),
                    "requestedAt": _timestamp(self._clock()),
                }
            )

    def issue(
        self, config: Woocommerce, order: Mapping[str, Any], body: bytes, idempotency_key: str | None
    ) -> None:
        """Issue the document, if any, that an order without problems gets by the config.

        An order that has this kind of document gets another one, under a new number, whatever the idempotency
        key: the API document has none. So a bridge that sends an order twice is found out.
        """
        kind = kind_for(order["status"], order.get("payment_method", ""), config)
        if kind is None:
            self.count("nothing")
            return
        identity = (config["id"], int(order["id"]), order["order_key"])
        compressed = zlib.compress(body, 1)
        with self._lock:
            now = self._clock()
            self._positions[kind, now.year] += 1
            # Such as INV-2026-0001, the first invoice of 2026.
            number = f"{kind[:3].upper()}-{now.year}-{self._positions[kind, now.year]:04d}"
            document = {
                "number": number,
                "kind": kind.value,
                "woocommerceId": config["id"],
                "orderId": int(order["id"]),
                "orderKey": order["order_key"],
                "orderNumber": order.get("number") or str(order["id"]),
                "total": order["total"],
                "currency": order["currency"],
                "status": order["status"],
                "idempotencyKey": idempotency_key,
                "issuedAt": _timestamp(now),
                "duplicate": (*identity, kind) in self._issued,
                "out_of_order": kind is Kind.ESTIMATE and (*identity, Kind.INVOICE) in self._issued,
            }
            self._issued.add((*identity, kind))
            self._documents.append(document)
            if document["duplicate"] or document["out_of_order"]:
                self._wrong.append(document)
            self._by_store[config["id"], kind] += 1
            self._bodies[number] = compressed
            self._counts[f"{kind}s"] += 1
            self._counts["duplicates"] += document["duplicate"]
            self._counts["out_of_order"] += document["out_of_order"]
        _log_if_wrong(document)

    def documents(self, since: int) -> tuple[Sequence[Document], Mapping[str, int]]:
        """The documents after the first `since`, oldest first, and all counts."""
        with self._lock:
            return self._documents[since:], dict(self._counts)

    def body(self, number: str) -> bytes | None:
        """The body of the request that led to a document; None if there is no document of this number."""
        compressed = self._bodies.get(number)
        return None if compressed is None else zlib.decompress(compressed)

    def imports(self) -> Sequence[Import]:
        """The newest imports, at most IMPORTS_KEPT, oldest first."""
        with self._lock:
            return list(self._imports)

    def overview(self, *, before: int | None, documents: int, others: int) -> Mapping[str, object]:
        """The content of the page: `documents` at most before a position, and `others` of all else.

        Documents and imports are newest first, stores oldest first. `first` is the position of the page's
        oldest document, from 1, or 0 if there is none. `wrong`: documents that must not exist. `by_store`:
        the number of documents by a store's id and their kind.
        """
        with self._lock:
            end = len(self._documents) if before is None else min(before - 1, len(self._documents))
            start = max(0, end - documents)
            stores = list(islice(self._woocommerces.values(), others))
            return {
                "counts": dict(self._counts),
                "documents": self._documents[start:end][::-1],
                "first": start + 1 if end > start else 0,
                "wrong": self._wrong[-others:][::-1],
                "wrong_total": len(self._wrong),
                "stores": stores,
                "names": {store["id"]: store["name"] for store in stores},
                "stores_total": len(self._woocommerces),
                "by_store": dict(self._by_store),
                "imports": list(islice(reversed(self._imports), others)),
            }

    def _update(self, woocommerce_id: str, changes: Mapping[str, object]) -> Woocommerce:
        now = _document_date(self._clock())
        with self._lock:
            # Looked up again, since another request may have deleted it in between.
            updated = {**self.get(woocommerce_id), **changes, "updatedAt": now}
            self._woocommerces[woocommerce_id] = updated
            return updated


def _document_date(moment: datetime) -> str:
    """A date with an offset and a `Z` at its end, odd as that is, as in the API document's samples."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00Z")


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _log_if_wrong(document: Document) -> None:
    order_id, kind, number = document["orderId"], document["kind"], document["number"]
    if document["duplicate"]:
        logger.error("DUPLICATE: order %d was given its %s a second time, as %s", order_id, kind, number)
    if document["out_of_order"]:
        logger.error("OUT OF ORDER: order %d was given an %s after its invoice, %s", order_id, kind, number)
