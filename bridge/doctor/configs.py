"""Fetches the configs of the stores from Space Invoices, with the stores' tokens."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.spaceinvoices import SpaceInvoicesApi, SpaceInvoicesError

THREADS = 16
BATCH = 50  # stores; a query is part of the address, which has to stay short
FETCH_TIMEOUT = 30.0  # seconds for all stores; a request that has begun is not interrupted
SLOT_TIMEOUT = 5.0  # seconds; a busy account's next slot comes sooner, unless a 429 has slowed it down


@dataclass(frozen=True, slots=True)
class ConfigFetch:
    """A store's config, None if its Woocommerce object does not exist (any more); or why it is not known."""

    config: Mapping[str, Any] | None = None
    error: SpaceInvoicesError | None = None

    @property
    def is_conclusive(self) -> bool:
        """Whether it says something about the store: a refusal does, a missing answer does not."""
        return self.error is None or self.error.permanent

    @property
    def refuses_token(self) -> bool:
        """Whether the token or its rights are not accepted."""
        return self.error is not None and self.error.status in {401, 403}


def fetch_configs(context: Context, stores: Sequence[Store]) -> Mapping[int, ConfigFetch]:
    """Fetch the config of each store; returns them by the store's id.

    It keeps to the context's rate limit, and sends one request for many stores with the same token and
    organization: for a thousand stores, it must neither take minutes nor use up the rate of their account.
    """
    groups: defaultdict[tuple[str, str], list[Store]] = defaultdict(list)
    for store in stores:
        groups[store.api_token(context.vault), store.organization_id].append(store)
    batches = [
        group[start : start + BATCH] for group in groups.values() for start in range(0, len(group), BATCH)
    ]
    deadline = time.monotonic() + FETCH_TIMEOUT
    with ThreadPoolExecutor(THREADS) as threads:
        results = threads.map(lambda batch: _fetch_batch(context, batch, deadline), batches)
        return {store_id: fetch for fetches in results for store_id, fetch in fetches.items()}


def _fetch_batch(context: Context, stores: Sequence[Store], deadline: float) -> Mapping[int, ConfigFetch]:
    """Fetch the configs of stores that have the same token and organization."""
    api = context.account(stores[0]).api
    try:
        configs = _list(context, api, stores, deadline) if len(stores) > 1 else {}
        # The list may have been cut off, so an object that is not in it is fetched by itself.
        return {
            store.id: ConfigFetch(configs[store.woocommerce_id])
            if store.woocommerce_id in configs
            else _fetch_one(context, api, store, deadline)
            for store in stores
        }
    except SpaceInvoicesError as error:
        return {store.id: ConfigFetch(error=error) for store in stores}
    finally:
        context.close()


def _list(
    context: Context, api: SpaceInvoicesApi, stores: Sequence[Store], deadline: float
) -> Mapping[str, Mapping[str, Any]]:
    """The configs of these stores by their Woocommerce object's id; none if the API refuses the filter."""
    _wait_for_slot(context, stores[0], deadline)
    ids = [store.woocommerce_id for store in stores]
    try:
        configs = api.list_configs(stores[0].organization_id, ids)
    except SpaceInvoicesError as error:
        if error.status in {400, 422}:
            return {}
        raise
    return {config["id"]: config for config in configs if isinstance(config.get("id"), str)}


def _fetch_one(context: Context, api: SpaceInvoicesApi, store: Store, deadline: float) -> ConfigFetch:
    try:
        _wait_for_slot(context, store, deadline)
        return ConfigFetch(api.find_config(store.organization_id, store.woocommerce_id))
    except SpaceInvoicesError as error:
        return ConfigFetch(error=error)


def _wait_for_slot(context: Context, store: Store, deadline: float) -> None:
    """Wait for the account's next slot; raises SpaceInvoicesError if it does not come in time."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise SpaceInvoicesError("There was no time left to ask.")
    if not context.rate_limiter.wait(context.account(store).name, within=min(left, SLOT_TIMEOUT)):
        raise SpaceInvoicesError("The account is slowed down by 429s, and its next slot is too far away.")
