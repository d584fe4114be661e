"""The threads of this process that take tasks: how many have nothing to do, and could share some work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from celery.worker import state

_Item = TypeVar("_Item")


class Crew:
    """The threads of a worker's pool; 0 in a child of a pool of processes, which has none to share with."""

    def __init__(self, size: int = 0) -> None:
        self.size = size

    def idle(self) -> int:
        """How many have nothing to do, and no message that has come for them."""
        return max(0, self.size - len(state.reserved_requests))

    def share(self, items: Sequence[_Item]) -> Sequence[Sequence[_Item]]:
        """The items in parts of about the same length: one for the caller, one for each idle thread.

        None is empty but the caller's, if there are no items.
        """
        return parts(items, most=1 + self.idle()) or [[]]


def parts(items: Sequence[_Item], *, most: int) -> Sequence[Sequence[_Item]]:
    """The items in so many parts at most, none of them empty."""
    number = min(most, len(items))
    return [items[start::number] for start in range(number)]
