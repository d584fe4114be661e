"""The body of `POST /v1/Woocommerce/:id/order`: the order with the store's config over it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bridge.issuance.kinds import Kind
from bridge.issuance.options import BANK_PAYMENT, Policy
from bridge.issuance.order import Order
from bridge.issuance.status import OrderStage, stage_of, standard_status

# "Create Woocommerce ... /order", Properties, in the API document. Read-only ones (`id`, dates,
# `_isDeleted`, `deletedId`) are not among them: `id` is the order's.
CONFIG_PROPERTIES = (
    "name",
    "active",
    "locale",
    "sendInvoiceAutomatically",
    "sendEstimateAutomatically",
    "issueInvoiceForBankPayment",
    "issueInvoiceOnComplete",
    "businessPremiseId",
    "electronicDeviceId",
    "organizationId",
    "unitId",
    "warehouseId",
    "accountId",
    "custom",
)

_decode = json.JSONDecoder().raw_decode
_MARK = re.compile(r"[ \t\n\r]*([{}:,])[ \t\n\r]*").match
ORIGINALS = "woocommerce"  # in `custom`: the shop's own values of what is overridden


def overrides_of(order: Order, policy: Policy, kind: Kind, *, issue_anyway: bool) -> Mapping[str, str | bool]:
    """The properties to send with other values, so that Space Invoices issues the kind that was decided.

    It decides the kind of document by itself, from the flags, `status` and `payment_method`. It knows one
    bank payment, `bacs`, and no custom status.
    """
    overrides: dict[str, str | bool] = {}
    status = standard_status(order, policy.status_map)
    by_bank = policy.is_bank_payment(order)
    if by_bank and order.payment_method != BANK_PAYMENT:
        overrides["payment_method"] = BANK_PAYMENT
    if status != order.status:
        overrides["status"] = status
    is_unpaid = stage_of(order, policy.status_map) in {OrderStage.PENDING, OrderStage.ON_HOLD}
    if kind is Kind.INVOICE and is_unpaid and not by_bank and order.payment_method == BANK_PAYMENT:
        overrides["issueInvoiceForBankPayment"] = True
    if kind is Kind.INVOICE and issue_anyway:
        overrides["issueInvoiceOnComplete"] = False
    return overrides


def compose(
    order: bytes, config: Mapping[str, object], overrides: Mapping[str, str | bool] | None = None
) -> bytes:
    """Merge the config's documented properties over the order, and `overrides` over both.

    The shop's own values of what is overridden are sent in `custom`. Every other value of the order keeps its
    bytes: to parse and write it again would turn PHP's `40.979999999999997` into `40.98`, equal as a float,
    and not what the shop sent. Raises ValueError if the order is no JSON object.
    """
    try:
        members = _members(order.decode("utf-8"))
    except RecursionError:
        raise ValueError("the order is nested too deeply") from None
    of_order = {name: value for name, value in (overrides or {}).items() if name not in CONFIG_PROPERTIES}
    originals = {name: json.loads(members[name]) for name in of_order if name in members}
    merged: dict[str, Any] = {**config, **(overrides or {})}
    if originals:
        custom = config.get("custom")
        merged["custom"] = {**(custom if isinstance(custom, dict) else {}), ORIGINALS: originals}
    for name in (*CONFIG_PROPERTIES, *of_order):
        if merged.get(name) is not None:
            members[name] = json.dumps(merged[name])
    return ("{" + ",".join(f"{json.dumps(name)}:{raw}" for name, raw in members.items()) + "}").encode()


def _members(text: str) -> dict[str, str]:
    """The members of a JSON object as raw text; the last of a repeated name counts, as in PHP."""
    members: dict[str, str] = {}
    mark, at = _mark("{", text, 0)
    if text.startswith("}", at):
        mark, at = _mark("}", text, at)
    while mark != "}":
        name, at = _decode(text, at)
        if not isinstance(name, str):
            raise ValueError(f"expected a name before character {at} of the order")
        _, start = _mark(":", text, at)
        _, end = _decode(text, start)
        members[name] = text[start:end]
        mark, at = _mark(",}", text, end)
    if at != len(text):
        raise ValueError(f"the order goes on after its end at character {at}")
    return members


def _mark(expected: str, text: str, at: int) -> tuple[str, int]:
    """Which of the expected marks comes next, and where the text goes on after it."""
    found = _MARK(text, at)
    if found is None or found[1] not in expected:
        raise ValueError(f"expected {' or '.join(expected)} at character {at} of the order")
    return found[1], found.end()
