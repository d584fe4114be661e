"""A shop whose webhooks are lost: it lives, the bridge goes away and comes back, and each order is accounted.

`python -m tests.chaos.missed` is the long form. The shop is the stand-in, which sends webhooks, gives them up
after six failures in a row, and can be asked; nobody mends anything by hand.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from bridge.db.tables import finds, issuances, orders
from bridge.ledger import absences, shop_webhooks
from bridge.ledger.shop_webhooks import TOPICS
from tests.chaos.disk import open_folder
from tests.support import guardian
from tests.support.connected import connect_to
from tests.support.running import SECRET, RunningBridge
from tests.support.servers import PostgresServer, RedisServer, wait_until
from tests.support.shop_stand_in import ShopStandIn

STORE = "shop"
SETTLED_WITHIN = 20 * 60.0  # seconds; rounds begin every ten minutes
LIVING = 50  # orders that wait to be moved along
ESTIMATE, INVOICE = "estimate", "invoice"


@dataclass(frozen=True, slots=True)
class Plan:
    """So many orders at a rate, in orders a second, and outages of the bridge meanwhile."""

    database: str  # sqlite | postgresql
    orders: int
    rate: float
    outages: int
    seed: int


@dataclass
class Outcome:
    """What the shop has, what was issued for it, and what is not as it should be."""

    orders: int = 0
    documents: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)  # by why no webhook told
    missing: list[str] = field(default_factory=list)
    too_many: list[str] = field(default_factory=list)
    held: int = 0
    remade: int = 0  # webhooks that were made anew in the last day
    seconds_to_settle: float = 0.0


class Life:
    """Makes orders in the shop and moves them along, at a rate, in a thread."""

    def __init__(self, there: ShopStandIn, plan: Plan) -> None:
        self.invoiced: dict[int, bool] = {}  # whether each order is owed an invoice
        self._there = there
        self._plan = plan
        self._random = Random(plan.seed)
        self._waiting: list[tuple[int, str]] = []  # orders, and the status that they get later
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        began = time.monotonic()
        for number in range(self._plan.orders):
            time.sleep(max(0.0, began + number / self._plan.rate - time.monotonic()))
            self._live()
        for order_id, status in self._waiting:
            self._there.change_status(order_id, status)

    def _live(self) -> None:
        """One order more: paid by card or bank, late, cancelled, or out of the trash by a status write."""
        there, kind = self._there, self._random.random()
        if kind < 0.6:
            self.invoiced[there.make_order()] = True
        elif kind < 0.9:
            is_bank = kind < 0.8
            order_id = (
                there.make_order(status="on-hold", payment_method="bacs")
                if is_bank
                else there.make_order(status="pending")
            )
            self.invoiced[order_id] = True
            self._waiting.append((order_id, "completed" if is_bank else "processing"))
        else:
            order_id = there.make_order(status="pending")
            self.invoiced[order_id] = kind >= 0.95
            if kind >= 0.95:
                there.trash(order_id)
            there.change_status(order_id, "processing" if kind >= 0.95 else "cancelled")
        if len(self._waiting) > LIVING:
            there.change_status(*self._waiting.pop(self._random.randrange(len(self._waiting))))


def run(plan: Plan, folder: Path, *, tell: Callable[[str], None]) -> Outcome:
    """Carry out a plan in a folder of its own; `tell` is given a line on each thing that happens."""
    random = Random(plan.seed)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        postgres = stack.enter_context(PostgresServer(folder)) if plan.database == "postgresql" else None
        there = stack.enter_context(ShopStandIn(zone="UTC", senders=4))
        bridge = RunningBridge(
            folder,
            database_url=postgres.url if postgres else "",
            broker_url=redis.new_url(),
            sandbox_options=["--rate-limit", "100000", "--latency", "20"],
            workers=2,
            SPACEBRIDGE_REQUEST_RATE="500",
            SPACEBRIDGE_WEB_WORKERS="2",
        )
        stack.enter_context(bridge)
        woocommerce_id = bridge.add_store(STORE, is_config_known=True)
        for topic in TOPICS:
            there.make_webhook(topic, f"{bridge.url}/webhooks/{STORE}", secret=SECRET)
        connect_to(bridge.ledger, bridge.vault, bridge.store(STORE).id, there, datetime.now(UTC))
        life = Life(there, plan)
        life.start()
        began = time.monotonic()
        for number in range(plan.outages):
            until = began + (number + 1) * plan.orders / plan.rate / (plan.outages + 1)
            time.sleep(max(0.0, until - time.monotonic()))
            _strike(bridge, random, tell, f"{time.monotonic() - began:6.1f} s")
        life.join()
        tell(f"{len(life.invoiced):,} orders were made; waiting until all of them are accounted for")
        outcome = _settle(bridge, life, woocommerce_id)
    tell(f"settled after {outcome.seconds_to_settle:.0f} s")
    return outcome


def _strike(bridge: RunningBridge, random: Random, tell: Callable[[str], None], at: str) -> None:
    """Kill the receiver for a while, which the shop notices, or a worker, or all."""
    names = random.choice([["receiver"], ["receiver"], ["worker"], ["worker", "worker1", "receiver"]])
    seconds = random.uniform(1, 30) if "receiver" in names else 0.5
    for name in names:
        bridge.parts[name].kill()
    time.sleep(seconds)
    for name in names:
        bridge.parts[name].start()
    tell(f"{at}  {' and '.join(names)} killed for {seconds:.0f} s")


def _settle(bridge: RunningBridge, life: Life, woocommerce_id: str) -> Outcome:
    """Wait until nothing is missing, or for SETTLED_WITHIN; then look once more at what there is."""
    began = time.monotonic()

    def is_settled() -> bool:
        with bridge.ledger.read() as connection:
            is_open = bool(absences.unsettled(connection))
        return not is_open and bridge.is_settled() and not _account(bridge, life, woocommerce_id).missing

    with suppress(TimeoutError):  # the accounts say what is missing
        wait_until(is_settled, "a document for each order", within=SETTLED_WITHIN)
    outcome = _account(bridge, life, woocommerce_id)
    outcome.seconds_to_settle = time.monotonic() - began
    outcome.found = _found(bridge)
    with bridge.ledger.read() as connection:
        outcome.remade = sum(len(one.remade) for one in shop_webhooks.every(connection))
    return outcome


def _account(bridge: RunningBridge, life: Life, woocommerce_id: str) -> Outcome:
    issued = bridge.issued(woocommerce_id)
    held = _held(bridge)
    outcome = Outcome(orders=len(life.invoiced), held=sum(held.values()))
    for order_id, is_owed in life.invoiced.items():
        kinds = Counter(issued.pop(order_id, []))
        outcome.documents += kinds
        if is_owed and not kinds[INVOICE] and order_id not in held:
            outcome.missing.append(f"order {order_id} has no invoice")
        if any(number > 1 for number in kinds.values()) or (kinds[INVOICE] and not is_owed):
            outcome.too_many.append(f"order {order_id} has {dict(kinds)}")
    outcome.too_many += [f"order {order_id} of nobody has {kinds}" for order_id, kinds in issued.items()]
    return outcome


def _held(bridge: RunningBridge) -> Mapping[int, int]:
    """How many issuances of each order are held: their workers were killed while they were sent."""
    query = (
        select(orders.c.resource_id, func.count().label("number"))
        .join(issuances, issuances.c.order_id == orders.c.id)
        .where(issuances.c.state == "held")
        .group_by(orders.c.resource_id)
    )
    with bridge.ledger.read() as connection:
        return {row.resource_id: row.number for row in connection.execute(query)}


def _found(bridge: RunningBridge) -> Counter[str]:
    with bridge.ledger.read() as connection:
        rows = connection.execute(
            select(finds.c.reason, func.count().label("number")).group_by(finds.c.reason)
        )
        return Counter({row.reason: row.number for row in rows})


def show(outcome: Outcome, console: Console) -> None:
    """Print the accounts."""
    table = Table(box=None, show_header=False, title="Accounts", title_justify="left")
    rows = [("orders in the shop", outcome.orders)]
    rows += [(f"{kind}s in Space Invoices", outcome.documents[kind]) for kind in (INVOICE, ESTIMATE)]
    rows += [("issuances held", outcome.held)]
    rows += [(f"found in the shop ({reason})", number) for reason, number in sorted(outcome.found.items())]
    rows += [
        ("topics that the shop had given up, made anew of late", outcome.remade),
        ("documents missing", len(outcome.missing)),
        ("documents too many", len(outcome.too_many)),
    ]
    for what, number in rows:
        table.add_row(what, f"{number:,}")
    console.print(table)
    for problem in [*outcome.missing, *outcome.too_many][:50]:
        console.print(problem, style="red", markup=False)


@click.command()
@click.option(
    "--database", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True
)
@click.option("--orders", default=20_000, show_default=True, type=click.IntRange(1))
@click.option("--rate", default=25.0, show_default=True, type=click.FloatRange(0.1), help="Orders a second.")
@click.option("--outages", default=20, show_default=True, type=click.IntRange(0))
@click.option("--seed", default=1, show_default=True, type=int)
def main(database: str, orders: int, rate: float, outages: int, seed: int) -> None:
    """Have a shop live while the bridge goes away again and again, and account for each order."""
    guardian.start()
    console = Console(highlight=False, soft_wrap=True)
    plan = Plan(database, orders, rate, outages, seed)
    with open_folder() as folder:
        outcome = run(plan, folder, tell=lambda line: console.print(line, markup=False))
    show(outcome, console)
    sys.exit(bool(outcome.missing or outcome.too_many))


if __name__ == "__main__":
    main()
