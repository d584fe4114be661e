"""What the processes tell about themselves: logs and metrics, never with personal data or secrets."""

from bridge.telemetry.logs import STDERR, STDOUT, configure_logging

__all__ = ["STDERR", "STDOUT", "configure_logging"]
