"""Reads a TOML file that describes stores. It names where secrets are, and never contains one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from bridge.admin import RefusedError, store_options
from bridge.cli.stores.add import SPACE_INVOICES_ID, problem_of_name
from bridge.issuance import OPTIONS, OptionError, StoreOptions
from bridge.settings import read_value_file

IDS = ("organization", "woocommerce")
SECRETS = ("token", "webhook_secret")
KEYS = (*IDS, *(f"{secret}_{source}" for secret in SECRETS for source in ("env", "file")), *OPTIONS)


class StoresFileError(Exception):
    """The file does not describe stores. The message names each key that is wrong, and no secret."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is: in an environment variable or in a file. `key` is that in the TOML file."""

    key: str
    place: str | Path  # the variable's name, or the file's path

    def read(self, environment: Mapping[str, str]) -> str:
        """The secret; raises RefusedError without the variable, and SettingsError without the file."""
        if isinstance(self.place, Path):
            return read_value_file(self.key, self.place)
        if not (secret := environment.get(self.place)):
            # The name is not quoted: it may be the secret itself, written in the wrong place.
            raise RefusedError(f"{self.key}: there is no such variable in the environment, or it is empty.")
        return secret


@dataclass(frozen=True, slots=True)
class DescribedStore:
    """A store as the file describes it."""

    name: str
    organization_id: str
    woocommerce_id: str
    values: Mapping[str, object]  # of its options
    token: SecretSource | None
    webhook_secret: SecretSource | None


def read_stores(text: str, *, folder: Path) -> Sequence[DescribedStore]:
    """The stores of a file's text, in its order; raises StoresFileError.

    Paths of files with secrets are relative to `folder`.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoresFileError(f"It is not TOML: {error}.") from None
    problems = [_unknown("", key, ["stores"]) for key in document if key != "stores"]
    tables = document.get("stores", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise StoresFileError("stores: give a table for each store, [stores.NAME].")
    for name, table in tables.items():
        problems += _problems_of_store(name, table)
    if not problems:
        problems = _shared_objects(tables)
    if problems:
        raise StoresFileError("\n".join(problems))
    return [_described(name, table, folder) for name, table in tables.items()]


def _problems_of_store(name: str, table: Mapping[str, object]) -> list[str]:
    prefix = f"stores.{name}"
    problems = [f"{prefix}: {problem}" for problem in [problem_of_name(name)] if problem]
    problems += [_unknown(f"{prefix}.", key, KEYS) for key in table if key not in KEYS]
    for key in IDS:
        value = table.get(key)
        if not isinstance(value, str) or not SPACE_INVOICES_ID.fullmatch(value):
            problems.append(
                f"{prefix}.{key}: give its id in Space Invoices, 24 hexadecimal digits in quotes."
            )
    for secret in SECRETS:
        sources = [table[key] for key in (f"{secret}_env", f"{secret}_file") if key in table]
        if len(sources) > 1:
            problems.append(f"{prefix}: give {secret}_env or {secret}_file, not both.")
        if not all(isinstance(source, str) and source for source in sources):
            problems.append(
                f"{prefix}: {secret}_env is a variable's name and {secret}_file a path, in quotes."
            )
    values = _option_values(table)
    wrong = [problem for key in values if (problem := _problem_of_options({key: values[key]})) is not None]
    if not wrong and (problem := _problem_of_options(values)) is not None:  # which do not go together
        wrong = [problem]
    return problems + [f"{prefix}: {problem}" for problem in wrong]


def _problem_of_options(values: Mapping[str, object]) -> str | None:
    try:
        store_options.with_values(StoreOptions(), values)
    except OptionError as error:
        return str(error)
    return None


def _shared_objects(tables: Mapping[str, Mapping[str, str]]) -> list[str]:
    of_object: dict[str, list[str]] = {}
    for name, table in tables.items():
        of_object.setdefault(table["woocommerce"].lower(), []).append(name)
    return [
        f"stores.{names[0]} and stores.{names[1]} have the same woocommerce: an order that is delivered to "
        "both would be issued twice."
        for names in of_object.values()
        if len(names) > 1
    ]


def _unknown(prefix: str, key: str, known: Sequence[str]) -> str:
    if key in SECRETS:
        return f"{prefix}{key}: a secret is not written in this file. Give {key}_env or {key}_file."
    close = get_close_matches(key, known, n=1)
    return f"{prefix}{key}: there is no such key{f'; do you mean {close[0]}' if close else ''}."


def _described(name: str, table: Mapping[str, object], folder: Path) -> DescribedStore:
    return DescribedStore(
        name,
        str(table["organization"]).lower(),
        str(table["woocommerce"]).lower(),
        _options(_option_values(table)),
        _source(name, table, "token", folder),
        _source(name, table, "webhook_secret", folder),
    )


def _option_values(table: Mapping[str, object]) -> Mapping[str, object]:
    return {name: table[name] for name in OPTIONS if name in table}


def _options(values: Mapping[str, object]) -> Mapping[str, object]:
    """The options by name; those that the file does not name have defaults, unless the bridge learns them."""
    options = store_options.as_mapping(store_options.with_values(StoreOptions(), values))
    return {name: value for name, value in options.items() if name in values or not OPTIONS[name].is_learned}


def _source(name: str, table: Mapping[str, object], secret: str, folder: Path) -> SecretSource | None:
    key = f"stores.{name}.{secret}"
    if (variable := table.get(f"{secret}_env")) is not None:
        return SecretSource(f"{key}_env", str(variable))
    if (path := table.get(f"{secret}_file")) is not None:
        return SecretSource(f"{key}_file", folder / str(path))
    return None
