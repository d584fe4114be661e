"""What happens to a delivery after it was answered: processed, decided, forwarded, swept up."""

from bridge.pipeline.configs import refresh_config
from bridge.pipeline.context import Context
from bridge.pipeline.forward import forward_issuance
from bridge.pipeline.process import process_delivery
from bridge.pipeline.sweep import Findings, sweep

__all__ = ["Context", "Findings", "forward_issuance", "process_delivery", "refresh_config", "sweep"]
