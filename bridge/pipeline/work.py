"""What is to be done next: ids, for which messages are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """Deliveries to process, stores that have something due, and stores whose config is to be fetched."""

    deliveries: Sequence[int] = field(default_factory=list)
    due_stores: Sequence[int] = field(default_factory=list)
    configs: Sequence[int] = field(default_factory=list)
