"""What both sides of a comparison have: a receiver, a worker with a schedule, a database and a queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import requests

from bench.load import Job, Outcome, Sending
from bench.orders import FIRST, PLACE, order_template
from bench.processes import Process
from bench.servers import ROOT, SECRET, Database, Sandbox, Site
from bench.waiting import wait_for
from tests.support.servers import free_port, wait_until

_QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


class _Numbers:
    """Numbers of orders that were never sent."""

    def __init__(self) -> None:
        self._next = FIRST

    def take(self, count: int) -> int:
        """The first of so many."""
        self._next += count
        return self._next - count


class Side:
    """One side: a receiver and a worker over a database and a queue of its own.

    The schedule is a process of its own in the bare side, and in former versions of the bridge.
    """

    queue_name = ""
    gunicorn_config = ""
    wsgi_app: Sequence[str] = ()
    celery_app = ""
    needs_schedule = False

    def __init__(self, site: Site, sandbox: Sandbox, database: Database, name: str) -> None:
        self.site = site
        self.folder = site.new_folder(name)
        (self.folder / "bench").symlink_to(ROOT / "bench")  # for Python to find, if it runs there
        self.port = free_port()
        self.sandbox = sandbox
        self.queue = site.new_queue(database, self.queue_name)
        self.database_url = site.new_database(database, self.folder)
        self.stores: Sequence[str] = ["shop"]
        self.template = order_template()
        self._numbers = _Numbers()
        self.receiver = self._receiver()
        celery = ["celery", "--app", self.celery_app, "--quiet"]
        self.worker = self.process([*celery, "worker", *self.pool(), *_QUIET])
        self.schedule = self.process([*celery, "beat"])

    def _receiver(self) -> Process:
        options = ["--config", self.gunicorn_config, "--log-level", "warning"]
        return self.process(["gunicorn", *options, "--bind", f"127.0.0.1:{self.port}", *self.wsgi_app])

    def process(self, arguments: Sequence[str]) -> Process:
        """A process of this side, not started yet."""
        raise NotImplementedError

    def pool(self) -> Sequence[str]:
        """The options to start the worker with."""
        raise NotImplementedError

    @contextmanager
    def receiving(self, *others: Side) -> Iterator[None]:
        """With the receiver alone, ready; and those of others."""
        with ExitStack() as stack:
            for side in (self, *others):
                stack.enter_context(side.receiver.running())
            for side in (self, *others):
                wait_until(side.is_ready, "a ready receiver")
                side.receiver.check()  # and it was not another that answered
            yield

    @contextmanager
    def working(self) -> Iterator[None]:
        """With the worker, from when it takes a message that waits; and the schedule, if it needs one."""
        with ExitStack() as stack:
            stack.enter_context(self.worker.running())
            longest = 0

            def has_begun() -> bool:
                nonlocal longest
                self.worker.check()
                length = self.queue.length()
                longest = max(longest, length)
                return length < longest

            wait_for(has_begun, every=0.002, within=60, what="a worker at work")
            if self.needs_schedule:
                stack.enter_context(self.schedule.running())
            yield

    def is_ready(self) -> bool:
        """Whether the receiver answers."""
        self.receiver.check()
        return answers(self.port)

    def take_numbers(self, count: int) -> int:
        """The first of so many numbers of orders that were never sent."""
        return self._numbers.take(count)

    def sending(self, count: int, *, first: int | None = None, warm_up: int = 0, **how: Any) -> Sending:
        """Begin to send orders, new ones unless their first number is given."""
        if first is None:
            first = self.take_numbers(count + warm_up)
        job = Job(
            port=self.port,
            stores=self.stores,
            secret=SECRET,
            template=self.template,
            place=PLACE,
            first=first,
            count=count,
            warm_up=warm_up,
            **how,
        )
        return Sending(job)

    def send(self, count: int, **how: Any) -> Outcome:
        """The same, to the end."""
        return self.sending(count, **how).outcome()

    def query(self, sql: str) -> Sequence[Any]:
        """Ask the database: the rows."""
        if self.database_url.startswith("sqlite"):
            with sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=60) as file:
                rows: Sequence[Any] = file.execute(sql).fetchall()
            file.close()
            return rows
        with psycopg.connect(self.database_url) as server:
            return server.execute(sql.encode()).fetchall()


def answers(port: int) -> bool:
    """Whether a receiver is ready there."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False
