"""All tests; `support` has what they share, and `data` what they deliver."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the project
