"""`spacebridge issuances`: the documents, and what an operator can do with those that are stuck."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from bridge.admin import operate
from bridge.cli.apply_to_each import apply_to_each, confirm_issuances
from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import AS_OPTION, IDS_ARGUMENT, LIMIT_OPTION, STORE_OPTION, YES_OPTION
from bridge.cli.terminal import JSON_OPTION, print_rows
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger.issuances import ISSUED, Issuance

COLUMNS = ["id", "store", "order", "kind", "state", "attempts", "next_attempt_at", "last_error"]


@click.group()
def issuances() -> None:
    """The documents: due, issued, held."""


@issuances.command("list")
@click.option("--state", type=click.Choice(["due", "sending", "issued", "failed", "held", "withdrawn"]))
@STORE_OPTION
@LIMIT_OPTION
@JSON_OPTION
def list_(state: str | None, store: str | None, limit: int, as_json: bool) -> None:
    """Show the newest issuances."""
    ledger = open_ledger()
    if store:
        require_store(ledger, store)
    with ledger.read() as connection:
        rows = ledger_issuances.listed(connection, store=store, state=state, limit=limit)
    print_rows(COLUMNS, [issuance_row(issuance) for issuance in rows], as_json=as_json)


@issuances.command()
@IDS_ARGUMENT
@YES_OPTION
@AS_OPTION
@JSON_OPTION
def resend(ids: Sequence[int], yes: bool, who: str, as_json: bool) -> None:
    """Send documents again that are held, have failed, or were withdrawn by hand.

    Asks first about those that Space Invoices may have already: look for them there, or they may be issued
    twice.
    """
    ledger = open_ledger()
    doubtful = operate.doubtful(ledger, ids)
    if doubtful and not yes:
        confirm_issuances(
            doubtful,
            reason="Space Invoices may have these already. Sent again, they may be issued twice:",
            question="Have you looked there, and are they missing?",
        )
    cleared = {issuance.id: issuance.attempt_id for issuance in doubtful}
    apply_to_each(
        ids,
        lambda id_, now: operate.resend(ledger, id_, cleared_attempt=cleared.get(id_), who=who, now=now),
        issuance_row,
        as_json=as_json,
    )


@issuances.command("mark-issued")
@IDS_ARGUMENT
@YES_OPTION
@AS_OPTION
@JSON_OPTION
def mark_issued(ids: Sequence[int], yes: bool, who: str, as_json: bool) -> None:
    """Note that documents are in Space Invoices, so that they are never sent again.

    Asks first: it cannot be undone.
    """
    ledger = open_ledger()
    with ledger.read() as connection:
        rows = [ledger_issuances.get(connection, id_) for id_ in ids]
    unissued = [issuance for issuance in rows if issuance is not None and issuance.state != ISSUED]
    if unissued and not yes:
        confirm_issuances(
            unissued,
            reason="Marked as issued, these are never sent again, which cannot be undone:",
            question="Are they in Space Invoices?",
        )
    apply_to_each(ids, partial(operate.mark_issued, ledger, who=who), issuance_row, as_json=as_json)


@issuances.command()
@IDS_ARGUMENT
@AS_OPTION
@JSON_OPTION
def withdraw(ids: Sequence[int], who: str, as_json: bool) -> None:
    """Withdraw documents that are due, held or have failed: they are not sent. `resend` takes that back."""
    apply_to_each(ids, partial(operate.withdraw, open_ledger(), who=who), issuance_row, as_json=as_json)


def issuance_row(issuance: Issuance) -> dict[str, object]:
    """An issuance under the names that scripts rely on; `order` is the order's id in WooCommerce."""
    return {
        "id": str(issuance.id),
        "store": issuance.store,
        "order": issuance.order,
        "kind": issuance.kind,
        "state": issuance.state,
        "attempts": issuance.attempts,
        "next_attempt_at": issuance.next_attempt_at,
        "last_error": issuance.last_error,
    }
