"""`spacebridge issuances`: the documents that orders are owed, and their states."""

from __future__ import annotations

import click

from bridge.cli.groups import LazyGroup
from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import LIMIT_OPTION, STORE_OPTION
from bridge.cli.terminal import JSON_OPTION, print_rows
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger.issuances import Issuance

COLUMNS = ["id", "store", "order", "kind", "state", "attempts", "next_attempt_at", "last_error"]


@click.group(
    cls=LazyGroup, modules=dict.fromkeys(["resend", "mark-issued", "withdraw"], "bridge.cli.actions")
)
def issuances() -> None:
    """The documents: due, issued, held."""


@issuances.command("list")
@click.option("--state", type=click.Choice(["due", "sending", "issued", "failed", "held", "withdrawn"]))
@STORE_OPTION
@LIMIT_OPTION
@JSON_OPTION
def list_(state: str | None, store: str | None, limit: int, as_json: bool) -> None:
    """Show the newest issuances."""
    with open_ledger().read() as connection:
        if store:
            require_store(connection, store)
        rows = ledger_issuances.listed(connection, store=store, state=state, limit=limit)
    print_rows(COLUMNS, [issuance_row(issuance) for issuance in rows], as_json=as_json)


def issuance_row(issuance: Issuance) -> dict[str, object]:
    """An issuance under the names that scripts rely on; `order` is the order's id in WooCommerce."""
    return {name: getattr(issuance, name) for name in COLUMNS} | {"id": str(issuance.id)}
