"""A connection to a shop: to the stand-in, or as the ledger keeps it, for tests that need no shop."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from bridge.admin import shop_connection
from bridge.db import Ledger
from bridge.ledger import shops, stores
from bridge.ledger.shops import NewShop, Shop
from bridge.shop import ShopKeys
from bridge.vault import Vault
from tests.support.shop_stand_in import ShopStandIn

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


def shop_of(now: datetime) -> Shop:
    """A shop that was connected at this time, and not compared since."""
    never = dict.fromkeys(
        ("compared_until", "compare_from", "compared_at", "compared_recent_at", "compared_content_at")
    )
    return Shop(
        store_id=7,
        url=NEW_SHOP.url,
        api=NEW_SHOP.api,
        login=NEW_SHOP.login,
        can_write=True,
        page_size=100,
        connected_at=now,
        highest_order_id=41,
        **never,
        compared_trash_at=None,
        lease_ends_at=None,
        next_round_at=None,
        error=None,
        error_kind=None,
        failing_since=None,
        refusals=0,
        encrypted_key="a",
        encrypted_secret="b",
    )


def connect_to(ledger: Ledger, vault: Vault, store_id: int, there: ShopStandIn, now: datetime) -> None:
    """Connect a store to the stand-in of a shop, as `stores connect` does with a key file."""
    keys = ShopKeys(there.consumer_key, there.consumer_secret)
    proof = shop_connection.prove(there.url, keys, sleep=lambda _seconds: None)
    with ledger.write() as connection:
        shop_connection.keep(
            connection, vault, stores.lock(connection, store_id), proof, who="a test", now=now
        )


def connect_shop(
    connection: Connection, vault: Vault, store_id: int, now: datetime, *, can_write: bool = True
) -> None:
    """Keep keys for the store's shop."""
    shops.connect(
        connection, vault, stores.lock(connection, store_id), replace(NEW_SHOP, can_write=can_write), now
    )
