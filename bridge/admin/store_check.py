"""Checks a store's token and ids with Space Invoices before they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.admin import RefusedError
from bridge.issuance import printable
from bridge.ledger.stores import flags
from bridge.pipeline.context import Context, connect
from bridge.spaceinvoices import SpaceInvoicesApi, SpaceInvoicesError

MOST_NAMED = 5  # Woocommerce objects in the message if the given id is not among them


class StoreCheckError(RefusedError):
    """Space Invoices would refuse the store's orders, or gives no answer; the message says what to do."""


def check_account(
    context: Context, *, token: str, organization_id: str, woocommerce_id: str
) -> Mapping[str, Any]:
    """The Woocommerce object that this token has access to; raises StoreCheckError.

    The caller has checked the form of the token and the ids.
    """
    try:
        with connect(context.api_url, token, timeout=context.api_timeout) as api:
            config = api.find_config(organization_id, woocommerce_id)
            if config is None:
                raise StoreCheckError(_not_among(api, organization_id, woocommerce_id))
    except SpaceInvoicesError as error:
        raise StoreCheckError(why_not_answered(error, organization_id)) from None
    if config.get("_isDeleted") is True:
        raise StoreCheckError(
            f"Woocommerce object {woocommerce_id} was deleted in Space Invoices: make another one there."
        )
    if not flags(config).active:
        raise StoreCheckError(
            f"Woocommerce object {woocommerce_id} ({_named(config)}) is inactive, and takes no orders: "
            "activate it in Space Invoices."
        )
    return config


def why_not_answered(error: SpaceInvoicesError, organization_id: str) -> str:
    """What an error of a request for a store's config means, and what to do."""
    match error.status:
        case 401 | 403:
            return (
                f"Space Invoices does not accept the token ({error.status}), or the token has no right to "
                f"organization {organization_id}: compare both with what Space Invoices shows."
            )
        case 404:
            return (
                f"Space Invoices knows no organization {organization_id} (404): compare the id with what it "
                "shows, and SPACEBRIDGE_API_URL with its address."
            )
        case None:
            return f"{error} See that this machine reaches it, and that SPACEBRIDGE_API_URL is its address."
        case 429 | 500 | 502 | 503 | 504:
            return f"{error} Try again in a minute."
        case _:
            return f"{error} See that SPACEBRIDGE_API_URL is its address."


def _not_among(api: SpaceInvoicesApi, organization_id: str, woocommerce_id: str) -> str:
    others = api.list_configs(organization_id)
    message = f"Organization {organization_id} has no Woocommerce object {woocommerce_id}, or it was deleted."
    if not others:
        return f"{message} It has none at all: make one in Space Invoices."
    named = ", ".join(f"{other.get('id')} ({_named(other)})" for other in others[:MOST_NAMED])
    return f"{message} It has {named}{', and more' if len(others) > MOST_NAMED else ''}."


def _named(config: Mapping[str, Any]) -> str:
    return printable(str(config.get("name") or "without a name"))
