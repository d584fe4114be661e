"""Encrypts the secrets in the ledger: API tokens and webhook secrets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class WrongKeyError(Exception):
    """None of the keys decrypts a stored secret."""

    def __init__(self) -> None:
        super().__init__(
            "A secret in the ledger was encrypted with another key: "
            "add the key it was written with to SPACEBRIDGE_SECRET_KEY, after the current one."
        )


def make_key() -> str:
    """A new key: 32 random bytes in URL-safe base64."""
    return Fernet.generate_key().decode()


class Vault:
    """Encrypts with the first key, decrypts with any key."""

    def __init__(self, keys: Sequence[str], *, reread: Callable[[], Sequence[str]] | None = None) -> None:
        """`keys`: 32 bytes in base64 each. `reread` returns the current keys, if they may change.

        If `reread` raises OSError or ValueError, or returns invalid keys, the known keys stay in use. Raises
        ValueError, without the key in its text, if one of `keys` is invalid.
        """
        self._keys = list(keys)
        self._fernets = _fernets(keys)
        self._reread = reread

    def encrypt(self, secret: str) -> str:
        """The secret as a Fernet token, for a text column.

        It must be called in the transaction that writes the token. A change of keys ends in a transaction of
        its own: a token made before that and written after it would be encrypted with a key that is gone.
        """
        self._update_keys()
        return self._fernets[0].encrypt(secret.encode("utf-8")).decode("ascii")

    def decrypt(self, token: str) -> str:
        """The secret in a token; raises WrongKeyError if no key decrypts it."""
        try:
            return self._decrypt(token)
        except WrongKeyError:
            if not self._update_keys():
                raise
        return self._decrypt(token)

    def reencrypted(self, token: str) -> str | None:
        """The secret encrypted with the first key, or None if the token already is; raises WrongKeyError."""
        try:
            self._fernets[0].decrypt(token)
        except (InvalidToken, ValueError):
            return self.encrypt(self.decrypt(token))
        return None

    def _decrypt(self, token: str) -> str:
        try:
            return MultiFernet(self._fernets).decrypt(token).decode("utf-8")
        except (InvalidToken, ValueError):  # ValueError: it is not a token
            raise WrongKeyError from None

    def _update_keys(self) -> bool:
        """Reread the keys; returns whether there are new ones.

        The keys known so far still decrypt: a row that was read before a change of keys has the old one.
        """
        if self._reread is None:
            return False
        try:
            keys = self._reread()
            _fernets(keys)
        except (OSError, ValueError):
            return False
        known = [key for key in self._keys if key not in keys]
        has_new = len(keys) + len(known) > len(self._keys)
        self._keys = [*keys, *known]
        self._fernets = _fernets(self._keys)
        return has_new


def _fernets(keys: Sequence[str]) -> Sequence[Fernet]:
    if not keys:
        raise ValueError("no key is given")
    return [_fernet(key) for key in keys]


def _fernet(key: str) -> Fernet:
    try:
        raw = base64.b64decode(key.strip().translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise ValueError("a key is not 32 bytes in base64")
    return Fernet(base64.urlsafe_b64encode(raw))
