"""Encrypts the secrets that the ledger keeps: API tokens and webhook secrets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

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
    """Encrypts with the first key, decrypts with any. `keys`: 32 bytes in base64 each.

    Raises ValueError, without the key in its text, for a key of another form.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("no key is given")
        self._fernet = MultiFernet([_fernet(key) for key in keys])

    def encrypt(self, secret: str) -> str:
        """The secret as a Fernet token, fit for a text column."""
        return self._fernet.encrypt(secret.encode("utf-8")).decode("ascii")

    def decrypt(self, token: str) -> str:
        """The secret again; raises WrongKeyError if no key fits."""
        try:
            return self._fernet.decrypt(token).decode("utf-8")
        except (InvalidToken, ValueError):  # ValueError: no token at all
            raise WrongKeyError from None


def _fernet(key: str) -> Fernet:
    try:
        raw = base64.b64decode(key.strip().translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise ValueError("a key is not 32 bytes in base64")
    return Fernet(base64.urlsafe_b64encode(raw))
