"""What the bridge needs of Space Invoices: one protocol. Another version of the API is another class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.spaceinvoices.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of sending an order, and how long it took in seconds."""

    outcome: Outcome
    duration: float


class SpaceInvoicesApi(Protocol):
    """One account's access. For use by one thread at a time. No method sends anything twice.

    A config is the object that Space Invoices keeps for a store, as JSON. Its values are exactly those of the
    API's answer, since they are sent back with each order.
    """

    def send_order(
        self, woocommerce_id: str, body: bytes, *, idempotency_key: str, is_too_late: Callable[[], bool]
    ) -> Answer:
        """Send an order, which may have a document issued, and return what became of it. Never raises.

        Once `is_too_late`, nothing is sent any more, and the outcome is that nothing was.
        """
        ...

    def find_config(self, organization_id: str, woocommerce_id: str) -> Mapping[str, Any] | None:
        """The config of this id; None if there is none (any more). Raises SpaceInvoicesError."""
        ...

    def list_configs(
        self, organization_id: str, woocommerce_ids: Sequence[str] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The configs of an organization, or those of these ids; the API may cut the list off.

        Raises SpaceInvoicesError.
        """
        ...
