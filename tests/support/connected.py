"""A connection to a shop as the ledger keeps it, for tests that need no shop."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from bridge.ledger import shops, stores
from bridge.ledger.shops import NewShop
from bridge.vault import Vault

KEY, CONSUMER_SECRET = "ck_0123456789abcdef", "cs_fedcba9876543210"
NEW_SHOP = NewShop(
    url="https://shop.example",
    api="https://shop.example/wp-json/wc/v3/",
    login="basic",
    can_write=True,
    page_size=100,
    highest_order_id=41,
    key=KEY,
    secret=CONSUMER_SECRET,
)


def connect_shop(
    connection: Connection, vault: Vault, store_id: int, now: datetime, *, can_write: bool = True
) -> None:
    """Keep keys for the store's shop."""
    shops.connect(
        connection, vault, stores.lock(connection, store_id), replace(NEW_SHOP, can_write=can_write), now
    )
