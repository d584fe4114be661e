"""The demo's second scene: a shop that the bridge can ask, an outage, and what is made good after it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from bridge.admin import install_webhooks, shop_connection
from bridge.db import Ledger
from bridge.embedded import demo
from bridge.embedded.supervisor import Part
from bridge.issuance import StoreOptions
from bridge.ledger import finds, issuances, orders, shops, stores
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.shop_round import client_of
from bridge.pipeline.store_configs import refresh_config
from bridge.settings import PREFIX, Settings
from bridge.shop import ShopKeys

STORE = "shop"
BEFORE, MEANWHILE, AFTERWARDS = 2, 7, 2  # orders; the seventh failure in a row switches a webhook off
WITHIN = 60.0  # seconds, for each wait
POLL = 0.1  # seconds
_WHO = "the demo"


@dataclass(frozen=True, slots=True)
class DemoShop:
    """The stand-in of a shop, at a free port, with a key of its own."""

    port: int
    keys: ShopKeys = field(repr=False)

    @classmethod
    def make(cls) -> DemoShop:
        """One that is not started yet."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        return cls(port, ShopKeys(f"ck_{secrets.token_hex(20)}", f"cs_{secrets.token_hex(20)}"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def part(self) -> Part:
        """Its process."""
        command = [sys.executable, "-m", "bridge", "sandbox", "--shop", "--port", str(self.port)]
        environment = {
            "SPACEBRIDGE_SANDBOX_CONSUMER_KEY": self.keys.consumer_key,
            "SPACEBRIDGE_SANDBOX_CONSUMER_SECRET": self.keys.consumer_secret,
        }
        return Part("shop", [*command, "--orders", "0"], environment, is_ready=self._answers)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/stand-in", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def make_orders(self, count: int) -> Sequence[int]:
        """New orders, paid by card; their ids."""
        made = [
            requests.post(f"{self.url}/stand-in/orders", json={}, timeout=30).json() for _ in range(count)
        ]
        return [one["id"] for one in made]

    def cut_off(self, is_cut_off: bool) -> None:
        """Have its deliveries find nobody, or the bridge again."""
        faults = {"is_cut_off": True} if is_cut_off else {}
        requests.put(f"{self.url}/stand-in/faults", json=faults, timeout=30).raise_for_status()

    def look(self) -> Mapping[str, Any]:
        """Its webhooks, and how many deliveries are queued."""
        seen: Mapping[str, Any] = requests.get(f"{self.url}/stand-in", timeout=30).json()
        return seen

    def switched_off(self) -> Sequence[str]:
        """The topics that it has given up."""
        return [one["topic"] for one in self.look()["webhooks"] if one["status"] == "disabled"]


@dataclass(frozen=True, slots=True)
class Row:
    """An order of the scene: how the bridge came to know it, and its document."""

    order: int
    how: str
    document: str


def play(settings: Settings, ledger: Ledger, address: str, shop: DemoShop) -> Iterator[str | Row]:
    """Play the scene; yields a sentence for each step, and at its end a row for each order."""
    context = Context(
        ledger,
        settings.vault(),
        settings.api_url,
        settings.api_timeout,
        settings.config_ttl,
        public_url=address,
    )
    store = _connected_store(settings, context, shop)
    yield f"The store {STORE} is connected to its shop at {shop.url}, and its webhooks are installed."
    made = list(shop.make_orders(BEFORE))
    _wait(lambda: _documents(ledger, store, made) == len(made), "the first documents")
    yield f"The shop sells: {BEFORE} orders, told by webhooks and invoiced."
    shop.cut_off(True)
    made += shop.make_orders(MEANWHILE)
    _wait(lambda: {"order.created", "order.updated"} <= set(shop.switched_off()), "webhooks that are off")
    yield (
        f"The bridge is away. The shop makes {MEANWHILE} orders, fails to deliver them, and switches off "
        f"{', '.join(shop.switched_off())}."
    )
    shop.cut_off(False)
    made += shop.make_orders(AFTERWARDS)
    made_at = time.time()
    # The shop tells dates in whole seconds, and a comparison goes up to the last whole one.
    _wait(lambda: not shop.look()["queued"] and time.time() > made_at + 2, "a shop at rest")
    yield f"The bridge is back, and {AFTERWARDS} more orders are made: no webhook tells of them, for ever."
    yield f"The bridge asks the shop, every ten minutes or by `spacebridge stores reconcile {STORE}`."
    found = _reconcile(settings, address)
    _wait(lambda: _documents(ledger, store, made) == len(made), "the last documents")
    yield (
        f"It finds {found} orders, has them invoiced, and makes the webhooks anew. Switched off: "
        f"{', '.join(shop.switched_off()) or 'none'}."
    )
    yield from _rows(ledger, store, made)
    context.close()


def _connected_store(settings: Settings, context: Context, shop: DemoShop) -> Store:
    """Add the store, connect it, and install its webhooks, as the commands do."""
    flags = {"active": True, "sendInvoiceAutomatically": False, "sendEstimateAutomatically": False}
    config = requests.post(
        f"{settings.api_url}/Organizations/{demo.ORGANIZATION}/woocommerce",
        json={"name": "The demo's shop", **flags},
        headers={"Authorization": demo.TOKEN},
        timeout=30,
    )
    config.raise_for_status()
    proof = shop_connection.prove(shop.url, shop.keys, sleep=lambda _seconds: None)
    now = datetime.now(UTC)
    with context.ledger.write() as connection:
        store_id = stores.add(
            connection,
            vault=context.vault,
            name=STORE,
            organization_id=demo.ORGANIZATION,
            woocommerce_id=config.json()["id"],
            api_token=demo.TOKEN,
            webhook_secret=secrets.token_hex(24),
            options=StoreOptions(),
            now=now,
        )
        locked = stores.lock(connection, store_id)
        shop_connection.keep(connection, context.vault, locked, proof, who=_WHO, now=now)
    refresh_config(context, store_id)
    with context.ledger.read() as connection:
        store, connected = stores.get(connection, store_id), shops.of_store(connection, store_id)
    if connected is None:
        raise RuntimeError("the demo's shop was not connected")
    with client_of(context, connected) as client:
        install_webhooks.install(context, store, connected, client, context.public_url, who=_WHO)
    return store


def _reconcile(settings: Settings, address: str) -> int:
    """Have the command compare the shop; returns how many orders it found."""
    command = [sys.executable, "-m", "bridge", "stores", "reconcile", STORE, "--json"]
    own = {f"{PREFIX}DATA_DIR": str(settings.data_dir.absolute()), f"{PREFIX}PUBLIC_URL": address}
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        command,
        env={**os.environ, **demo.environment(settings), **own},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the comparison with the demo's shop failed: {done.stderr[-500:]}")
    return len(json.loads(done.stdout)["found"])


def _documents(ledger: Ledger, store: Store, order_ids: Sequence[int]) -> int:
    """How many of these orders have their document."""
    return sum(row.document == issuances.ISSUED for row in _rows(ledger, store, order_ids))


def _rows(ledger: Ledger, store: Store, order_ids: Sequence[int]) -> Iterator[Row]:
    with ledger.read() as connection:
        for order_id in order_ids:
            known = orders.of_resource(connection, store.id, order_id)
            states = [one.state for order in known for one in issuances.of_order(connection, order.id)]
            found = finds.of_resource(connection, store.id, order_id)
            how = f"found in the shop ({found[-1].reason})" if found else "a webhook"
            yield Row(order_id, how if known else "nobody told", states[0] if states else "none")


def _wait(is_so: Callable[[], bool], what: str) -> None:
    """Wait for other processes, which cannot wake this one; raises TimeoutError."""
    until = time.monotonic() + WITHIN
    while not is_so():
        if time.monotonic() >= until:
            raise TimeoutError(f"the demo waited in vain for {what}")
        time.sleep(POLL)
