"""What Space Invoices says of the stores, asked with their tokens."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.spaceinvoices import SpaceInvoicesApi, SpaceInvoicesError

AT_ONCE = 16  # requests
BATCH = 50  # stores; a query is an address, which may not be long
TIME_TO_ASK = 30.0  # seconds for all of them; a request that has begun is waited for
LONGEST_TURN = 5.0  # seconds; a busy account's next slot comes sooner, unless a 429 has slowed it down


@dataclass(frozen=True, slots=True)
class Reply:
    """The store's config, None if there is none (any more); or the error that hides it."""

    config: Mapping[str, Any] | None = None
    error: SpaceInvoicesError | None = None

    @property
    def is_of_use(self) -> bool:
        """Whether it says something about the store: a refusal does, a missing answer does not."""
        return self.error is None or self.error.permanent

    @property
    def refuses_token(self) -> bool:
        """Whether the token, or its rights, are not accepted."""
        return self.error is not None and self.error.status in {401, 403}


def ask(context: Context, stores: Sequence[Store]) -> Mapping[int, Reply]:
    """Ask Space Invoices for the config of each store; the replies by the stores' ids.

    At the context's rate, and with one request for many stores of an organization with the same token: for a
    thousand stores, it must take neither minutes nor the account's whole rate.
    """
    accounts: defaultdict[tuple[str, str], list[Store]] = defaultdict(list)
    for store in stores:
        accounts[store.api_token(context.vault), store.organization_id].append(store)
    batches = [batch for account in accounts.values() for batch in _batches(account)]
    give_up_at = time.monotonic() + TIME_TO_ASK
    with ThreadPoolExecutor(AT_ONCE) as threads:
        asked = threads.map(lambda batch: _ask_together(context, batch, give_up_at), batches)
        return {store_id: reply for replies in asked for store_id, reply in replies.items()}


def _batches(stores: Sequence[Store]) -> Iterator[Sequence[Store]]:
    for start in range(0, len(stores), BATCH):
        yield stores[start : start + BATCH]


def _ask_together(context: Context, stores: Sequence[Store], give_up_at: float) -> Mapping[int, Reply]:
    """Ask about stores that have a token and an organization in common."""
    api = context.account(stores[0]).api
    try:
        listed = _list(context, api, stores, give_up_at) if len(stores) > 1 else {}
        # A list may have been cut off: what it lacks is asked for by itself.
        return {
            store.id: Reply(listed[store.woocommerce_id])
            if store.woocommerce_id in listed
            else _ask_singly(context, api, store, give_up_at)
            for store in stores
        }
    except SpaceInvoicesError as error:
        return {store.id: Reply(error=error) for store in stores}
    finally:
        context.close()


def _list(
    context: Context, api: SpaceInvoicesApi, stores: Sequence[Store], give_up_at: float
) -> Mapping[str, Mapping[str, Any]]:
    """The configs of these stores by their ids; none if the API refuses to list them so."""
    _wait_for_turn(context, stores[0], give_up_at)
    ids = [store.woocommerce_id for store in stores]
    try:
        configs = api.list_configs(stores[0].organization_id, ids)
    except SpaceInvoicesError as error:
        if error.status in {400, 422}:
            return {}
        raise
    return {config["id"]: config for config in configs if isinstance(config.get("id"), str)}


def _ask_singly(context: Context, api: SpaceInvoicesApi, store: Store, give_up_at: float) -> Reply:
    try:
        _wait_for_turn(context, store, give_up_at)
        return Reply(api.find_config(store.organization_id, store.woocommerce_id))
    except SpaceInvoicesError as error:
        return Reply(error=error)


def _wait_for_turn(context: Context, store: Store, give_up_at: float) -> None:
    """Wait for the account's next slot; raises SpaceInvoicesError if it does not come in time."""
    left = give_up_at - time.monotonic()
    if left <= 0:
        raise SpaceInvoicesError("There was no time left to ask.")
    if not context.rate_limiter.wait(context.account(store).name, within=min(left, LONGEST_TURN)):
        raise SpaceInvoicesError("The account is slowed down by 429s, and its next slot is too far away.")
