"""`python -m bench`: measures the bridge beside its baselines; its status is 1 if a bound is missed."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click
import psycopg
from rich.console import Console

from bench import cases, machine
from bench.cases import Group
from bench.report import Ran, document_of, table_of
from bench.results import Result
from bench.servers import ROOT, Plan, Site

DISK = Path("/var/tmp")  # noqa: S108 - where /tmp may be in memory, this one is not

SMOKE_AT_ONCE = 5  # groups of cases


@click.command()
@click.option("--case", "names", multiple=True, metavar="NAME", help="Only this one; may be repeated.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Of each comparison.")
@click.option("--list", "only_list", is_flag=True, help="Name the cases, and measure nothing.")
@click.option(
    "--smoke", is_flag=True, help="See that every case works: tiny sizes, whose ratios say nothing."
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write it there, too."
)
@click.option(
    "--folder",
    default=DISK,
    show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the data is kept while it runs: on the disk that is to be measured.",
)
@click.option(
    "--checkout",
    default=ROOT,
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Run the bridge from this folder: another version of it, to be compared with this one.",
)
def main(
    names: Sequence[str],
    rounds: int,
    only_list: bool,
    smoke: bool,
    json_file: Path | None,
    folder: Path,
    checkout: Path,
) -> None:
    """Measure the bridge beside bare baselines, in the same run and in turn."""
    try:
        chosen = cases.chosen(names)
    except KeyError as unknown:
        raise click.BadParameter(f"there is no case {unknown}: --list names them") from None
    console = Console()
    if only_list:
        for case in (case for group in chosen for case in group.cases):
            console.print(f"[bold]{case.name:28}[/bold] {case.about}", highlight=False, soft_wrap=True)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and with that, all that was started is stopped
    plan = Plan(1 if smoke else rounds, smoke, checkout)
    with tempfile.TemporaryDirectory(prefix="spacebridge-bench-", dir=folder) as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user where root runs this
        with Site(Path(name), plan) as site:
            described = machine.describe(Path(name), *_versions(site))
            for what, value in described.items():
                console.print(f"{what:12} {value}", highlight=False, soft_wrap=True)
            rans = _run_all(chosen, site, tell=lambda ran: console.print(table_of(ran)))
    if json_file is not None:
        document = document_of(described, rans, rounds=plan.rounds, smoke=smoke)
        json_file.write_text(json.dumps(document, indent=2), encoding="utf-8")
    if any(ran.error for ran in rans) or not (smoke or all(ran.is_reached for ran in rans)):
        sys.exit(1)


def _run_all(groups: Sequence[Group], site: Site, *, tell: Callable[[Ran], object]) -> Sequence[Ran]:
    """Run the groups, one after the other; several at once where figures do not count."""
    if not site.plan.smoke:
        return [ran for group in groups for ran in _run_group(group, site, tell)]
    with ThreadPoolExecutor(SMOKE_AT_ONCE) as threads:
        try:
            longest_first = sorted(groups, key=lambda group: -len(group.cases))
            found = threads.map(lambda group: _run_group(group, site, tell), longest_first)
            return [ran for of_group in found for ran in of_group]
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _run_group(group: Group, site: Site, tell: Callable[[Ran], object]) -> Sequence[Ran]:
    rans = []
    with ExitStack() as stack:
        ground = None
        for case in group.cases:
            began = time.monotonic()
            results: list[Result] = []
            error = None
            try:
                ground = ground or stack.enter_context(group.open(site))
                results.extend(case.run(ground))
            except Exception as failed:
                error = f"{type(failed).__name__}: {failed}"
            rans.append(Ran(case.name, case.about, results, time.monotonic() - began, error))
            tell(rans[-1])
    return rans


def _versions(site: Site) -> tuple[str, str]:
    with psycopg.connect(site.postgres.url) as server:
        postgres = f"{server.info.server_version // 10000}.{server.info.server_version % 10000}"
    found = site.redis.client().info("server")
    return postgres, f"{found.get('server_name', 'redis')} {found['redis_version']}"


if __name__ == "__main__":
    main()
