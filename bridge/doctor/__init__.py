"""What is wrong with an installation, and what to type or to click to mend it."""

from bridge.doctor.examination import examine
from bridge.doctor.finding import Finding, Level, of_wrong_setting

__all__ = ["Finding", "Level", "examine", "of_wrong_setting"]
