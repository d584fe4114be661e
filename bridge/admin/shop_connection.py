"""Connects a store to its shop's API: the keys are proved there first, and kept completely or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from bridge.admin import RefusedError
from bridge.issuance.shop import address_of, is_foreign, shop_of
from bridge.ledger import actions, shops, stores
from bridge.ledger.actions import Action
from bridge.ledger.shops import NewShop
from bridge.ledger.store import Store
from bridge.shop import AnswerError, RightsError, Shop, ShopKeys, find_endpoint
from bridge.vault import Vault


class OtherShopError(RefusedError):
    """The keys are good, and they are not those of the store's shop."""

    def __init__(self, store: Store, address: str) -> None:
        known = ",".join(store.shop_urls)
        super().__init__(
            f"These keys are of the shop {address}, and the shop of store {store.name} is "
            f"{' or '.join(store.shop_urls)}: nothing is kept. If it is the same shop, which has moved or "
            f"has several addresses: spacebridge stores set {store.name} shop_urls={known},{address}; then "
            "connect it again. If it is a copy, or another shop, give the address and keys of the store's."
        )


class StoreRemovedError(RefusedError):
    """The store was removed while its shop was being asked."""

    def __init__(self) -> None:
        super().__init__("The store was removed meanwhile: nothing is kept.")


@dataclass(frozen=True, slots=True)
class Proof:
    """A shop that has accepted the keys. `address`: the shop's own, as its deliveries name it."""

    shop: NewShop
    address: str


def prove(
    url: str,
    keys: ShopKeys,
    *,
    read_timeout: float = 60.0,
    sleep: Callable[[float], object] = time.sleep,
) -> Proof:
    """Ask the shop at this address whether the keys are good, and what they may; raises ShopError.

    `read_timeout` (seconds) is for each request; `sleep` waits before each, and may raise ShopError.
    """
    endpoint = find_endpoint(url, keys, read_timeout=read_timeout, sleep=sleep)
    client = Shop(endpoint, keys, read_timeout=read_timeout, sleep=sleep)
    try:
        highest = client.highest_order_id()
        address = _own_address(client, highest) or address_of(endpoint.url)
        shop = NewShop(
            url=endpoint.url,
            api=endpoint.api,
            login=endpoint.login,
            can_write=client.permissions().can_write,
            page_size=client.page_size,
            highest_order_id=highest,
            key=keys.consumer_key,
            secret=keys.consumer_secret,
        )
    finally:
        client.close()
    return Proof(shop, address)


def _own_address(client: Shop, order_id: int) -> str:
    """The address that the shop's orders name, or its settings; empty if neither can be read."""
    with suppress(AnswerError, RightsError):
        body = client.order(order_id) if order_id else None
        data = json.loads(body) if body is not None else None
        if isinstance(data, dict) and (address := shop_of(data)):
            return address
    with suppress(AnswerError, RightsError):
        return address_of(client.system_status().home_url)
    return ""


def keep(
    connection: Connection, vault: Vault, store: Store, proof: Proof, *, who: str, now: datetime
) -> None:
    """Keep the connection of a locked store, in place of one that it has; raises RefusedError.

    A store whose shop's address is not known yet learns it.
    """
    if store.removed_at is not None:
        raise StoreRemovedError
    if is_foreign(proof.address, store.shop_urls):
        raise OtherShopError(store, proof.address)
    shops.connect(connection, vault, store, proof.shop, now)
    result = f"to {proof.shop.url}, to read{' and write' if proof.shop.can_write else ''}"
    if not store.shop_urls and proof.address:
        stores.learn_shop(connection, store.id, proof.address)
        result += f"; the shop's address is {proof.address}"
    actions.record(connection, Action(now, who, "connect", result, None, None, store_id=store.id))


def disconnect(connection: Connection, store: Store, *, who: str, now: datetime) -> bool:
    """Forget the keys of a locked store's shop, and its open approvals; False if it was not connected."""
    shop = shops.of_store(connection, store.id)
    shops.disconnect(connection, store.id)
    if shop is None:
        return False
    result = f"from {shop.url}"
    actions.record(connection, Action(now, who, "disconnect", result, None, None, store_id=store.id))
    return True
