"""The body of `POST /v1/Woocommerce/:id/order`: the order as received, and over it the store's config."""

from __future__ import annotations

import json
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
_WHITESPACE = " \t\n\r"
ORIGINALS = "woocommerce"  # in `custom`: the values of the shop that others are sent in the place of


def said_of(order: Order, policy: Policy, kind: Kind, *, issue_anyway: bool) -> Mapping[str, str | bool]:
    """What has to be sent in other words, so that Space Invoices reads what was decided by a store's choices.

    It decides the kind of document by itself, from the flags, `status` and `payment_method`. It knows one
    bank payment, `bacs`, and no status but WooCommerce's own.
    """
    said: dict[str, str | bool] = {}
    status = standard_status(order, policy.status_map)
    by_bank = policy.is_bank_payment(order)
    if by_bank and order.payment_method != BANK_PAYMENT:
        said["payment_method"] = BANK_PAYMENT
    if status != order.status:
        said["status"] = status
    is_unpaid = stage_of(order, policy.status_map) in {OrderStage.PENDING, OrderStage.ON_HOLD}
    if kind is Kind.INVOICE and is_unpaid and not by_bank and order.payment_method == BANK_PAYMENT:
        said["issueInvoiceForBankPayment"] = True
    if kind is Kind.INVOICE and issue_anyway:
        said["issueInvoiceOnComplete"] = False
    return said


def compose(
    order: bytes, config: Mapping[str, object], said: Mapping[str, str | bool] | None = None
) -> bytes:
    """Lay the config's documented properties over the order; raises ValueError if it is no JSON object.

    Over both is laid what is `said` in other words; what the shop said itself goes along in `custom`.

    Every value of the order keeps its own bytes. Parsing and writing it again would turn PHP's
    `40.979999999999997` into `40.98`: equal as a float, and yet not what the shop sent.
    """
    try:
        members = _members(order.decode("utf-8"))
    except RecursionError:
        raise ValueError("the order is nested too deeply") from None
    said = said or {}
    originals = {
        name: json.loads(members[name]) for name in said if name in members and name not in CONFIG_PROPERTIES
    }
    laid_over: dict[str, Any] = {**config, **said}
    if originals:
        custom = config.get("custom")
        of_config = custom if isinstance(custom, dict) else {}
        laid_over["custom"] = {**of_config, ORIGINALS: originals}
    for name in (*CONFIG_PROPERTIES, *(one for one in said if one not in CONFIG_PROPERTIES)):
        if laid_over.get(name) is not None:
            members[name] = json.dumps(laid_over[name])
    return ("{" + ",".join(f"{json.dumps(name)}:{raw}" for name, raw in members.items()) + "}").encode()


def _members(text: str) -> dict[str, str]:
    """The members of a JSON object as raw text; of a repeated name the last counts, as in PHP."""
    members: dict[str, str] = {}
    at = _skip(text, _expect(text, _skip(text, 0), "{"))
    if text[at : at + 1] == "}":
        return _if_it_ends(members, text, at + 1)
    while True:
        name, at = _decode(text, at)
        if not isinstance(name, str):
            raise ValueError(f"expected a name before character {at} of the order")
        start = _skip(text, _expect(text, _skip(text, at), ":"))
        _, end = _decode(text, start)
        members[name] = text[start:end]
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            return _if_it_ends(members, text, at + 1)
        at = _skip(text, _expect(text, at, ","))


def _if_it_ends(members: dict[str, str], text: str, at: int) -> dict[str, str]:
    if _skip(text, at) != len(text):
        raise ValueError(f"the order goes on after its end at character {at}")
    return members


def _expect(text: str, at: int, character: str) -> int:
    if text[at : at + 1] != character:
        raise ValueError(f"expected {character!r} at character {at} of the order")
    return at + 1


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _WHITESPACE:
        at += 1
    return at
