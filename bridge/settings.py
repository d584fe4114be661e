"""Every setting: its environment variable, its type, its default."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from bridge.data_folder import make_private
from bridge.db import Ledger, LedgerMovedError, LedgerUnavailableError
from bridge.vault import Vault
from bridge.vault.key_file import KeyFile

PREFIX = "SPACEBRIDGE_"
KEY_FILE = "secret.key"
LEDGER_FILE = "ledger.db"


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable and says how to mend it."""


class Settings(BaseSettings):
    """The settings. `load_settings` reads them; a field's description ends the errors about it."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    data_dir: Path = Field(Path("var"), description="Give a folder that this user may write to.")
    database_url: SecretStr = Field(
        SecretStr(""),
        description="Give postgresql://USER:PASSWORD@HOST/DATABASE, or leave it unset for SQLite.",
    )
    broker_url: SecretStr = Field(
        SecretStr(""), description="Give redis://HOST:6379/0, or leave it unset for the embedded broker."
    )
    secret_key: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Give 32 random bytes in base64 (`openssl rand -base64 32`), or a list with commas.",
    )
    api_url: str = Field(
        "https://api.spaceinvoices.com/v1", description="Give the API's base address, http(s)://HOST/v1."
    )
    api_token: SecretStr = Field(
        SecretStr(""), description="Give the access token as Space Invoices shows it, or leave it unset."
    )
    api_timeout: float = Field(30, gt=0, le=600, description="Give seconds, from 0 to 600.")
    allow_unsynced_commits: bool = Field(
        False,
        description="Give true if what was acknowledged may be lost with the power, else leave it unset.",
    )
    request_rate: float = Field(
        50, gt=0, le=1000, description="Give requests a second, for one account: it is limited to 100."
    )
    config_ttl: float = Field(300, ge=1, le=86_400, description="Give seconds, from 1 to a day.")
    max_body_bytes: int = Field(8 * 2**20, gt=0, description="Give a number of bytes.")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Give a port, or leave it unset: then the worker serves no metrics."
    )
    web_workers: int | None = Field(
        None, ge=1, le=64, description="Give a number of processes, or leave it unset for one a core."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Give addresses or networks (10.0.0.0/8), with commas, or * for any."
    )
    public_url: str = Field(
        "", description="Give the bridge's address as the shops reach it, https://HOST, or leave it unset."
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="Give text or json, or leave it unset for text on a terminal and json elsewhere."
    )

    @field_validator("secret_key", "trusted_proxies", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("secret_key")
    @classmethod
    def _keys_are_valid(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if value:
            Vault([key.get_secret_value() for key in value])
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            _ = [ip_network(proxy) for proxy in value if proxy != "*"]
        except ValueError:
            raise ValueError("it has something that is neither an address nor a network") from None
        return value

    @field_validator("api_url")
    @classmethod
    def _api_is_http(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")) or not urlsplit(value).hostname:
            raise ValueError("it is not an http(s) address")
        return value.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_address(cls, value: str) -> str:
        return checked_public_url(value) if value.strip() else ""

    @field_validator("api_token")
    @classmethod
    def _token_fits_a_header(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value().strip()
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("it has characters that no access token has")
        return SecretStr(token)

    @field_validator("broker_url")
    @classmethod
    def _broker_is_supported_by_celery(cls, value: SecretStr) -> SecretStr:
        scheme, separator, _ = value.get_secret_value().partition("://")
        if not value.get_secret_value():
            return value
        from kombu.transport import TRANSPORT_ALIASES  # noqa: PLC0415 - commands have no broker, mostly

        if not separator or scheme.partition("+")[0] not in TRANSPORT_ALIASES:
            raise ValueError("it is not the address of a broker that Celery supports")
        try:
            for address in value.get_secret_value().split(";"):  # Redis Sentinel has several
                _ = urlsplit(address).port
        except ValueError:
            raise ValueError("its port is not a number") from None
        return value

    @model_validator(mode="after")
    def _ledger_url_is_valid(self) -> Self:
        if url := self.database_url.get_secret_value():
            Ledger(url).close()
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether the ledger is the SQLite file in the data directory."""
        return not self.database_url.get_secret_value()

    def delivery_url(self, store: str) -> str:
        """Where a store's webhooks deliver; with a placeholder where the public address is not known."""
        return f"{self.public_url or 'https://<this bridge>'}/webhooks/{store}"

    @property
    def ledger_url(self) -> str:
        """The database's URL for SQLAlchemy."""
        if url := self.database_url.get_secret_value():
            return url
        # Not concatenated: the folder's name may have a % or a ? in it.
        return URL.create("sqlite", database=str(self.data_dir.absolute() / LEDGER_FILE)).render_as_string()

    @property
    def key_file(self) -> KeyFile | None:
        """The file with the embedded ledger's key; None if the keys come from the settings."""
        return None if self.secret_key or not self.is_embedded else KeyFile(self.data_dir / KEY_FILE)

    def vault(self) -> Vault:
        """The vault with the keys to the ledger's secrets; raises SettingsError if there is no key."""
        file = self.key_file
        if file is not None and file.path.exists():
            try:
                return Vault(file.read(), reread=file.read)
            except ValueError:
                raise SettingsError(f"{file.path} holds no key. Put it back from its back-up.") from None
        if not self.secret_key:
            raise SettingsError(
                f"{PREFIX}SECRET_KEY is not set, and without it no secret can be read. "
                f"{type(self).model_fields['secret_key'].description}"
            )
        return Vault([key.get_secret_value() for key in self.secret_key])

    def make_key_file(self) -> None:
        """Make the embedded ledger's key, unless there is one: an existing key is never replaced.

        Raises SettingsError if there is a ledger without its key: no other key can decrypt its secrets.
        """
        if (file := self.key_file) is None:
            return
        if not file.path.exists() and (ledger := self.data_dir / LEDGER_FILE).exists():
            raise SettingsError(
                f"{file.path.absolute()} is missing, the key to {ledger.name} beside it. Put it back from "
                "its back-up."
            )
        file.make()


def checked_public_url(url: str) -> str:
    """The address of a bridge as others reach it, without a slash at its end; raises ValueError."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("it is not an http(s) address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("it is not an http(s) address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it has a user or a password in it")
    if "?" in url or "#" in url:
        raise ValueError("it has a query or a fragment in it")
    return url.rstrip("/")


def read_value_file(name: str, path: Path) -> str:
    """The text of a file, without the newline at its end; raises SettingsError, which begins with `name`."""
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(
            f"{name}: cannot read {path}: {reason}. Name a file that this user may read."
        ) from None


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in the environment; raises SettingsError, in one line that says what to mend."""
    try:
        return Settings(**{**_values_in_files(), **(overrides or {})})
    except ValidationError as error:
        # The error's own text would quote the value, which may be a secret.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "database_url"
        problem = first["msg"].removeprefix("Value error, ")
        field = Settings.model_fields[name]
        raise SettingsError(f"{PREFIX}{name.upper()} is wrong: {problem}. {field.description}") from None


def _values_in_files() -> Mapping[str, str]:
    """The settings that `<NAME>_FILE` gives, as a container's secrets come in files, unless `<NAME>` does."""
    paths = {name: os.environ.get(f"{PREFIX}{name.upper()}_FILE") for name in Settings.model_fields}
    values = {
        name: read_value_file(f"{PREFIX}{name.upper()}_FILE", Path(path))
        for name, path in paths.items()
        if path
    }
    variables = {name.upper() for name in os.environ}
    return {name: value for name, value in values.items() if f"{PREFIX}{name.upper()}" not in variables}


def load_settings_or_exit() -> Settings:
    """Load the settings for a server process; if they are wrong, end it with that line and status 1.

    It also ends the process if the ledger was copied to another database, and makes its files private.
    """
    try:
        settings = load_settings()
        settings.vault()
        make_private(settings.data_dir.absolute() if settings.is_embedded else None)
        with closing(Ledger(settings.ledger_url)) as ledger:
            ledger.require_open()
    except (SettingsError, LedgerMovedError) as error:
        sys.exit(str(error))
    except LedgerUnavailableError:
        pass  # it may come back
    return settings
