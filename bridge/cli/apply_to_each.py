"""Applies an operator's action to one id after another, and prints what came of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import click

from bridge.admin.operate import Report
from bridge.cli.terminal import confirm_or_fail, print_json
from bridge.ledger.issuances import Issuance

_Subject = TypeVar("_Subject")


def apply_to_each(
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


def confirm_issuances(issuances: Sequence[Issuance], *, reason: str, question: str) -> None:
    """Ask the operator to confirm the action on these issuances; end the command if they do not."""
    rows = [
        f"  issuance {issuance.id}, {issuance.state}: the {issuance.kind} of order {issuance.order} of "
        f"{issuance.store}"
        for issuance in issuances
    ]
    click.echo("\n".join([reason, *rows]), err=True)
    confirm_or_fail(question)
