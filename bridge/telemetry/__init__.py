"""What the processes tell about themselves: logs and metrics, never with personal data or secrets."""

from bridge.telemetry.logs import configure_logging

__all__ = ["configure_logging"]
