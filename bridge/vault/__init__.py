"""Secrets at rest: their encryption, and the file that holds the key of an embedded bridge."""

from bridge.vault.encryption import Vault, WrongKeyError

__all__ = ["Vault", "WrongKeyError"]
