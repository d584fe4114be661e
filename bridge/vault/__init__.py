"""Encryption of the secrets in the ledger, and the file with the key of an embedded bridge."""

from bridge.vault.encryption import Vault, WrongKeyError

__all__ = ["Vault", "WrongKeyError"]
