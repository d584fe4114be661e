"""Finds out what is wrong with an installation, and what to type or to click to mend it."""

from bridge.doctor.examination import examine
from bridge.doctor.finding import Finding, Level, settings_finding

__all__ = ["Finding", "Level", "examine", "settings_finding"]
