"""The accounts: what became of every delivery that was acknowledged, and whether they add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from sqlalchemy import Connection, select

from bridge.db import Ledger
from bridge.db.tables import deliveries, issuances, orders
from tests.chaos.due import due
from tests.chaos.lives import ESTIMATE, INVOICE, Step
from tests.chaos.load import Sent

ISSUED, HELD, FAILED, NOTHING, LOST = "issued", "held", "failed", "rightly nothing", "LOST"


@dataclass
class Accounts:
    """What became of the acknowledged deliveries, and everything that is not as it should be."""

    acknowledged: int
    fates: Counter[str]
    documents: Counter[str]  # in Space Invoices, by kind
    held: int  # issuances
    held_that_exist: int  # of which Space Invoices has the document
    held_at_most: int
    of_unknown_arrival: int  # orders with a deletion of which it cannot be told what arrived before it
    problems: list[str] = field(default_factory=list)

    def as_table(self) -> Table:
        """The accounts, for people."""
        table = Table(box=None, show_header=False, title="Accounts", title_justify="left")
        table.add_column(justify="left")
        table.add_column(justify="right")
        rows = [("acknowledged deliveries", self.acknowledged)]
        rows += [(f"  {fate}", self.fates[fate]) for fate in (ISSUED, HELD, FAILED, NOTHING, LOST)]
        rows += [(f"{kind}s in Space Invoices", self.documents[kind]) for kind in (INVOICE, ESTIMATE)]
        rows += [
            ("documents issued twice", self.documents["twice"]),
            ("estimates after the invoice", self.documents["out of order"]),
            ("issuances held", self.held),
            ("  of which Space Invoices has the document", self.held_that_exist),
            ("  in flight at faults", self.held_at_most),
            ("deleted orders that cannot be judged", self.of_unknown_arrival),
        ]
        for what, number in rows:
            table.add_row(what, f"{number:,}")
        return table


@dataclass(frozen=True)
class _Kept:
    """What the ledger holds of one order."""

    recorded: set[bytes] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)


def draw_up(ledger: Ledger, sent: Sent, sandbox: Mapping[str, Any], *, held_at_most: int) -> Accounts:
    """Compare what was acknowledged with the ledger, and the ledger with Space Invoices."""
    with ledger.read() as connection:
        kept, unprocessed = _kept(connection)
    issued: dict[int, Counter[str]] = defaultdict(Counter)
    for document in sandbox["documents"]:
        issued[document["orderId"]][document["kind"]] += 1
    steps: dict[int, list[Step]] = defaultdict(list)
    for step in sent.steps:
        steps[step.order].append(step)
    unknown = _of_unknown_arrival(steps, sent)
    held = [
        (number, kind) for number, one in kept.items() for kind, state in one.states.items() if state == HELD
    ]
    accounts = Accounts(
        acknowledged=len(sent.acknowledged),
        fates=Counter(),
        documents=Counter(
            {
                INVOICE: sandbox["counts"]["invoices"],
                ESTIMATE: sandbox["counts"]["estimates"],
                "twice": sandbox["counts"]["duplicates"],
                "out of order": sandbox["counts"]["out_of_order"],
            }
        ),
        held=len(held),
        held_that_exist=sum(issued[number][kind] > 0 for number, kind in held),
        held_at_most=held_at_most,
        of_unknown_arrival=len(unknown),
    )
    fate_of_order: dict[int, str] = {}
    for number in sorted({step.order for _, step in sent.acknowledged}):
        known = kept.get(number, _Kept())
        # A delivery that was recorded but not acknowledged counts as well: it is of the order's life.
        recorded = [step for step in steps[number] if step.digest in known.recorded]
        is_due = None if number in unknown else due(recorded)
        fate, problems = _fate(is_due, {step.due for step in recorded}, known, issued[number])
        fate_of_order[number] = fate
        accounts.problems += [f"order {number}: {problem}" for problem in problems]
    for delivery_id, step in sent.acknowledged:
        fate = fate_of_order[step.order]
        if step.digest not in kept.get(step.order, _Kept()).recorded:
            fate = LOST
            accounts.problems.append(f"delivery {delivery_id} of order {step.order} is not in the ledger")
        accounts.fates[fate] += 1
    accounts.problems += [f"delivery {one} is not processed: {state}" for one, state in unprocessed]
    accounts.problems += _that_do_not_add_up(accounts, set(issued) - set(steps), sandbox["counts"])
    return accounts


def _kept(connection: Connection) -> tuple[dict[int, _Kept], Sequence[tuple[int, str]]]:
    kept: defaultdict[int, _Kept] = defaultdict(_Kept)
    unprocessed = []
    for row in connection.execute(
        select(deliveries.c.id, deliveries.c.resource_id, deliveries.c.digest, deliveries.c.state)
    ):
        kept[row.resource_id].recorded.add(row.digest)
        if row.state != "processed":
            unprocessed.append((row.id, row.state))
    for row in connection.execute(select(issuances, orders.c.resource_id).join(orders)):
        kept[row.resource_id].states[row.kind] = row.state
    return kept, unprocessed


def _of_unknown_arrival(steps: Mapping[int, Sequence[Step]], sent: Sent) -> set[int]:
    """Orders that may be deleted or not: something of them was not acknowledged, and may have come late."""
    acknowledged = Counter(step.order for _, step in sent.acknowledged)
    return {
        number
        for number, life in steps.items()
        if any(step.is_deletion for step in life) and acknowledged[number] < len(life)
    }


def _fate(
    is_due: str | None, ever_due: set[str | None], kept: _Kept, issued: Counter[str]
) -> tuple[str, list[str]]:
    """What became of an order, of which this document is due now; and what is wrong with that."""
    problems = [f"its {kind} exists {number} times" for kind, number in issued.items() if number > 1]
    problems += [f"it has an {kind}, and was never due one" for kind in set(issued) - ever_due]
    for kind, state in kept.states.items():
        if state == "issued" and issued[kind] == 0:
            problems.append(f"its {kind} counts as issued, and Space Invoices has none")
        if issued[kind] > 0 and state not in {"issued", HELD}:
            problems.append(f"its {kind} is {state}, and Space Invoices has it")
        if state in {"due", "sending"}:
            problems.append(f"its {kind} is {state} still")
    states = set(kept.states.values())
    if is_due is not None and kept.states.get(is_due) not in {"issued", HELD, FAILED}:
        return LOST, [*problems, f"its {is_due} is due, and is {kept.states.get(is_due, 'not known of')}"]
    for fate in (FAILED, HELD, ISSUED):
        if fate in states:
            return fate, problems
    return NOTHING, problems


def _that_do_not_add_up(accounts: Accounts, strangers: set[int], counts: Mapping[str, int]) -> list[str]:
    problems = []
    if sum(accounts.fates[fate] for fate in (ISSUED, HELD, FAILED, NOTHING)) != accounts.acknowledged:
        problems.append("acknowledged is not issued + held + failed + rightly nothing")
    if accounts.documents["twice"] or accounts.documents["out of order"]:
        problems.append("Space Invoices was handed an order it should not have been")
    if accounts.held > accounts.held_at_most:
        problems.append("more is held than was in flight at faults")
    if accounts.fates[FAILED]:
        problems.append("an order was given up, though nothing was wrong with it")
    if counts["rate_limited"]:
        problems.append(
            f"Space Invoices answered 429 {counts['rate_limited']} times: the bridge was too fast"
        )
    if strangers:
        problems.append(f"{len(strangers)} orders have documents, and were never sent")
    return problems
