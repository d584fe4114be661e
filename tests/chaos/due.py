"""What is rightly due for an order, from what arrived of it and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.lives import Step


def due(arrived: Sequence[Step]) -> str | None:
    """The document that an order is due after these deliveries of it, first to last; None if it is due none.

    Of its states, the one that the shop saved last counts, whenever it arrived. A deletion counts from its
    arrival until a state arrives that the shop saved later than those known by then: the order was restored.
    """
    newest: Step | None = None
    deleted = False
    for step in arrived:
        if step.is_deletion:
            deleted = True
        elif newest is None or step.position > newest.position:
            newest, deleted = step, False
    return None if newest is None or deleted else newest.due
