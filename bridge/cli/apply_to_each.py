"""Applies an operator's command to each of several ids, and reports the result of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from bridge.admin.operate import Report
from bridge.cli.terminal import confirm_or_fail, print_json
from bridge.ledger.issuances import Issuance

_Subject = TypeVar("_Subject")


def for_each(
    ids: Sequence[int],
    do: Callable[[int], Report[_Subject]],
    row: Callable[[_Subject], dict[str, object]],
    *,
    as_json: bool,
) -> None:
    """Call `do` for each id, each in its own transaction; end with status 1 unless all are fulfilled.

    Each report is printed at once, so that an interrupted command has printed all that it did.
    """
    reports = []
    for id_ in ids:
        report = do(id_)
        click.echo(report.message, err=True)
        reports.append(report)
    if as_json:
        print_json([row(report.subject) for report in reports if report.subject is not None])
    if not all(report.is_fulfilled for report in reports):
        sys.exit(1)


def ask(issuances: Sequence[Issuance], *, why: str, question: str) -> None:
    """Ask the operator to confirm for these issuances; without a yes, end the command, nothing changed."""
    rows = [
        f"  issuance {issuance.id}, {issuance.state}: the {issuance.kind} of order {issuance.order} of "
        f"{issuance.store}"
        for issuance in issuances
    ]
    click.echo("\n".join([why, *rows]), err=True)
    confirm_or_fail(question)
