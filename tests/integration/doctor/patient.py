"""A bridge to be examined, and how its findings are read: none of them may tell a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import Connection, Table, update

from bridge.db import Ledger
from bridge.doctor import Finding, Level, examine
from bridge.issuance import StoreOptions
from bridge.ledger import issuances, store_configs, stores
from bridge.settings import Settings
from bridge.vault import Vault
from tests.support.misbehaving import Behaviour, Visit
from tests.support.running import Process, answers, sign
from tests.support.servers import free_port, wait_until
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE, Shop, at

SECRETS = (TOKEN, "s3cr3t", "geheim")  # of the store, and of addresses
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # which database has no part
NOWHERE = "http://127.0.0.1:1/v1"  # an API that nobody reaches


def hours_ago(number: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=number)


def answering(status: int, header: str = "Server: test") -> Behaviour:
    """Answers a request with this status and header."""

    def answer(visit: Visit) -> None:
        visit.receive_head()
        visit.say(f"HTTP/1.1 {status} Said\r\n{header}\r\nConnection: close\r\n\r\n".encode())

    return answer


def look(settings: Settings, now: datetime | None = None) -> list[Finding]:
    """All findings; none of them tells a secret."""
    found = list(examine(settings, now or datetime.now(UTC)))
    told = json.dumps([asdict(one) for one in found])
    keys = [key.get_secret_value() for key in settings.secret_key]
    assert [secret for secret in (*SECRETS, *keys) if secret in told] == []
    return found


def names(findings: Sequence[Finding], level: Level) -> list[str]:
    """What the checks of this level are about, the store's first if it is one's."""
    return [f"{one.store} {one.check}" if one.store else one.check for one in findings if one.level is level]


def the(check: str, findings: Sequence[Finding], store: str | None = None) -> Finding:
    """The only finding of a check that is not well, of the store if one is named."""
    (found,) = [
        one
        for one in findings
        if one.check == check and one.level is not Level.OK and (store is None or one.store == store)
    ]
    assert found.mend
    return found


@contextmanager
def sandbox_process(folder: Path) -> Iterator[str]:
    """A sandbox in a process of its own; the address of its API."""
    port = free_port()
    ids = ["--organization", ORGANIZATION, "--woocommerce", WOOCOMMERCE]
    sandbox = Process(
        ["bridge", "sandbox", "--port", str(port), *ids],
        {"SPACEBRIDGE_SANDBOX_TOKEN": TOKEN},
        folder / "sandbox.log",
    )
    sandbox.start()
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/sandbox/documents"), "a ready sandbox")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        sandbox.stop()


def deliver(url: str, number: int) -> None:
    """Have the shop deliver an order of this number that is paid for."""
    body = json.dumps({**at(number, status="processing"), "id": number, "order_key": f"wc_{number}"}).encode()
    headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": sign(body, "s3cr3t")}
    assert requests.post(f"{url}/webhooks/shop", data=body, headers=headers, timeout=10).status_code == 200


def states(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return [one.state for one in issuances.listed(connection)]


def paused(ledger: Ledger) -> bool:
    with ledger.read() as connection:
        return all(store.paused_at is not None for store in stores.every(connection))


def add_store(connection: Connection, vault: Vault, name: str, woocommerce_id: str) -> int:
    return stores.add(
        connection,
        vault=vault,
        name=name,
        organization_id=ORGANIZATION,
        woocommerce_id=woocommerce_id,
        api_token=TOKEN,
        webhook_secret="s3cr3t",
        options=StoreOptions(),
        now=datetime.now(UTC),
    )


@dataclass
class Patient:
    """A store that is well, over a ledger and a broker, with a sandbox as Space Invoices. It is now."""

    shop: Shop
    settings: Settings

    def look(self, **changes: Any) -> list[Finding]:
        return look(self.settings.model_copy(update=changes))

    def change(self, table: Table, **values: object) -> None:
        """Change every row of a table."""
        with self.shop.context.ledger.write() as connection:
            connection.execute(update(table).values(**values))

    def new_config(self) -> Mapping[str, Any]:
        """One more Woocommerce object in Space Invoices."""
        created = self.shop.sandbox.test_client().post(
            f"/v1/Organizations/{ORGANIZATION}/woocommerce",
            json={
                "name": "Shop",
                "active": True,
                "sendInvoiceAutomatically": True,
                "sendEstimateAutomatically": True,
            },
            headers={"Authorization": TOKEN},
        )
        config: Mapping[str, Any] = created.json
        return config

    def add_store(self, name: str, config: Mapping[str, Any]) -> None:
        """A store of the account that all have in common, whose config was fetched."""
        with self.shop.context.ledger.write() as connection:
            store_id = add_store(connection, self.shop.context.vault, name, config["id"])
            store_configs.save(connection, stores.get(connection, store_id), config, datetime.now(UTC))
