"""What is due for an order whose deletions and states arrive in any order."""

from __future__ import annotations

import pytest

from tests.chaos.due import due
from tests.chaos.lives import ESTIMATE, INVOICE, Step

PENDING = Step(1, 0, "order.created", b"", None, True)
ON_HOLD = Step(1, 1, "order.updated", b"", ESTIMATE, True)
TRASHED = Step(1, 2, "order.deleted", b"", None, True)
RESTORED = Step(1, 3, "order.restored", b"", ESTIMATE, True)
PAID = Step(1, 4, "order.updated", b"", INVOICE, True)


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ([], None),
        ([TRASHED], None),
        ([ON_HOLD, PENDING], ESTIMATE),  # overtaken
        ([ON_HOLD, TRASHED], None),
        ([TRASHED, ON_HOLD], ESTIMATE),
        ([ON_HOLD, TRASHED, PENDING], None),  # an old state does not restore it
        ([ON_HOLD, TRASHED, RESTORED], ESTIMATE),
        ([ON_HOLD, TRASHED, RESTORED, PAID], INVOICE),
        ([ON_HOLD, TRASHED, PAID, RESTORED], INVOICE),
        ([ON_HOLD, TRASHED, RESTORED, TRASHED], None),
        ([ON_HOLD, TRASHED, RESTORED, TRASHED, PAID], INVOICE),
        ([ON_HOLD, RESTORED, TRASHED], None),  # the deletion was overtaken
        ([ON_HOLD, TRASHED, ON_HOLD], None),  # a repeat
    ],
)
def test_arrival_is_the_place_of_a_deletion_among_the_states(
    arrived: list[Step], expected: str | None
) -> None:
    assert due(arrived) == expected
