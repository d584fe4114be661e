"""What several steps leave to be done, taken together."""

from __future__ import annotations

from bridge.pipeline.pending_work import PendingWork


def test_nothing_is_to_be_done_where_no_step_left_anything() -> None:
    assert PendingWork.of([]) == PendingWork()
    assert PendingWork.of([PendingWork(), PendingWork()]) == PendingWork()


def test_each_store_is_named_once_and_each_delivery_is_kept() -> None:
    of_both = PendingWork.of(
        one
        for one in (
            PendingWork([1, 2], due_stores=[7, 8], configs=[7]),
            PendingWork([3], due_stores=[9, 7], configs=[9, 7]),
        )
    )
    assert of_both == PendingWork([1, 2, 3], due_stores=[7, 8, 9], configs=[7, 9])
