"""A store's options, each declared once: name, default, type, and the sentence that explains it.

The commands on stores, JSON, the file that describes stores and the ledger's column follow from it.
A new option is a field here, a migration that adds its column, and the rule that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Annotated, get_type_hints

from bridge.issuance.option_types import (
    Addresses,
    Choice,
    Flag,
    MetadataKeys,
    Option,
    PaymentMethods,
    StartDate,
    StatusMap,
)
from bridge.issuance.order import Order

BANK_PAYMENT = "bacs"  # the only bank payment that Space Invoices knows


@dataclass(frozen=True, slots=True)
class Policy:
    """The options that decide: when one changes, the store's open orders are decided on again."""

    issue_pending: Annotated[
        bool, Flag("true|false", "issue for orders that are pending: placed, and unpaid")
    ] = False
    bank_payment_methods: Annotated[
        frozenset[str], PaymentMethods("bacs,cheque*", "the payment methods that are bank payments")
    ] = frozenset({BANK_PAYMENT})
    status_map: Annotated[
        Mapping[str, str], StatusMap("shipped:completed", "a standard status for each custom one")
    ] = field(default_factory=dict)
    issue_from: Annotated[
        datetime | None,
        StartDate(
            "now|DATE|all", "issue for orders created from then on (UTC)", nullable=True, is_learned=True
        ),
    ] = None
    sub_orders: Annotated[
        str, Choice("ask|issue|skip", "orders that are a part of another: marketplaces, deposits")
    ] = "ask"
    unpaid_on_hold: Annotated[
        str, Choice("issue|wait", "on-hold orders by other methods than bank: at once, or when paid")
    ] = "issue"
    zero_total: Annotated[str, Choice("issue|skip", "orders whose total is 0")] = "issue"
    test_orders: Annotated[str, Choice("skip|issue", "orders paid in a gateway's test mode")] = "skip"
    invoiced_meta: Annotated[
        frozenset[str],
        MetadataKeys(
            "apollo_invoice_id,...", "metadata in which another plugin notes its invoice", nullable=True
        ),
    ] = frozenset({"apollo_invoice_id"})  # of Space Invoices' own plugin

    def is_bank_payment(self, order: Order) -> bool:
        """Whether the order's method is on the list: case does not count; `*` at the end is any ending."""
        method = order.payment_method.casefold()
        return any(
            method.startswith(entry[:-1]) if entry.endswith("*") else method == entry
            for entry in map(str.casefold, self.bank_payment_methods)
        )


@dataclass(frozen=True, slots=True)
class StoreOptions(Policy):
    """All options of a store: beside its policy, whose orders it takes and how they are sent."""

    order_body: Annotated[
        str, Choice("merged|bare", "send the order with the config over it, or as it came")
    ] = "merged"
    unknown_outcome: Annotated[
        str, Choice("hold|resend", "what may have been issued: ask you, or send it again")
    ] = "hold"
    shop_urls: Annotated[
        Sequence[str],
        Addresses(
            "shop.example,...",
            "where the shop is: other sites' orders are quarantined",
            nullable=True,
            is_learned=True,
        ),
    ] = ()  # until its first order names one


def _declared() -> Mapping[str, Option]:
    hints = get_type_hints(StoreOptions, include_extras=True)
    return {
        option.name: replace(hints[option.name].__metadata__[0], name=option.name)
        for option in fields(StoreOptions)
    }


OPTIONS = _declared()
"""The declarations by name."""
