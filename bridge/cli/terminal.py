"""Prints what commands print: tables for people, one JSON document for scripts, errors in a sentence."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

import click

from bridge.printable import printable_in_line, unguarded

if TYPE_CHECKING:
    from rich.console import Console

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def tolerate_any_encoding() -> None:
    """Print characters that the terminal's encoding lacks as their codes (\\u0161)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def fail(message: str) -> NoReturn:
    """Print the message, and end the command with status 1."""
    click.echo(message, err=True)
    sys.exit(1)


def confirm_or_fail(
    question: str, *, yes: bool, why: str | None = None, otherwise: str = "Nothing is changed."
) -> None:
    """Say why, and ask; end the command unless the answer is yes, or if there is no terminal to ask at."""
    if yes:
        return
    if why is not None:
        click.echo(why, err=True)
    if not (sys.stdin and sys.stdin.isatty()):  # None if it was closed
        fail(f"{otherwise} There is no terminal to ask at: {question} If so, add --yes.")
    if not click.confirm(question, err=True):
        fail(otherwise)


def print_json(document: object) -> None:
    """Print one JSON document to standard output, and nothing else."""
    click.echo(json.dumps(document, indent=2, default=_jsonable))


def print_result(document: object, *sentences: str, as_json: bool, advice: str | None = None) -> None:
    """Print the result of a command: a JSON document for a script, or the sentences for a person.

    The person is also given the advice, on standard error.
    """
    if as_json:
        print_json(document)
        return
    for sentence in sentences:
        click.echo(sentence)
    if advice is not None:
        click.echo(advice, err=True)


def print_fields(fields: Mapping[str, object], *, width: int = 0) -> None:
    """Print each name and value on a line of its own, with `width` characters or more for the names."""
    width = max((width, *map(len, fields)))
    for name, value in fields.items():
        click.echo(f"{name:{width}}  {'' if value is None else value}")


def print_rows(columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Print the rows as a table, or as a JSON list of objects with the same names."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("Nothing to show.", err=True)
        return
    from rich.table import Table  # noqa: PLC0415 - only for tables
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable_in_line(_readable(row[column]))) for column in columns))
    console = styled_console()
    if not console.is_terminal:
        console.width = max(200, console.width)  # a pipe has no width to fold lines at
    console.print(table)


def styled_console() -> Console:
    """A console for text with styles. Text from outside has to be made printable first."""
    from rich.console import Console  # noqa: PLC0415

    return Console(file=unguarded(sys.stdout))


def echo_marked(mark: str, color: str, text: str) -> None:
    """Print a line that begins with a mark, which a terminal with colors shows in this color."""
    click.echo(f"{click.style(mark, fg=color)} {printable_in_line(text)}", file=unguarded(sys.stdout))


def _readable(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat(" ", "seconds") if isinstance(value, datetime) else str(value)


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
