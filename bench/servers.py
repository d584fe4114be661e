"""All that both sides stand on: PostgreSQL, Redis, the sandbox, and the folder that everything is kept in."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import redis
import requests

from bench.processes import Process
from bench.waiting import wait_for
from tests.support.servers import PostgresServer, RedisServer, free_port, wait_until

ROOT = Path(__file__).parents[1]
ORGANIZATION = "64b7e0c0a1b2c3d4e5f60718"
SECRET = "a-webhook-secret-of-the-benchmark"  # noqa: S105 - it protects nothing
POLL_INTERVAL = 0.2  # seconds between looks at the sandbox
ISSUED_WITHIN = 600.0  # seconds

Database = Literal["embedded", "postgresql"]
DATABASES: Sequence[Database] = ("embedded", "postgresql")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured, and of which version: `checkout` is the folder that the bridge is run from."""

    rounds: int = 5
    smoke: bool = False
    checkout: Path = ROOT

    def size(self, full: int, *, smoke: int) -> int:
        """How many of something: all that it takes, or just enough to see that it works."""
        return smoke if self.smoke else full


class Site:
    """Servers that are started when they are first asked for, and folders that nobody else uses."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self._stack = ExitStack()
        self._folders = itertools.count(1)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def postgres(self) -> PostgresServer:
        """PostgreSQL as it is by default: every commit is synced."""
        return self._stack.enter_context(PostgresServer(self.folder))

    @cached_property
    def redis(self) -> RedisServer:
        """One for both databases: at a port, and, for an embedded bridge, at a socket as `up` has it."""
        folder = self.new_folder("redis")
        return self._stack.enter_context(RedisServer(socket=folder / "broker.sock"))

    def new_folder(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / f"{next(self._folders)}-{name}"
        folder.mkdir()
        return folder

    def new_database(self, database: Database, folder: Path) -> str:
        """URL of a new, empty database: an SQLite file in this folder, or one of PostgreSQL's."""
        if database == "embedded":
            return f"sqlite:///{folder / 'ledger.db'}"
        return self.postgres.new_database(folder.name)

    def new_queue(self, database: Database, name: str) -> Queue:
        """A Redis database of its own, with a broker's URL as an embedded or a distributed bridge has it."""
        number = int(self.redis.new_url().rpartition("/")[2])
        url = f"redis://127.0.0.1:{self.redis.port}/{number}"
        if database == "embedded":
            url = f"redis+socket://{self.redis.socket}?virtual_host={number}"
        return Queue(url, redis.Redis(port=self.redis.port, db=number), name)

    @contextmanager
    def sandbox(self, *options: str) -> Iterator[Sandbox]:
        """Space Invoices, for both sides. Always of this checkout, so that versions meet the same."""
        sandbox = Sandbox(self.new_folder("sandbox"), options or ("--rate-limit", "100000"))
        with sandbox.process.running():
            wait_until(sandbox.answers, "a ready sandbox")
            yield sandbox


@dataclass(frozen=True, slots=True)
class Queue:
    """A Celery queue in Redis."""

    url: str
    client: redis.Redis
    name: str

    def length(self) -> int:
        """How many messages wait in it."""
        return int(self.client.llen(self.name))


class Sandbox:
    """The sandbox, in a process of its own."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = secrets.token_urlsafe(24)
        self._session = requests.Session()
        self.process = Process(
            ["bridge", "sandbox", "--organization", ORGANIZATION, "--port", str(self.port), *options],
            folder=ROOT,
            environment={"SPACEBRIDGE_SANDBOX_TOKEN": self.token},
            log=folder / "log",
        )

    def answers(self) -> bool:
        """Whether it has started."""
        try:
            return self._session.get(f"{self.url}/", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def add_config(self, name: str) -> Mapping[str, Any]:
        """A new Woocommerce object."""
        flags = {"active": True, "sendInvoiceAutomatically": True, "sendEstimateAutomatically": True}
        response = self._session.post(
            f"{self.url}/v1/Organizations/{ORGANIZATION}/woocommerce",
            json={"name": name, **flags},
            headers={"Authorization": self.token},
            timeout=10,
        )
        response.raise_for_status()
        created: Mapping[str, Any] = response.json()
        return created

    def counts(self) -> Mapping[str, int]:
        """What it has counted since its start. Cheap, however many documents there are."""
        return self._look(since=999_999_999)[1]

    def issued(self) -> int:
        """How many documents it has issued."""
        counts = self.counts()
        return counts["invoices"] + counts["estimates"]

    def wait_for_issued(self, count: int) -> float:
        """Wait until it has issued so many in all; when the last of them was, in seconds since 1970."""
        wait_for(
            lambda: self.issued() >= count,
            every=POLL_INTERVAL,
            within=ISSUED_WITHIN,
            what=f"document {count}",
        )
        return issued_at(self.documents(count - 1)[0])

    def documents(self, since: int) -> Sequence[Mapping[str, Any]]:
        """The documents after the first `since`."""
        return self._look(since=since)[0]

    def _look(self, since: int) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, int]]:
        response = self._session.get(f"{self.url}/sandbox/documents", params={"since": since}, timeout=60)
        found = response.json()
        return found["documents"], found["counts"]


def issued_at(document: Mapping[str, Any]) -> float:
    """When a document was issued, in seconds since 1970."""
    return datetime.fromisoformat(document["issuedAt"]).timestamp()


@dataclass(frozen=True, slots=True)
class Shape:
    """How the checkout runs its processes, for the baseline to be run the same way."""

    gunicorn: Mapping[str, object]  # its settings
    bridge_pool: Sequence[str]  # the options to start the bridge's worker with
    bare_pool: Sequence[str]  # those that give a bare worker the same pool
    has_beat: bool  # whether its schedule is a process of its own, as it was in former versions


def python_of(checkout: Path) -> str:
    """The interpreter of a checkout: that of its virtual environment, or else the one that runs this."""
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


# Asked in a process of its own: the checkout may be another than the one that this code is of.
_ASK = """
import json, bridge.gunicorn_config, worker.app
plain = {name: value for name, value in vars(bridge.gunicorn_config).items()
         if not name.startswith("_") and isinstance(value, (str, int, float))}
conf = worker.app.app.conf
print(json.dumps([plain, conf.worker_pool, conf.worker_concurrency, bool(conf.beat_schedule)]))
"""


_asking = Lock()


def shape_of(checkout: Path) -> Shape:
    """The checkout's shape. Where its Celery app says nothing of the pool, `up` and the README give one."""
    with _asking:  # so that groups that start at once ask once
        return _ask_for_shape(checkout)


@cache
def _ask_for_shape(checkout: Path) -> Shape:
    environment = {**os.environ, "SPACEBRIDGE_SECRET_KEY": "A" * 43 + "=", "SPACEBRIDGE_DATABASE_URL": ""}
    answer = subprocess.run(
        [python_of(checkout), "-c", _ASK],
        cwd=checkout,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    gunicorn, pool, concurrency, has_beat = json.loads(answer.stdout.strip().rpartition("\n")[2])
    for name in ("wsgi_app", "bind"):
        gunicorn.pop(name)
    if concurrency:
        return Shape(gunicorn, [], ["--pool", pool, "--concurrency", str(concurrency)], has_beat)
    by_hand = ["--pool", "threads", "--concurrency", "16"]
    return Shape(gunicorn, by_hand, by_hand, has_beat)
