"""What happens to a delivery after it was answered: processed, decided, forwarded, swept up."""

from bridge.pipeline.configs import refresh_config
from bridge.pipeline.context import Context
from bridge.pipeline.drain import drain_store
from bridge.pipeline.forward import forward_issuance
from bridge.pipeline.lanes import TURN, Lanes
from bridge.pipeline.pace import Pace
from bridge.pipeline.process import process_deliveries
from bridge.pipeline.sweep import BATCH, sweep
from bridge.pipeline.work import Work

__all__ = [
    "BATCH",
    "TURN",
    "Context",
    "Lanes",
    "Pace",
    "Work",
    "drain_store",
    "forward_issuance",
    "process_deliveries",
    "refresh_config",
    "sweep",
]
