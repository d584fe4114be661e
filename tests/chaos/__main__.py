"""`python -m tests.chaos`: the faults suite's long form; its status is 1 if the accounts do not add up."""

from __future__ import annotations

import re
import sys

import click
from rich.console import Console

from tests.chaos.disk import open_folder
from tests.chaos.run import Plan, run, show
from tests.support import guardian


@click.command()
@click.option(
    "--database", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True
)
@click.option(
    "--deliveries", default=100_000, show_default=True, type=click.IntRange(1), help="Acknowledged ones."
)
@click.option("--faults", default=300, show_default=True, type=click.IntRange(0))
@click.option(
    "--rate", default=50.0, show_default=True, type=click.FloatRange(1), help="Deliveries a second."
)
@click.option(
    "--clocks-off", default=5.0, show_default=True, type=click.FloatRange(0), help="Seconds, at most."
)
@click.option("--only", default="", help="Only faults whose names this regular expression is found in.")
@click.option(
    "--seed", default=1, show_default=True, type=int, help="Of the faults, their moments and the orders."
)
def main(
    database: str, deliveries: int, faults: int, rate: float, clocks_off: float, only: str, seed: int
) -> None:
    """Put a bridge under load, do faults to it, and account for every delivery it acknowledged."""
    guardian.start()
    console = Console(highlight=False, soft_wrap=True)
    kinds = re.compile(only)
    plan = Plan(
        database,
        deliveries,
        faults,
        rate,
        seed,
        kinds=lambda name: bool(kinds.search(name)),
        clocks_off=clocks_off,
    )
    with open_folder() as folder:
        result = run(plan, folder, tell=lambda line: console.print(line, markup=False))
    show(result, console)
    sys.exit(bool(result.accounts.problems))


if __name__ == "__main__":
    main()
