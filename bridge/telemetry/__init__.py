"""Logs and metrics of all processes, without personal data or secrets."""

from bridge.telemetry.logs import STDERR, STDOUT, configure_logging

__all__ = ["STDERR", "STDOUT", "configure_logging"]
