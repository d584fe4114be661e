"""What is to be done next: ids, for which messages are sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PendingWork:
    """Deliveries to process, stores that have something due, and stores whose config is to be fetched."""

    deliveries: Sequence[int] = field(default_factory=list)
    due_stores: Sequence[int] = field(default_factory=list)
    configs: Sequence[int] = field(default_factory=list)
    has_more: bool = False  # whoever found it has not come to the end of what there is

    @classmethod
    def of(cls, parts: Iterable[PendingWork]) -> PendingWork:
        """All of it together."""
        parts = list(parts)
        return cls(
            [one for part in parts for one in part.deliveries],
            list(dict.fromkeys(one for part in parts for one in part.due_stores)),
            list(dict.fromkeys(one for part in parts for one in part.configs)),
            any(part.has_more for part in parts),
        )
