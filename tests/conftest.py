"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A machine that is busy with something else is slow, and no test is wrong for that.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
