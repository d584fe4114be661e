"""The two sides of each comparison: the bridge, and the bare app of the same libraries."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import psycopg
import requests
from celery import Celery

from bench.baselines import bare_flask
from bench.load import Job, Outcome, Sending
from bench.orders import FIRST, PLACE, body_of, order_template
from bench.processes import Process
from bench.servers import ORGANIZATION, ROOT, SECRET, Database, Sandbox, Site, pool_of
from bridge.issuance import compose
from bridge.ledger.vault import make_key
from tests.servers import free_port, wait_until

_QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
_GUNICORN = ["gunicorn", "--config", "python:bridge.gunicorn_config", "--log-level", "warning"]


class _Numbers:
    """Numbers of orders that were never sent."""

    def __init__(self) -> None:
        self._next = FIRST

    def take(self, count: int) -> int:
        """The first of so many."""
        self._next += count
        return self._next - count


class Side:
    """One side: a receiver, a worker and a schedule over a database and a queue of its own."""

    queue_name = ""

    def __init__(self, site: Site, sandbox: Sandbox, database: Database, name: str) -> None:
        self.folder = site.new_folder(name)
        self.port = free_port()
        self.sandbox = sandbox
        self.queue = site.new_queue(database, self.queue_name)
        self.database_url = site.new_database(database, self.folder)
        self.stores: Sequence[str] = ["shop"]
        self.template = order_template()
        self._numbers = _Numbers()
        self.receiver = self._receiver()
        celery = ["celery", "--app", self.celery_app, "--quiet"]
        self.worker = self.process([*celery, "worker", *self.pool(site), *_QUIET])
        self.schedule = self.process([*celery, "beat"])

    wsgi_app: Sequence[str] = ()
    celery_app = ""

    def _receiver(self) -> Process:
        return self.process([*_GUNICORN, "--bind", f"127.0.0.1:{self.port}", *self.wsgi_app])

    def process(self, arguments: Sequence[str]) -> Process:
        """A process of this side, not started yet."""
        raise NotImplementedError

    def pool(self, site: Site) -> Sequence[str]:
        """The options to start the worker with."""
        raise NotImplementedError

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """With the receiver alone, ready."""
        with self.receiver.running():
            wait_until(self.is_ready, "a ready receiver")
            self.receiver.pid  # noqa: B018 - raises if it was another that answered
            yield

    @contextmanager
    def working(self) -> Iterator[None]:
        """With the worker, from the moment it takes a message of those that wait; then the schedule, too."""
        with self.worker.running():
            longest = 0

            def has_begun() -> bool:
                nonlocal longest
                self.worker.pid  # noqa: B018 - raises if it has ended
                length = self.queue.length()
                longest = max(longest, length)
                return length < longest

            wait_for(has_begun, every=0.002, within=60, what="a worker at work")
            with self.schedule.running():
                yield

    def is_ready(self) -> bool:
        """Whether the receiver answers."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

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


class Bridge(Side):
    """The bridge, as `spacebridge up` and the README start it, from the checkout under test."""

    queue_name = "spacebridge"
    celery_app = "worker.app"

    def __init__(
        self, site: Site, sandbox: Sandbox, database: Database, *, stores: int = 1, **settings: str
    ) -> None:
        self._checkout = site.plan.checkout
        self._is_embedded = database == "embedded"
        self._settings = settings
        self._key = make_key()
        super().__init__(site, sandbox, database, "bridge")
        self.run("db", "upgrade")
        self.stores = [f"shop{number}" for number in range(stores)]
        self._add_stores()

    def pool(self, site: Site) -> Sequence[str]:
        return pool_of(self._checkout).of_bridge

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings that each of its processes gets."""
        return {
            "SPACEBRIDGE_DATA_DIR": str(self.folder),
            "SPACEBRIDGE_DATABASE_URL": "" if self._is_embedded else self.database_url,
            "SPACEBRIDGE_BROKER_URL": self.queue.url,
            "SPACEBRIDGE_SECRET_KEY": self._key,
            "SPACEBRIDGE_API_URL": f"{self.sandbox.url}/v1",
            "SPACEBRIDGE_REQUEST_RATE": "1000",
            "SPACEBRIDGE_LOG_FORMAT": "json",
            **self._settings,
        }

    def process(self, arguments: Sequence[str]) -> Process:
        return Process(
            arguments, folder=self._checkout, environment=self.environment, log=self.folder / "log"
        )

    def run(self, *arguments: str, **environment: str) -> None:
        """A `spacebridge` command, to its end."""
        subprocess.run(
            [sys.executable, "-m", "bridge", *arguments],
            cwd=self._checkout,
            env={**os.environ, **self.environment, **environment},
            check=True,
            capture_output=True,
        )

    def twin(self, **settings: str) -> Bridge:
        """Another receiver over the same ledger, with other settings; to be started."""
        second = copy(self)
        second.port = free_port()
        second._settings = {**self._settings, **settings}
        second.receiver = second._receiver()
        return second

    def _add_stores(self) -> None:
        lines = []
        for name in self.stores:
            woocommerce_id = self.sandbox.add_config(name)["id"]
            lines += [f"[stores.{name}]", f'organization = "{ORGANIZATION}"']
            lines += [f'woocommerce = "{woocommerce_id}"', 'token_env = "TOKEN"']
            lines += ['webhook_secret_env = "WEBHOOK_SECRET"', ""]
        described = self.folder / "stores.toml"
        described.write_text("\n".join(lines))
        self.run("stores", "apply", str(described), TOKEN=self.sandbox.token, WEBHOOK_SECRET=SECRET)


class Bare(Side):
    """The baseline: the apps in bench/baselines, under the same gunicorn and the same pool of Celery's."""

    queue_name = "bare"
    celery_app = "bench.baselines.bare_celery"

    def __init__(self, site: Site, sandbox: Sandbox, database: Database, *, app: str = "bare_flask") -> None:
        self.wsgi_app = [f"bench.baselines.{app}:create_app()"]
        self._checkout = site.plan.checkout
        self._key = make_key()
        config = sandbox.add_config("bare")
        self._orders_url = f"{sandbox.url}/v1/Woocommerce/{config['id']}/order"
        super().__init__(site, sandbox, database, "bare")
        # The bridge's own, byte for byte: the order, with the store's config over it.
        self.template = compose(self.template.encode(), config).decode()
        # Python finds this benchmark first, wherever the checkout under test has one, too.
        (self.folder / "bench").symlink_to(ROOT / "bench")
        bare_flask.create_table(self.database_url)

    def pool(self, site: Site) -> Sequence[str]:
        return pool_of(self._checkout).of_baseline

    def process(self, arguments: Sequence[str]) -> Process:
        return Process(
            arguments,
            folder=self.folder,
            environment={
                "PYTHONPATH": str(self._checkout),
                "SPACEBRIDGE_SECRET_KEY": self._key,  # the gunicorn configuration asks for it
                "BARE_DATABASE_URL": self.database_url,
                "BARE_SECRET": SECRET,
                "BARE_BROKER_URL": self.queue.url,
                "BARE_ORDERS_URL": self._orders_url,
                "BARE_TOKEN": self.sandbox.token,
            },
            log=self.folder / "log",
        )

    def publish(self, count: int) -> None:
        """Call the task for so many orders."""
        first = self.take_numbers(count)
        with Celery(broker=self.queue.url) as app:
            app.conf.task_default_queue = self.queue_name
            for number in range(first, first + count):
                app.send_task("bare.forward", args=[body_of(self.template, number)])


def wait_for(condition: Callable[[], bool], *, every: float, within: float, what: str) -> None:
    """Wait, asking so seldom that it does not disturb what is measured."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about within {within:.0f} s")
        time.sleep(every)
