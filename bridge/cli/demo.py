"""Prints what the demo of `spacebridge up` delivers, and what it leads to."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from bridge.cli.terminal import fail, styled_console
from bridge.db import Ledger
from bridge.embedded.demo import STORE, Step, play, totals
from bridge.embedded.recorded import RecordingUnreadableError, recorded_deliveries
from bridge.settings import Settings


def print_demo(settings: Settings, ledger: Ledger, address: str) -> None:
    """Play the demo on the receiver at `address`, and print each step and a summary."""
    console = styled_console()
    try:
        deliveries = recorded_deliveries()
    except RecordingUnreadableError as error:
        fail(str(error))
    console.print(f"\nA shop's life in {len(deliveries)} deliveries, as WooCommerce sent them:\n")
    answers: Counter[str] = Counter()
    for step in play(settings, ledger, address, deliveries):
        answers[step.answer["status"]] += 1
        _print_step(console, step)
    table = Table(title="Summary", title_justify="left", box=None, show_header=False, title_style="bold")
    for label, number in totals(settings, ledger, answers):
        table.add_row(label, str(number))
    console.print()
    console.print(table)
    sandbox = settings.api_url.removesuffix("/v1") + "/sandbox"
    prefix = f"SPACEBRIDGE_DATA_DIR={settings.data_dir} spacebridge"
    console.print(
        "\nIt goes on running. Try next, in another terminal (`. .venv/bin/activate` first):\n"
        f"  {prefix} orders list --decision attention\n"
        f"  {prefix} orders explain {STORE} 328\n"
        f"  {prefix} issuances list\n"
        f"  curl {sandbox}/documents\n",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _print_step(console: Console, step: Step) -> None:
    topic = step.delivery.headers.get("X-WC-Webhook-Topic", "ping")
    status = step.answer["status"]
    console.print(f"[bold]{topic}[/bold]  [dim]{step.delivery.scenario}[/dim]", highlight=False)
    if status in {"duplicate", "pong"}:
        console.print(f"    {status}", style="dim")
    elif "reason" in step.answer:
        console.print(f"    {status}: {step.answer['reason']}", style="dim", markup=False, soft_wrap=True)
    elif step.reason is not None:
        console.print(f"    {step.reason}", markup=False, highlight=False, soft_wrap=True)
    for document in step.documents:
        console.print(
            f"    [green]issued {document['kind']} {document['number']}[/green]: "
            f"{document['total']} {document['currency']}",
            highlight=False,
        )
