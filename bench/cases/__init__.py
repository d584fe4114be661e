"""The cases: what is measured, against what, and on which ground."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.cases.ack import ack, ack_of_repeats, ack_while_the_broker_is_down
from bench.cases.backlog import ack_while_draining
from bench.cases.drain import STORES, drain, drain_with_latency
from bench.cases.growth import growth
from bench.cases.latency import recorded_to_issued
from bench.cases.memory import memory
from bench.cases.rate import rate_of_an_account
from bench.cases.reconcile import reconcile
from bench.cases.start import start_of_up, start_of_worker
from bench.ground import open_ground
from bench.results import Result
from bench.servers import DATABASES, Database, Site


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its name, what it compares in a line, and what measures it, given its group's ground."""

    name: str
    about: str
    run: Callable[[Any], Iterator[Result]]


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that follow each other on the same ground, since it takes seconds to make one."""

    open: Callable[[Site], AbstractContextManager[object]]
    cases: Sequence[Case]


def groups() -> Sequence[Group]:
    """All cases, in their groups."""
    found: list[Group] = []
    for database in DATABASES:
        found += _of_database(database)
    postgresql = partial(open_ground, database="postgresql", app="bare_chain")
    about = "memory of whole process trees, beside bare Flask and Celery"
    found.append(Group(postgresql, [Case("memory", about, memory)]))
    about = "what is due of one account, beside the rate it was given"
    found.append(_alone(Case("rate", about, rate_of_an_account)))
    about = "`spacebridge up` until it is ready, beside bare gunicorn and Celery"
    found.append(_alone(Case("start-up", about, start_of_up)))
    return found


def _of_database(database: Database) -> Sequence[Group]:
    def case(name: str, about: str, run: Callable[[Any], Iterator[Result]]) -> Case:
        where = "embedded" if database == "embedded" else "PostgreSQL + Redis"
        return Case(f"{name}-{database}", f"{about}, {where}", run)

    at_least = 0.5 if database == "embedded" else 0.8
    return [
        Group(
            partial(open_ground, database=database),
            [
                case("ack", "acknowledging, beside a bare view with HMAC and one INSERT", ack),
                case(
                    "ack-broker-down",
                    "acknowledging without a broker, beside with",
                    ack_while_the_broker_is_down,
                ),
                case("ack-repeats", "acknowledging a delivery again, beside new ones", ack_of_repeats),
            ],
        ),
        Group(
            partial(open_ground, database=database, stores=STORES, app="bare_chain"),
            [
                case(
                    "drain",
                    "from recorded to issued, beside a bare Celery task with one POST",
                    partial(drain, at_least=at_least),
                ),
                case("latency", "from sent to issued, beside the bare chain", recorded_to_issued),
                case("start-worker", "the worker's command, beside a bare worker's", start_of_worker),
                case("ack-backlog", "acknowledging with a backlog, beside with none", ack_while_draining),
            ],
        ),
        _alone(
            case(
                "drain-latency",
                "from recorded to issued at 100 ms of latency, beside 320/s",
                partial(drain_with_latency, database=database),
            )
        ),
        Group(
            partial(open_ground, database=database),
            [
                case(
                    "reconcile",
                    "comparing a year's orders with the shop, and acknowledging meanwhile",
                    reconcile,
                )
            ],
        ),
        _alone(
            case(
                "growth",
                "a ledger that years of use have filled, beside an empty one",
                partial(growth, database=database),
            )
        ),
    ]


def _alone(case: Case) -> Group:
    """A case that makes its own ground."""
    return Group(nullcontext, [case])


def chosen(names: Sequence[str]) -> Sequence[Group]:
    """The cases of these names, with or without the database in them; all if there are none.

    Raises KeyError for a name of no case.
    """
    known = {case.name for group in groups() for case in group.cases}
    wanted = set()
    for name in names:
        meant = known & {name, *(f"{name}-{database}" for database in DATABASES)}
        if not meant:
            raise KeyError(name)
        wanted |= meant
    if not names:
        return groups()
    kept = [replace(group, cases=[case for case in group.cases if case.name in wanted]) for group in groups()]
    return [group for group in kept if group.cases]
