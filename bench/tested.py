"""The bridge under test."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from copy import copy

from bench.processes import Process
from bench.servers import ISSUED_WITHIN, ORGANIZATION, SECRET, Database, Sandbox, Site, python_of, shape_of
from bench.sides import Side
from bench.waiting import wait_for
from bridge.vault.encryption import make_key
from tests.support.servers import free_port

# Its commands, one after the other in one process: each by itself would take a second to start.
_COMMANDS = """
import sys, bridge.cli
for line in sys.stdin.read().splitlines():
    bridge.cli.cli(line.split(), standalone_mode=False)
"""


class Bridge(Side):
    """The bridge, as `spacebridge up` and the README start it, from the checkout under test."""

    queue_name = "spacebridge"
    gunicorn_config = "python:bridge.gunicorn_config"
    celery_app = "worker.app"

    def __init__(
        self, site: Site, sandbox: Sandbox, database: Database, *, stores: int = 1, **settings: str
    ) -> None:
        self._checkout = site.plan.checkout
        self.needs_schedule = shape_of(self._checkout).has_beat
        self.is_embedded = database == "embedded"
        self._settings = settings
        self._key = make_key()
        super().__init__(site, sandbox, database, "bridge")
        self.stores = [f"shop{number}" for number in range(stores)]
        self.command("db upgrade", f"stores apply {self._described_stores()}")

    def pool(self) -> Sequence[str]:
        return shape_of(self._checkout).bridge_pool

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings that each of its processes gets."""
        return {
            "SPACEBRIDGE_DATA_DIR": str(self.folder),
            "SPACEBRIDGE_DATABASE_URL": "" if self.is_embedded else self.database_url,
            "SPACEBRIDGE_BROKER_URL": self.queue.url,
            "SPACEBRIDGE_SECRET_KEY": self._key,
            "SPACEBRIDGE_API_URL": f"{self.sandbox.url}/v1",
            "SPACEBRIDGE_REQUEST_RATE": "1000",
            "SPACEBRIDGE_LOG_FORMAT": "json",
            **self._settings,
        }

    def process(self, arguments: Sequence[str]) -> Process:
        return Process(
            arguments,
            folder=self._checkout,
            environment=self.environment,
            log=self.folder / "log",
            python=python_of(self._checkout),
        )

    def command(self, *lines: str) -> None:
        """`spacebridge` commands, to their end; raises RuntimeError for one that fails."""
        secrets = {"TOKEN": self.sandbox.token, "WEBHOOK_SECRET": SECRET}
        done = subprocess.run(
            [python_of(self._checkout), "-c", _COMMANDS],
            cwd=self._checkout,
            env={**os.environ, **self.environment, **secrets},
            input="\n".join(lines),
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{'; '.join(lines)} failed: {done.stdout}{done.stderr}"[-2000:])

    def unsettled(self) -> int:
        """How many deliveries are not processed and documents not issued yet."""
        ((found,),) = self.query(
            "SELECT (SELECT count(*) FROM deliveries WHERE state = 'received')"
            " + (SELECT count(*) FROM issuances WHERE state IN ('due', 'sending'))"
        )
        return int(found)

    def wait_until_settled(self) -> None:
        """Wait until everything that was recorded is issued, or needs no document."""
        wait_for(lambda: not self.unsettled(), every=0.2, within=ISSUED_WITHIN, what="a settled ledger")

    def sweep(self, times: int) -> Sequence[float]:
        """Sweep so often in one process, with the checkout's code; the seconds of each but the first.

        The first opens the ledger.
        """
        done = subprocess.run(
            [python_of(self._checkout), "-m", "bench.sweeping", str(times)],
            cwd=self.folder,
            env={**os.environ, **self.environment, "PYTHONPATH": str(self._checkout)},
            check=True,
            stdout=subprocess.PIPE,
        )
        seconds: Sequence[float] = json.loads(done.stdout)[1:]
        return seconds

    def twin(self, **settings: str) -> Bridge:
        """Another receiver over the same ledger, with other settings; to be started."""
        second = copy(self)
        second.port = free_port()
        second._settings = {**self._settings, **settings}
        second.receiver = second._receiver()
        return second

    def _described_stores(self) -> str:
        """Path of a file that describes the stores; their configs are made in the sandbox."""
        lines = []
        for name in self.stores:
            woocommerce_id = self.sandbox.add_config(name)["id"]
            lines += [f"[stores.{name}]", f'organization = "{ORGANIZATION}"']
            lines += [f'woocommerce = "{woocommerce_id}"', 'token_env = "TOKEN"']
            lines += ['webhook_secret_env = "WEBHOOK_SECRET"', ""]
        described = self.folder / "stores.toml"
        described.write_text("\n".join(lines))
        return str(described)
