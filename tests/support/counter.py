"""The `spacebridge` command over a ledger on one of the databases, with a sandbox as its Space Invoices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from bridge.db import Ledger
from bridge.ledger import actions, stores
from bridge.ledger.stores import Store
from bridge.sandbox import create_sandbox
from bridge.vault import Vault
from bridge.vault.encryption import make_key
from tests.support.running import run_command
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE

IDS = ["--organization", ORGANIZATION, "--woocommerce", WOOCOMMERCE]
OTHER_WOOCOMMERCE = "64b7e0c0a1b2c3d4e5f60720"
AWAY = "https://127.0.0.1:1/v1"  # nobody listens there; with http, one would be waited for


@dataclass
class Counter:
    """Runs commands, and looks at what they did."""

    folder: Path
    environment: Mapping[str, str]
    ledger: Ledger
    vault: Vault
    sandbox: Flask

    def run(
        self, *arguments: str, given: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `spacebridge` to its end; `given` is its standard input."""
        return run_command(self.folder, *arguments, given=given, **{**self.environment, **environment})

    def run_with(self, *arguments: str, **streams: Any) -> subprocess.CompletedProcess[Any]:
        """The same with standard streams of the test's own."""
        return subprocess.run(
            [sys.executable, "-m", "bridge", *arguments],
            env={**os.environ, **self.environment, "SPACEBRIDGE_DATA_DIR": str(self.folder)},
            timeout=60,
            check=False,
            **streams,
        )

    def json(self, *arguments: str, given: str | None = None, **environment: str) -> Any:
        """Run it with --json, which has to succeed; what it prints."""
        ended = self.run(*arguments, "--json", given=given, **environment)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def add(self, name: str = "shop", *options: str) -> Any:
        """Add a store for the sandbox' first object."""
        return self.json("stores", "add", name, *IDS, "--token-file", "-", *options, given=TOKEN)

    def find(self, name: str = "shop") -> Store | None:
        with self.ledger.read() as connection:
            return stores.find(connection, name)

    def store(self, name: str = "shop") -> Store:
        """The store as the ledger holds it."""
        store = self.find(name)
        assert store is not None
        return store

    def actions(self, name: str = "shop") -> list[str]:
        """What was done to the store, the latest first."""
        with self.ledger.read() as connection:
            found = actions.of_store(connection, self.store(name).id, limit=100)
        return [one.verb for one in found]

    def patch(self, **changes: object) -> None:
        """Change the sandbox' first object, as somebody does in Space Invoices."""
        url = f"/v1/Woocommerce/{WOOCOMMERCE}"
        answer = self.sandbox.test_client().patch(url, json=changes, headers={"Authorization": TOKEN})
        assert answer.status_code == 200, answer.text

    def without(self, name: str) -> Counter:
        """The same without one of the settings."""
        return replace(self, environment={**self.environment, name: ""})


@contextmanager
def open_counter(ledger: Ledger, database_url: str, folder: Path) -> Iterator[Counter]:
    """A migrated ledger, and a sandbox with two objects for it."""
    sandbox = create_sandbox(
        organization_id=ORGANIZATION,
        token=TOKEN,
        woocommerces=[
            {"id": WOOCOMMERCE, "name": "Shop", "issueInvoiceOnComplete": False},
            {"id": OTHER_WOOCOMMERCE, "name": "Other", "issueInvoiceOnComplete": True},
        ],
        rate_limit=10_000,
    )
    with serving(sandbox) as port:
        key = make_key()
        environment = {
            "SPACEBRIDGE_DATABASE_URL": database_url,
            "SPACEBRIDGE_SECRET_KEY": key,
            "SPACEBRIDGE_API_URL": f"http://127.0.0.1:{port}/v1",
            "SPACEBRIDGE_API_TIMEOUT": "5",
        }
        yield Counter(folder, environment, ledger, Vault([key]), sandbox)


@contextmanager
def serving(app: Flask) -> Iterator[int]:
    """Serve an app on this machine; the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
