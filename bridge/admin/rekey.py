"""Encrypts the ledger's secrets with another key; all of them can be read at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from bridge.admin import RefusedError
from bridge.db.engine import Ledger
from bridge.ledger import shops, store_secrets, stores
from bridge.ledger.shops import Shop
from bridge.ledger.store import Store
from bridge.vault.encryption import Vault, WrongKeyError, make_key
from bridge.vault.key_file import KeyFile


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """How many secrets there are, and how many of them this call has encrypted again."""

    secrets: int
    encrypted_anew: int


def encrypt_all_anew(ledger: Ledger, vault: Vault) -> Rekeyed:
    """Encrypt each secret with the first key, store by store; raises RefusedError.

    It can be interrupted anywhere, and run again: a secret has one key or the other.
    """
    secrets = changed = 0
    for known in _readable_stores(ledger, vault):
        with ledger.write() as connection:
            store = stores.lock(connection, known.id)
            if store.removed_at is None:
                changed += store_secrets.re_encrypt(connection, store, vault)
                secrets += 2 + len(store.encrypted_previous_secrets)
            shop = shops.of_store(connection, store.id)  # its keys are written under the store's lock
            if shop is not None:
                changed += shops.re_encrypt(connection, shop, vault)
                secrets += 2
    return Rekeyed(secrets, changed)


def replace_key(ledger: Ledger, file: KeyFile) -> Rekeyed:
    """Make a new key for the embedded ledger, encrypt everything with it, and forget the old one.

    The file holds both keys until all secrets have the new one, so the ledger can be read wherever this is
    interrupted. The next call goes on with the new key that is there. Processes that run meanwhile read the
    file again when a secret has a key that they do not know. Raises OSError, KeysAreBeingChangedError and
    RefusedError.
    """
    with file.exclusive():
        keys = list(file.read())
        _readable_stores(ledger, Vault(keys))
        if len(keys) == 1:
            keys = [make_key(), *keys]
            file.replace(keys)
        done = encrypt_all_anew(ledger, Vault(keys))
        while not _has_forgotten(ledger, file, keys[0]):
            encrypt_all_anew(ledger, Vault(keys))
    return done


def _has_forgotten(ledger: Ledger, file: KeyFile, key: str) -> bool:
    """Remove the other keys from the file; False, with nothing changed, if a secret has another one yet."""
    vault = Vault([key])
    with ledger.write() as connection:
        # Nobody else writes in this transaction, so no secret gets the old key after this look.
        if _unreadable(connection, vault):
            return False
        file.replace([key])
    return True


def _readable_stores(ledger: Ledger, vault: Vault) -> Sequence[Store]:
    with ledger.read() as connection:
        every = stores.every(connection)
        unreadable = _unreadable(connection, vault)
    if unreadable:
        raise RefusedError(
            f"Nothing is changed, since no key reads the secrets of {', '.join(unreadable)}: add the key "
            "that they are of, or give them anew with `spacebridge stores set-token` and `rotate-secret`, "
            "and the keys of a shop with `spacebridge stores connect`."
        )
    return every


def _unreadable(connection: Connection, vault: Vault) -> Sequence[str]:
    """Names of the stores with a secret of their own, or of their shop, that no key decrypts."""
    of_shops = shops.every(connection)
    return [
        store.name
        for store in stores.every(connection)
        if not (is_readable(store, vault) and is_shop_readable(of_shops.get(store.id), vault))
    ]


def is_readable(store: Store, vault: Vault) -> bool:
    """Whether the keys of the vault decrypt all secrets of a store, those of its shop aside."""
    tokens = [store.encrypted_api_token, store.encrypted_webhook_secret, *store.encrypted_previous_secrets]
    return _decrypts(vault, tokens)


def is_shop_readable(shop: Shop | None, vault: Vault) -> bool:
    """Whether the keys of the vault decrypt those of a shop. A store without one has none to decrypt."""
    return shop is None or _decrypts(vault, [shop.encrypted_key, shop.encrypted_secret])


def _decrypts(vault: Vault, tokens: Sequence[str]) -> bool:
    try:
        for token in tokens:
            vault.decrypt(token)
    except WrongKeyError:
        return False
    return True
