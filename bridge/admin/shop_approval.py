"""Takes the keys that a shop sends when a shop manager has approved the connection there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Connection

from bridge.admin import RefusedError
from bridge.admin.shop_connection import keep, prove
from bridge.db import Ledger, LedgerUnavailableError
from bridge.ledger import shop_approvals, stores
from bridge.ledger.shop_approvals import Approval
from bridge.shop import ShopError, ShopKeys, ShopUnreachableError
from bridge.vault import Vault

# No request to the shop begins later, and none takes longer: 45 s in all.
ASK_WITHIN, READ_TIMEOUT = 30.0, 15.0  # seconds
ANSWER_WITHIN = 55.0  # seconds; after 60, WooCommerce has given up, and has deleted the keys


class NotOpenError(Exception):
    """The approval takes no keys, or is just taking others."""


class TooLateError(RefusedError):
    """The keys are good, and the shop has given up waiting for an answer."""

    def __init__(self) -> None:
        super().__init__(
            "The shop and the ledger took too long, and the shop has deleted its keys by now: nothing is "
            "kept. Open the link again."
        )


def take_keys(
    ledger: Ledger, vault: Vault, approval: Approval, keys: ShopKeys, now: Callable[[], datetime]
) -> None:
    """Prove the keys against the shop of the approval, and keep them; the shop then has to be answered 200.

    1. Claim the approval, so that of two callbacks one is refused. If the process dies here, or in the next
       step, nothing is kept: the shop gets no answer and deletes the keys, and the approval can be claimed
       again after a minute.
    2. Prove the keys, outside of any transaction.
    3. Keep them and end the approval, in one transaction. If the process dies after it and before the
       answer, the bridge has keys that the shop has deleted: the next request to the shop says so, and the
       shop is connected again.

    Raises NotOpenError, ShopError, RefusedError and LedgerUnavailableError, with nothing kept. The approval
    is then open again until it expires.
    """
    began_at = time.monotonic()
    claimed_at = now()
    with ledger.write() as connection:
        if not shop_approvals.claim(connection, approval.id, claimed_at):
            raise NotOpenError
    try:
        proof = prove(approval.url, keys, read_timeout=READ_TIMEOUT, sleep=_patience(approval.url))
        with ledger.write() as connection:
            store = stores.lock(connection, approval.store_id)
            keep(connection, vault, store, proof, who=approval.who, now=now())
            _finish(connection, approval, claimed_at, took=time.monotonic() - began_at)
    except Exception as error:
        why = str(error) if isinstance(error, ShopError | RefusedError) else "The keys could not be kept."
        with suppress(LedgerUnavailableError), ledger.write() as connection:
            shop_approvals.release(connection, approval.id, claimed_at, why)
        raise


def _finish(connection: Connection, approval: Approval, claimed_at: datetime, *, took: float) -> None:
    if not shop_approvals.finish(connection, approval.id, claimed_at):
        raise NotOpenError
    if took > ANSWER_WITHIN:
        raise TooLateError


def _patience(url: str) -> Callable[[float], None]:
    """A `sleep` that ends the questions to a shop that has taken too long over them."""
    ends_at = time.monotonic() + ASK_WITHIN

    def sleep(seconds: float) -> None:
        if time.monotonic() + seconds > ends_at:
            raise ShopUnreachableError(
                f"The shop at {url} is too slow: it would give up waiting for the bridge before its keys are "
                "tried: try again later, or give the bridge a key in a file."
            )
        time.sleep(seconds)

    return sleep
