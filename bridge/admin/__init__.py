"""What people do: to stores and their options, deliveries, issuances, keys and the ledger as a whole."""


class RefusedError(Exception):
    """What an operator asked for is not done; the message says why, and what to do."""
