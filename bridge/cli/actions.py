"""What an operator does to deliveries, documents and orders: `replay`, `ignore`, `resend` and the like."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import click

from bridge.admin import operate
from bridge.admin.issue_anyway import issue_anyway
from bridge.admin.operate import Report
from bridge.cli.deliveries import delivery_row
from bridge.cli.issuances import issuance_row
from bridge.cli.ledger_access import open_ledger, require_store
from bridge.cli.options import AS_OPTION, ID, IDS_ARGUMENT, YES_OPTION
from bridge.cli.orders import order_row
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, print_json
from bridge.ledger import issuances as ledger_issuances
from bridge.ledger.issuances import ISSUED, Issuance

_Subject = TypeVar("_Subject")


@click.command()
@IDS_ARGUMENT
@AS_OPTION
@JSON_OPTION
def replay(ids: Sequence[int], who: str, as_json: bool) -> None:
    """Process deliveries once more, as after a failure. What was issued is not issued again."""
    _apply_to_each(ids, partial(operate.replay, open_ledger(), who=who), delivery_row, as_json=as_json)


@click.command()
@IDS_ARGUMENT
@AS_OPTION
@JSON_OPTION
def ignore(ids: Sequence[int], who: str, as_json: bool) -> None:
    """Set aside deliveries that are quarantined, unreadable, or could not be processed.

    They stay in the ledger, and change no order.
    """
    _apply_to_each(ids, partial(operate.ignore, open_ledger(), who=who), delivery_row, as_json=as_json)


@click.command()
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
    _confirm(
        doubtful,
        "Space Invoices may have these already. Sent again, they may be issued twice:",
        "Have you looked there, and are they missing?",
        yes=yes,
    )
    cleared = {issuance.id: issuance.attempt_id for issuance in doubtful}
    _apply_to_each(
        ids,
        lambda id_, now: operate.resend(ledger, id_, cleared_attempt=cleared.get(id_), who=who, now=now),
        issuance_row,
        as_json=as_json,
    )


@click.command("mark-issued")
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
    _confirm(
        unissued,
        "Marked as issued, these are never sent again, which cannot be undone:",
        "Are they in Space Invoices?",
        yes=yes,
    )
    _apply_to_each(ids, partial(operate.mark_issued, ledger, who=who), issuance_row, as_json=as_json)


@click.command()
@IDS_ARGUMENT
@AS_OPTION
@JSON_OPTION
def withdraw(ids: Sequence[int], who: str, as_json: bool) -> None:
    """Withdraw documents that are due, held or have failed: they are not sent. `resend` takes that back."""
    _apply_to_each(ids, partial(operate.withdraw, open_ledger(), who=who), issuance_row, as_json=as_json)


@click.command()
@click.argument("store")
@click.argument("ids", metavar="ORDER...", type=ID, nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="Why, for the record.")
@AS_OPTION
@JSON_OPTION
def issue(store: str, ids: Sequence[int], reason: str | None, who: str, as_json: bool) -> None:
    """Issue orders that a rule keeps back, by their ids in WooCommerce.

    Such a rule keeps back orders from before the bridge, test orders, parts of other orders, totals of 0 or
    below, or orders that were paid back. All other rules, such as whether an order is paid, still decide.
    """
    ledger = open_ledger()
    with ledger.read() as connection:
        store_id = require_store(connection, store).id
    _apply_to_each(
        list(dict.fromkeys(ids)),
        partial(issue_anyway, ledger, store_id, why=reason, who=who),
        order_row,
        as_json=as_json,
    )


def _apply_to_each(
    ids: Sequence[int],
    action: Callable[..., Report[_Subject]],
    row: Callable[[_Subject], dict[str, object]],
    *,
    as_json: bool,
) -> None:
    """Apply the action to each id, in a transaction each; end with status 1 unless all are fulfilled.

    `action`: a function of bridge.admin, called with an id and `now`. `row`: what JSON shows of a subject.
    Each message is printed when its transaction is committed, so that a command that is interrupted has
    printed what it did.
    """
    reports = []
    for id_ in ids:
        report = action(id_, now=datetime.now(UTC))
        click.echo(report.message, err=True)
        reports.append(report)
    if as_json:
        print_json([row(report.subject) for report in reports if report.subject is not None])
    if not all(report.is_fulfilled for report in reports):
        sys.exit(1)


def _confirm(issuances: Sequence[Issuance], reason: str, question: str, *, yes: bool) -> None:
    """Ask the operator to confirm the action on these issuances, if there are any."""
    rows = [
        f"  issuance {issuance.id}, {issuance.state}: the {issuance.kind} of order {issuance.order} of "
        f"{issuance.store}"
        for issuance in issuances
    ]
    confirm_or_fail(question, yes=yes or not rows, why="\n".join([reason, *rows]))
