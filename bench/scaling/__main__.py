"""`python -m bench.scaling`: prints the tables of docs/scaling.md, or writes them into it."""

from __future__ import annotations

from pathlib import Path

import click

from bench.scaling.parameters import load
from bench.scaling.tables import replaced, tables


@click.command()
@click.option(
    "--into",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replace the tables of this document: docs/scaling.md.",
)
def main(into: Path | None) -> None:
    """Work out what bench/scaling/parameters.json means for installations of other sizes."""
    found = tables(load())
    if into is None:
        for name, table in found.items():
            click.echo(f"{name}\n\n{table}\n")
        return
    into.write_text(replaced(into.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
