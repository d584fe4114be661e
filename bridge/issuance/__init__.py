"""Whose order it is, when a document is due, and what is sent for it: pure functions over plain values.

`decide` (decision.py) applies the rules (rules.py) to what they need to know (case.py).
"""

from bridge.issuance.case import LABELS, Config, Decision, Document, Documents, Exceptions, Verdict
from bridge.issuance.decision import decide
from bridge.issuance.kinds import Kind
from bridge.issuance.option_types import Option, OptionError
from bridge.issuance.options import BANK_PAYMENT, OPTIONS, Policy, StoreOptions
from bridge.issuance.order import Deletion, Details, NotAnOrder, Order, Timekeeping, Unreadable, printable
from bridge.issuance.payload import CONFIG_PROPERTIES, compose, overrides_of
from bridge.issuance.reading import About, content_digest, read_delivery
from bridge.issuance.shop import address_of, is_foreign
from bridge.issuance.status import (
    STANDARD_STATUSES,
    OrderStage,
    Place,
    is_newer,
    stage_of,
    was_saved_later,
)

__all__ = [
    "BANK_PAYMENT",
    "CONFIG_PROPERTIES",
    "LABELS",
    "OPTIONS",
    "STANDARD_STATUSES",
    "About",
    "Config",
    "Decision",
    "Deletion",
    "Details",
    "Document",
    "Documents",
    "Exceptions",
    "Kind",
    "NotAnOrder",
    "Option",
    "OptionError",
    "Order",
    "OrderStage",
    "Place",
    "Policy",
    "StoreOptions",
    "Timekeeping",
    "Unreadable",
    "Verdict",
    "address_of",
    "compose",
    "content_digest",
    "decide",
    "is_foreign",
    "is_newer",
    "overrides_of",
    "printable",
    "read_delivery",
    "stage_of",
    "was_saved_later",
]
