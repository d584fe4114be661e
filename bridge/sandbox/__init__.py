"""A Space Invoices stand-in, to try and to judge the bridge without an account: it shares no code with it."""

from bridge.sandbox.app import create_sandbox

__all__ = ["create_sandbox"]
