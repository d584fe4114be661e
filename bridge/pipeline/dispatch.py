"""Forwards all that is due of a store, an order at a time, in as many lanes as it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from bridge.ledger import due
from bridge.ledger.due import Due
from bridge.pipeline.context import Context
from bridge.pipeline.send import Sender
from bridge.pipeline.store_queues import Lane, Lanes


def drain_store(
    context: Context,
    lanes: Lanes,
    store_id: int,
    *,
    call: Callable[[int], None],
    idle: Callable[[], int] = lambda: sys.maxsize,
    others_wait: Callable[[], bool] = lambda: True,
    is_stopping: Callable[[], bool] = lambda: False,
    just_due: Sequence[int] = (),
) -> None:
    """Forward what is due of a store until nothing is, its account needs a rest, or it is another's turn.

    `call` asks for so many lanes more, here or in another process; no more are asked for than threads are
    `idle`. A turn that is over goes on while no `others_wait`; where the process `is_stopping`, it is over.
    `just_due`: issuances that the caller has just seen fall due; with them, the lane ends when they are
    forwarded, and reads no further. All of it rests on hints: what no lane comes upon is found by the sweep.
    """

    def fetch(after: Due | None, limit: int) -> Sequence[Due]:
        with context.ledger.read() as connection:
            return due.of_store(connection, store_id, now=context.now(), after=after, limit=limit)

    def take_turn(lane: Lane, forwarder: Sender) -> bool:
        """Returns whether another is to go on."""
        while (issuance_id := lane.next(None if just_due else fetch)) is not None:
            if wanted := lane.call(idle()):
                call(wanted)
            if not forwarder.forward(issuance_id, context.recent_store(store_id)):
                return False
            if is_stopping() or (lane.is_over and others_wait()):
                return True
        return False

    with lanes.enter(store_id, just_due) as lane:
        if lane is None:
            return
        with Sender(context) as forwarder:
            goes_on = take_turn(lane, forwarder)
    if goes_on:
        call(1)
