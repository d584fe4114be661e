"""A stand-in for Space Invoices, to try and test the bridge without an account; it shares no code with it."""

from bridge.sandbox.app import create_sandbox

__all__ = ["create_sandbox"]
