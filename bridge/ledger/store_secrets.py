"""The stores' secrets: tokens given anew, webhook secrets rotated, and all of them encrypted anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from bridge.db.tables import stores
from bridge.ledger.store import PREVIOUS_SECRET_LASTS, Store
from bridge.vault.encryption import Vault, WrongKeyError

MOST_PREVIOUS = 4  # a delivery under a wrong secret is checked against each


class TooManySecretsError(Exception):
    """A webhook secret was rotated again and again, and no delivery has come under the last ones."""


def is_token(store: Store, vault: Vault, token: str) -> bool:
    """Whether this is the store's token already; one that cannot be read is not."""
    return _fits(vault, store.encrypted_api_token, token)


def is_webhook_secret(store: Store, vault: Vault, secret: str) -> bool:
    """Whether this is the store's current webhook secret already; one that cannot be read is not."""
    return _fits(vault, store.encrypted_webhook_secret, secret)


def replace_token(connection: Connection, store: Store, vault: Vault, token: str) -> None:
    """Use another token from now on."""
    _update(connection, store.id, api_token=vault.encrypt(token))


def rotate_webhook_secret(
    connection: Connection, store: Store, vault: Vault, secret: str, *, keep_previous: bool, now: datetime
) -> None:
    """Use another webhook secret from now on. The store is locked.

    The ones before stay good until a day after the first delivery under the new one, if they are kept:
    WooCommerce has them until somebody enters the new one in each webhook. Raises TooManySecretsError.
    """
    before = [store.encrypted_webhook_secret, *store.still_good(now)] if keep_previous else []
    # One that no key reads could accept nothing. The new one may be one of those before.
    kept = [token for token in before if _is_readable(vault, token) and not _fits(vault, token, secret)]
    if len(kept) > MOST_PREVIOUS:
        raise TooManySecretsError
    _update(
        connection,
        store.id,
        webhook_secret=vault.encrypt(secret),
        previous_webhook_secrets=kept or None,
        webhook_secret_seen_at=None,
    )


def end_previous(connection: Connection, store: Store) -> bool:
    """Accept none but the current webhook secret from now on; whether others were accepted until now."""
    _update(connection, store.id, previous_webhook_secrets=None, webhook_secret_seen_at=None)
    return bool(store.encrypted_previous_secrets)


def note_seen(connection: Connection, store: Store, now: datetime) -> None:
    """A delivery was signed with the current webhook secret: its predecessors have a day left.

    Nothing changes if it was noted before, or if the secret was replaced since `store` was read.
    """
    connection.execute(
        update(stores)
        .where(
            stores.c.id == store.id,
            stores.c.webhook_secret_seen_at.is_(None),
            stores.c.webhook_secret == store.encrypted_webhook_secret,
        )
        .values(webhook_secret_seen_at=now)
    )


def with_previous_over(connection: Connection, now: datetime) -> Sequence[int]:
    """Ids of stores that still hold previous webhook secrets which have had their day."""
    query = select(stores.c.id).where(stores.c.webhook_secret_seen_at <= now - PREVIOUS_SECRET_LASTS)
    return connection.execute(query).scalars().all()


def encrypt_anew(connection: Connection, store: Store, vault: Vault) -> int:
    """Encrypt a locked store's secrets with the first key where they are not; returns how many were not.

    Raises WrongKeyError.
    """
    values: dict[str, object] = {}
    if (token := vault.reencrypted(store.encrypted_api_token)) is not None:
        values["api_token"] = token
    if (secret := vault.reencrypted(store.encrypted_webhook_secret)) is not None:
        values["webhook_secret"] = secret
    previous = [(old, vault.reencrypted(old)) for old in store.encrypted_previous_secrets]
    changed = len(values) + sum(new is not None for _, new in previous)
    if changed:
        values["previous_webhook_secrets"] = [new or old for old, new in previous] or None
        _update(connection, store.id, **values)
    return changed


def _fits(vault: Vault, token: str, secret: str) -> bool:
    try:
        return vault.decrypt(token) == secret
    except WrongKeyError:
        return False


def _is_readable(vault: Vault, token: str) -> bool:
    try:
        vault.decrypt(token)
    except WrongKeyError:
        return False
    return True


def _update(connection: Connection, store_id: int, **values: object) -> None:
    connection.execute(update(stores).where(stores.c.id == store_id).values(**values))
