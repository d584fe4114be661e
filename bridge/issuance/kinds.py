"""The kinds of documents. A further one, such as the credit note, takes three files:

- this one: its name, which is what the ledger and JSON call it;
- `rules.py`: the rule that makes it due, and what its existence means to the other rules;
- `payload.py`: what is said to Space Invoices so that it issues this kind.

Its issuance, claim, attempts, retries and what is shown of it follow from there, as long as an order has at
most one document of the kind, over the order's total, that is sent to the same address. The sandbox has kinds
of its own.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The kinds, the more important first. An order has one document of each at most."""

    INVOICE = "invoice"
    ESTIMATE = "estimate"
