"""The cases: what is measured, against what, and where it has to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.cases.ack import ack, ack_of_repeats, ack_while_the_broker_is_down
from bench.cases.drain import drain, drain_with_latency
from bench.results import Result
from bench.servers import DATABASES, Site


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its name, what it compares in a line, and what measures it."""

    name: str
    about: str
    run: Callable[[Site], Iterator[Result]]


def _on_each(name: str, about: str, run: Callable[..., Iterator[Result]]) -> Iterator[Case]:
    for database in DATABASES:
        where = "embedded" if database == "embedded" else "PostgreSQL + Redis"
        yield Case(f"{name}-{database}", f"{about}, {where}", partial(run, database=database))


CASES: Sequence[Case] = [
    *_on_each("ack", "acknowledging, beside a bare view with HMAC and one INSERT", ack),
    *_on_each(
        "ack-broker-down", "acknowledging without a broker, beside with one", ack_while_the_broker_is_down
    ),
    *_on_each("ack-repeats", "acknowledging a delivery again, beside new ones", ack_of_repeats),
    Case(
        "drain-postgresql",
        "from recorded to issued, beside a bare Celery task with one POST, PostgreSQL + Redis",
        partial(drain, database="postgresql", at_least=0.8),
    ),
    Case(
        "drain-embedded",
        "from recorded to issued, beside a bare Celery task with one POST, embedded",
        partial(drain, database="embedded", at_least=0.5),
    ),
    *_on_each(
        "drain-latency", "from recorded to issued at 100 ms of latency, beside 320/s", drain_with_latency
    ),
]


def chosen(names: Sequence[str]) -> Sequence[Case]:
    """The cases of these names, with or without the database in them; all if there are none.

    Raises KeyError for a name of no case.
    """
    for name in names:
        if not any(_is_meant(case, name) for case in CASES):
            raise KeyError(name)
    return [case for case in CASES if not names or any(_is_meant(case, name) for name in names)]


def _is_meant(case: Case, name: str) -> bool:
    return case.name in {name, *(f"{name}-{database}" for database in DATABASES)}
