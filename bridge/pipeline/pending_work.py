"""What is to be done next: ids, for which messages are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PendingWork:
    """Deliveries to process, stores that have something due, and stores whose config is to be fetched."""

    deliveries: Sequence[int] = field(default_factory=list)
    due_stores: Sequence[int] = field(default_factory=list)
    configs: Sequence[int] = field(default_factory=list)
    # Of some of the stores, which issuances are due: whoever has just seen them need not look for them.
    due_issuances: Mapping[int, Sequence[int]] = field(default_factory=dict)
    has_rules_changed: bool = False  # so that open orders are to be decided on again

    @classmethod
    def of(cls, parts: Iterable[PendingWork]) -> PendingWork:
        """All of it together."""
        of_parts = list(parts)
        issuances: dict[int, list[int]] = {}
        for part in of_parts:
            for store_id, ids in part.due_issuances.items():
                issuances.setdefault(store_id, []).extend(ids)
        return cls(
            [one for part in of_parts for one in part.deliveries],
            list(dict.fromkeys(one for part in of_parts for one in part.due_stores)),
            list(dict.fromkeys(one for part in of_parts for one in part.configs)),
            issuances,
            any(part.has_rules_changed for part in of_parts),
        )
