"""What several steps leave to be done, taken together."""

from __future__ import annotations

from bridge.pipeline.pending_work import PendingWork


def test_nothing_is_to_be_done_where_no_step_left_anything() -> None:
    assert PendingWork.of([]) == PendingWork()
    assert PendingWork.of([PendingWork(), PendingWork()]) == PendingWork()


def test_each_store_is_named_once_and_each_delivery_and_issuance_is_kept() -> None:
    of_both = PendingWork.of(
        one
        for one in (
            PendingWork([1, 2], due_stores=[7, 8], configs=[7], due_issuances={7: [70], 8: [80, 81]}),
            PendingWork([3], due_stores=[9, 7], configs=[9, 7], due_issuances={9: [90], 7: [71]}),
        )
    )
    assert of_both == PendingWork(
        [1, 2, 3], due_stores=[7, 8, 9], configs=[7, 9], due_issuances={7: [70, 71], 8: [80, 81], 9: [90]}
    )


def test_the_steps_own_findings_are_left_as_they_were() -> None:
    first, second = PendingWork(due_issuances={7: [70]}), PendingWork(due_issuances={7: [71]})
    PendingWork.of([first, second])
    assert first == PendingWork(due_issuances={7: [70]})
