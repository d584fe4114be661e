"""The stores' secrets: tokens are replaced, webhook secrets rotated, and all encrypted with another key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from bridge.db.tables import shop_webhooks, shops, stores
from bridge.ledger.store import PREVIOUS_SECRET_LASTS, Store, update_store
from bridge.vault.encryption import Vault, WrongKeyError

MOST_PREVIOUS = 4  # a delivery with a wrong signature is checked against each


class TooManySecretsError(Exception):
    """A webhook secret was rotated many times, and no delivery was signed with the last ones."""


def is_token(store: Store, vault: Vault, token: str) -> bool:
    """Whether this is the store's token; a token that cannot be decrypted is another."""
    return _fits(vault, store.encrypted_api_token, token)


def is_webhook_secret(store: Store, vault: Vault, secret: str) -> bool:
    """Whether this is the store's webhook secret; a secret that cannot be decrypted is another."""
    return _fits(vault, store.encrypted_webhook_secret, secret)


def replace_token(connection: Connection, store: Store, vault: Vault, token: str) -> None:
    """Use another token from now on."""
    update_store(connection, store.id, api_token=vault.encrypt(token))


def rotate_webhook_secret(
    connection: Connection, store: Store, vault: Vault, secret: str, *, keep_previous: bool, now: datetime
) -> None:
    """Use another webhook secret from now on. The caller has locked the store.

    The secrets before it are accepted until a day after the first delivery that is signed with the new one,
    if they are kept: WooCommerce has them until a person enters the new one in each webhook. Raises
    TooManySecretsError.
    """
    before = [store.encrypted_webhook_secret, *store.still_good(now)] if keep_previous else []
    # A secret that no key decrypts verifies nothing. The new secret may be one of those before.
    kept = [token for token in before if _is_readable(vault, token) and not _fits(vault, token, secret)]
    if len(kept) > MOST_PREVIOUS:
        raise TooManySecretsError
    update_store(
        connection,
        store.id,
        webhook_secret=vault.encrypt(secret),
        previous_webhook_secrets=kept or None,
        webhook_secret_seen_at=None,
    )


def end_previous(connection: Connection, store: Store) -> bool:
    """Accept only the current webhook secret from now on; returns whether others were accepted."""
    update_store(connection, store.id, previous_webhook_secrets=None, webhook_secret_seen_at=None)
    return bool(store.encrypted_previous_secrets)


def note_seen(connection: Connection, store: Store, now: datetime) -> None:
    """A delivery was signed with the current webhook secret: those before it expire in a day.

    Nothing changes if that was noted before, or if the secret was replaced since `store` was read. Where the
    bridge itself writes the secret to the shop's webhooks, it counts when each of them has had it.
    """
    lacks_it = (
        select(shop_webhooks.c.id)
        .join(shops, shops.c.store_id == shop_webhooks.c.store_id)
        .where(
            shop_webhooks.c.store_id == store.id,
            shop_webhooks.c.webhook_id.is_not(None),
            shop_webhooks.c.secret_set_at.is_(None),
            shops.c.can_write,
        )
        .exists()
    )
    connection.execute(
        update(stores)
        .where(
            stores.c.id == store.id,
            stores.c.webhook_secret_seen_at.is_(None),
            stores.c.webhook_secret == store.encrypted_webhook_secret,
            ~lacks_it,
        )
        .values(webhook_secret_seen_at=now)
    )


def with_previous_over(connection: Connection, now: datetime) -> Sequence[int]:
    """Ids of stores whose previous webhook secrets have expired."""
    query = select(stores.c.id).where(stores.c.webhook_secret_seen_at <= now - PREVIOUS_SECRET_LASTS)
    return connection.execute(query).scalars().all()


def re_encrypt(connection: Connection, store: Store, vault: Vault) -> int:
    """Encrypt those secrets of a locked store that are not encrypted with the first key; returns how many.

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
        update_store(connection, store.id, **values)
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
