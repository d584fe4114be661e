"""What is to be done next: ids, for which messages are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """Deliveries to process, issuances to forward, and stores whose config is to be fetched."""

    deliveries: Sequence[int] = field(default_factory=list)
    issuances: Sequence[int] = field(default_factory=list)
    stores: Sequence[int] = field(default_factory=list)
