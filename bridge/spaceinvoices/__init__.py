"""Client of the Space Invoices API, and what its answers mean."""

from bridge.spaceinvoices.client import Answer, SpaceInvoices, SpaceInvoicesError
from bridge.spaceinvoices.outcome import Effect, Outcome

__all__ = ["Answer", "Effect", "Outcome", "SpaceInvoices", "SpaceInvoicesError"]
