"""The turn of a command to ask a store's shop: one process at a time does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bridge.cli.stores.session import StoreSession
from bridge.cli.terminal import fail
from bridge.ledger import shops
from bridge.ledger.shops import Shop as ShopRow
from bridge.ledger.stores import Store
from bridge.pipeline.shop_round import take_lease

POLL = 0.5  # seconds between two looks at the lease that another process holds


def require_connected(session: StoreSession, store: Store) -> ShopRow:
    """The store's shop; ends the command if it is not connected."""
    with session.ledger.read() as connection:
        shop = shops.of_store(connection, store.id)
    if shop is None:
        fail(
            f"The shop of store {store.name} is not connected, so it cannot be asked: "
            f"spacebridge stores connect {store.name} --url https://<the shop>"
        )
    return shop


def wait_for_lease(session: StoreSession, store: Store) -> None:
    """Wait for another process to end its round of the shop; one that died holds it for minutes at most."""
    context, is_told = session.context(), False
    while not take_lease(context, store_id=store.id):
        if not is_told:
            click.echo(f"The bridge is asking the shop of store {store.name} just now; waiting.", err=True)
            is_told = True
        require_connected(session, store)
        time.sleep(POLL)


@contextmanager
def shop_lease(session: StoreSession, store: Store) -> Iterator[None]:
    """Hold the lease in the block; the next round stays when it was."""
    wait_for_lease(session, store)
    try:
        yield
    finally:
        with session.ledger.write() as connection:
            shops.release(connection, store.id, None)
