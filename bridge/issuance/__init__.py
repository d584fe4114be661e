"""When a document is due, and what is sent for it: pure functions over plain values."""

from bridge.issuance.decision import Config, Decision, Document, Documents, Policy, Verdict, decide
from bridge.issuance.order import Deletion, NotAnOrder, Order, content_digest, printable, read_delivery
from bridge.issuance.payload import CONFIG_PROPERTIES, compose
from bridge.issuance.status import STANDARD_STATUSES, Standing, is_newer, standing

__all__ = [
    "CONFIG_PROPERTIES",
    "STANDARD_STATUSES",
    "Config",
    "Decision",
    "Deletion",
    "Document",
    "Documents",
    "NotAnOrder",
    "Order",
    "Policy",
    "Standing",
    "Verdict",
    "compose",
    "content_digest",
    "decide",
    "is_newer",
    "printable",
    "read_delivery",
    "standing",
]
