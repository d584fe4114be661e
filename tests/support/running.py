"""A whole bridge in processes of its own, with a sandbox behind it, for tests that send real requests."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Table, func, select

from bridge.db import Ledger
from bridge.db.tables import deliveries, issuances, orders
from bridge.db.tables import stores as store_table
from bridge.issuance import StoreOptions
from bridge.ledger import stores
from bridge.ledger.orders import decided_before
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.store_configs import refresh_config
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.support import forked
from tests.support.servers import free_port, wait_until

SECRET = "s3cr3t-Plain_ascii.2026"  # the one that most deliveries were recorded under
ORGANIZATION = "64b7e0c0a1b2c3d4e5f60718"


def sign(body: bytes, secret: str = SECRET) -> str:
    """WooCommerce's signature, written again from its source, so that tests do not ask the bridge."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def run_command(
    folder: Path, *arguments: str, given: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `spacebridge` over a data folder to its end; `given` is its standard input."""
    return forked.run(
        arguments,
        {**os.environ, "SPACEBRIDGE_DATA_DIR": str(folder), **environment},
        given=given,
        timeout=60,
    )


class Process:
    """A child process that can be killed and started again; its output goes to a file."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._arguments = [sys.executable, "-m", *arguments]
        self._environment = {**os.environ, **environment}
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # by time.monotonic

    def start(self) -> None:
        self.started_at = time.monotonic()
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                self._arguments,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def signal_all(self, number: int) -> None:
        """Send it and its children a signal; nothing if they have ended."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def stop(self, *, within: float = 30.0) -> int:
        """Ask it to stop, and return its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(within)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its children as a crash would."""
        if self.process is None:
            return
        self.signal_all(signal.SIGKILL)
        self.process.wait(10)


class RunningBridge:
    """Receivers, workers and a sandbox over a given ledger and broker."""

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str = "",
        broker_url: str,
        sandbox_options: Sequence[str] = ("--rate-limit", "100000"),
        workers: int = 1,
        receivers: int = 1,
        environment_of: Callable[[str], Mapping[str, str]] = lambda part: {},
        **settings: str,
    ) -> None:
        """`environment_of`: what only one part's environment has, by the part's name.

        `settings`: what the parts' settings are instead; the tests' own ledger is at `database_url`.
        """
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        data = Path(settings.get("SPACEBRIDGE_DATA_DIR", folder / "data"))
        key = make_key()
        ports = [free_port() for _ in range(receivers)]
        self.receiver_port, self.sandbox_port = ports[0], free_port()
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.url = self.urls[0]
        self.sandbox_url = f"http://127.0.0.1:{self.sandbox_port}"
        self.token = secrets.token_urlsafe(24)
        environment = {
            "SPACEBRIDGE_DATA_DIR": str(data),
            "SPACEBRIDGE_DATABASE_URL": database_url,
            "SPACEBRIDGE_BROKER_URL": broker_url,
            "SPACEBRIDGE_SECRET_KEY": key,
            "SPACEBRIDGE_API_URL": f"{self.sandbox_url}/v1",
            "SPACEBRIDGE_LOG_FORMAT": "json",
            "SPACEBRIDGE_SANDBOX_TOKEN": self.token,
            "TMPDIR": str(self.temporary),  # what those that are killed leave in it goes with the folder
            **settings,
        }
        self.environment = environment
        self.vault = Vault([key])
        self.ledger = Ledger(database_url or f"sqlite:///{data / 'ledger.db'}")
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        celery = ["celery", "--app", "worker.app", "--quiet"]
        self.log = folder / "log"
        sandbox = ["bridge", "sandbox", "--organization", ORGANIZATION, *sandbox_options]
        gunicorn = ["gunicorn", "--config", "python:bridge.gunicorn_config", "--log-level", "warning"]
        worker = [*celery, "worker", "--pool", "threads", "--concurrency", "8", *quiet]
        processes = {
            "sandbox": [*sandbox, "--port", str(self.sandbox_port)],
            **{f"worker{number or ''}": worker for number in range(workers)},
            **{
                f"receiver{number or ''}": [*gunicorn, "--bind", f"127.0.0.1:{port}"]
                for number, port in enumerate(ports)
            },
        }
        self.parts = {
            name: Process(arguments, {**environment, **environment_of(name)}, self.log)
            for name, arguments in processes.items()
        }

    def __enter__(self) -> RunningBridge:
        self.ledger.upgrade()
        try:
            for part in self.parts.values():
                part.start()
            for url in self.urls:
                wait_until(partial(answers, f"{url}/readyz"), "a ready receiver")
            wait_until(lambda: answers(f"{self.sandbox_url}/sandbox/documents"), "a ready sandbox")
        except TimeoutError:
            self.__exit__()
            print(self.log.read_text()[-4000:])
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.parts.values():
            if part.process is not None and part.process.poll() is None:
                part.process.terminate()
        for part in self.parts.values():
            part.stop()
        self.ledger.close()

    def add_store(
        self,
        name: str,
        flags: Mapping[str, object] | None = None,
        *,
        secret: str = SECRET,
        options: StoreOptions | None = None,
        is_config_known: bool = False,
    ) -> str:
        """A store, with a store config of its own in the sandbox; returns that one's id."""
        woocommerce_id = self.add_config(name, flags)
        with self.ledger.write() as connection:
            store_id = stores.add(
                connection,
                vault=self.vault,
                name=name,
                organization_id=ORGANIZATION,
                woocommerce_id=woocommerce_id,
                api_token=self.token,
                webhook_secret=secret,
                options=options or StoreOptions(),
                now=datetime.now(UTC),
            )
        if is_config_known:
            context = Context(self.ledger, self.vault, f"{self.sandbox_url}/v1", 10, 300)
            refresh_config(context, store_id)
            context.close()
            assert self.store(name).config is not None
        return woocommerce_id

    def add_config(self, name: str, flags: Mapping[str, object] | None = None) -> str:
        """A store config in the sandbox, without a store; returns its id."""
        config = {
            "name": name,
            "active": True,
            "sendInvoiceAutomatically": True,
            "sendEstimateAutomatically": True,
            **(flags or {}),
        }
        created = requests.post(
            f"{self.sandbox_url}/v1/Organizations/{ORGANIZATION}/woocommerce",
            json=config,
            headers={"Authorization": self.token},
            timeout=10,
        )
        assert created.status_code == 200, created.text
        woocommerce_id: str = created.json()["id"]
        return woocommerce_id

    def store(self, name: str) -> Store:
        """The store as the ledger holds it."""
        with self.ledger.read() as connection:
            store = stores.find(connection, name)
        assert store is not None
        return store

    def wait_for_config(self, name: str) -> None:
        """Wait until the store's config was fetched."""
        wait_until(lambda: self.store(name).config is not None, f"the config of {name}")

    def deliver(
        self, store: str, body: bytes, headers: Mapping[str, str] | None = None, *, secret: str = SECRET
    ) -> requests.Response:
        """Send a delivery, signed unless the headers say otherwise."""
        given = {"Content-Type": "application/json", "X-WC-Webhook-Topic": "order.updated"}
        given |= {"X-WC-Webhook-Signature": sign(body, secret)}
        return requests.post(
            f"{self.url}/webhooks/{store}", data=body, headers={**given, **(headers or {})}, timeout=30
        )

    def count(self, table: Table, *states: str) -> int:
        """How many deliveries or issuances are in these states."""
        with self.ledger.read() as connection:
            return connection.execute(
                select(func.count()).select_from(table).where(table.c.state.in_(states))
            ).scalar_one()

    def is_settled(self) -> bool:
        """Whether nothing is left to process, to decide anew or to send."""
        if self.count(deliveries, "received"):
            return False
        with self.ledger.read() as connection:
            by_old_rules = connection.execute(
                select(func.count())
                .select_from(orders.join(store_table))
                .where(*decided_before(store_table.c.decision_version))
            ).scalar_one()
        return not by_old_rules and not self.count(issuances, "due", "sending")

    def wait_until_settled(self, *, within: float = 60.0) -> None:
        wait_until(self.is_settled, "a settled ledger", within=within)

    def issued(self, woocommerce_id: str) -> dict[int, list[str]]:
        """The kinds of documents that the sandbox issued, by order, in the order it issued them."""
        found: dict[int, list[str]] = {}
        for document in self.sandbox()["documents"]:
            if document["woocommerceId"] == woocommerce_id:
                found.setdefault(document["orderId"], []).append(document["kind"])
        return found

    def sandbox(self) -> Any:
        """All that the sandbox tells of itself."""
        return requests.get(f"{self.sandbox_url}/sandbox/documents", timeout=10).json()


def answers(url: str) -> bool:
    """Whether the address answers 200."""
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
