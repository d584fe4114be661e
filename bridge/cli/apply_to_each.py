"""Carries an operator's verb out for one id after another, and tells what came of each."""

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
    """Do it for each id, each in a transaction of its own; end with status 1 unless all is as was wished.

    What came of each is told as soon as it is done, so that a command that is cut off has told of the most.
    """
    reports = []
    for one in ids:
        report = do(one)
        click.echo(report.message, err=True)
        reports.append(report)
    if as_json:
        print_json([row(report.subject) for report in reports if report.subject is not None])
    if not all(report.is_fulfilled for report in reports):
        sys.exit(1)


def ask(about: Sequence[Issuance], *, why: str, question: str) -> None:
    """Have the operator confirm it for these issuances; end the command, with nothing changed, if not."""
    rows = [
        f"  issuance {one.id}, {one.state}: the {one.kind} of order {one.order} of {one.store}"
        for one in about
    ]
    click.echo("\n".join([why, *rows]), err=True)
    confirm_or_fail(question)
