"""Has the ledger's secrets encrypted with another key, at any moment of which each can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.db.engine import Ledger
from bridge.ledger import store_secrets, stores
from bridge.ledger.store import Store
from bridge.vault.encryption import Vault, WrongKeyError, make_key
from bridge.vault.key_file import KeyFile


class UnreadableSecretsError(Exception):
    """Some secrets are of no key that is known; the message names their stores."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"Nothing is changed, since no key reads the secrets of {', '.join(names)}: add the key "
            "that they are of, or give them anew with `spacebridge stores set-token` and `rotate-secret`."
        )


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """How many secrets there are, and how many of them this call has encrypted anew."""

    secrets: int
    encrypted_anew: int


def encrypt_all_anew(ledger: Ledger, vault: Vault) -> Rekeyed:
    """Encrypt each secret with the first key, store by store; raises UnreadableSecretsError.

    It may be stopped anywhere and begun again: a secret is of one key or the other.
    """
    found = _readable_stores(ledger, vault)
    secrets = changed = 0
    for store_id in [one.id for one in found]:
        with ledger.write() as connection:
            store = stores.lock(connection, store_id)
            if store.removed_at is None:
                changed += store_secrets.re_encrypt(connection, store, vault)
                secrets += 2 + len(store.encrypted_previous_secrets)
    return Rekeyed(secrets, changed)


def replace_key(ledger: Ledger, file: KeyFile) -> Rekeyed:
    """Make a new key for the embedded ledger, encrypt everything with it, and forget the old one.

    The file holds both keys until all secrets are of the new one, so whatever ends this in between leaves a
    ledger that can be read. The next call goes on with the key that was begun. Processes that run meanwhile
    read the file again when they come upon a secret of a key they do not know. Raises OSError,
    KeysAreBeingChangedError and UnreadableSecretsError.
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
    """Leave this key alone in the file; False, with nothing changed, if some secret is not of it yet."""
    vault = Vault([key])
    with ledger.write() as connection:
        # In here nobody else writes, so nobody keeps a secret of the old key after this look.
        if not all(_is_readable(store, vault) for store in stores.every(connection)):
            return False
        file.replace([key])
    return True


def _readable_stores(ledger: Ledger, vault: Vault) -> Sequence[Store]:
    with ledger.read() as connection:
        found = stores.every(connection)
    unreadable = [store.name for store in found if not _is_readable(store, vault)]
    if unreadable:
        raise UnreadableSecretsError(unreadable)
    return found


def _is_readable(store: Store, vault: Vault) -> bool:
    tokens = [store.encrypted_api_token, store.encrypted_webhook_secret, *store.encrypted_previous_secrets]
    try:
        for token in tokens:
            vault.decrypt(token)
    except WrongKeyError:
        return False
    return True
