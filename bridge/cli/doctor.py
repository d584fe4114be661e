"""`spacebridge doctor`: prints what is wrong, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby

import click

from bridge.cli.ledger_access import settings_of_command
from bridge.cli.terminal import JSON_OPTION, echo_marked, print_json
from bridge.doctor import Finding, Level, examine, settings_finding
from bridge.settings import SettingsError

_MARKS = {Level.OK: ("ok", "green"), Level.WARNING: ("note", "yellow"), Level.WRONG: ("WRONG", "red")}


@click.command()
@JSON_OPTION
def doctor(as_json: bool) -> None:
    """Say what is wrong, and how to mend it: ledger, key, broker, worker, clock, each store.

    Changes nothing. Ends with status 1 if something is wrong.
    """
    findings = []
    for store, group in groupby(_examine(), key=lambda finding: finding.store):
        ok_messages = []  # those of one store share a line
        for finding in group:
            findings.append(finding)
            if store and finding.level is Level.OK:
                ok_messages.append(finding.message)
            elif not as_json:
                subject = f"store {store}, {finding.check}" if store else finding.check
                _echo(finding.level, subject, finding.message)
                if finding.mend:
                    click.echo(f"       -> {finding.mend}")
        if ok_messages and not as_json:
            _echo(Level.OK, f"store {store}", " ".join(ok_messages))
    wrong = sum(finding.level is Level.WRONG for finding in findings)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings], "wrong": wrong})
    else:
        click.echo(f"\nThings to mend: {wrong}." if wrong else "\nNothing is wrong.")
    sys.exit(1 if wrong else 0)


def _examine() -> Iterator[Finding]:
    try:
        settings = settings_of_command(with_any_ledger=True)
    except SettingsError as error:
        yield settings_finding(error)
        return
    yield from examine(settings, datetime.now(UTC))


def _echo(level: Level, subject: str, message: str) -> None:
    mark, color = _MARKS[level]
    echo_marked(f"{mark:6}", color, f"{subject}: {message}")
