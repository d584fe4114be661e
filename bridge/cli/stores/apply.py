"""`spacebridge stores apply`: makes the stores what a file describes, for containers and for review."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import Connection

from bridge.admin import RefusedError, manage_stores, store_options
from bridge.admin.manage_stores import Fetched, NewStore
from bridge.cli.options import AS_OPTION
from bridge.cli.secret_input import checked_token, checked_webhook_secret
from bridge.cli.stores.add import OFFLINE_OPTION
from bridge.cli.stores.file import DescribedStore, StoresFileError, read_stores
from bridge.cli.stores.session import StoreSession, now
from bridge.cli.terminal import JSON_OPTION, fail, print_json
from bridge.ledger import store_secrets
from bridge.ledger import stores as ledger_stores
from bridge.ledger.store_secrets import TooManySecretsError
from bridge.ledger.stores import Store, StoreExistsError
from bridge.settings import SettingsError, read_value_file
from bridge.vault import Vault

ADDED, CHANGED, UNCHANGED, FAILED = "added", "changed", "unchanged", "failed"


@dataclass(frozen=True, slots=True)
class _Applied:
    """The result for one store."""

    name: str
    action: str
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Desired:
    """A described store with its secrets, in clear; None for a secret that the file does not name."""

    described: DescribedStore
    token: str | None
    webhook_secret: str | None


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@OFFLINE_OPTION
@AS_OPTION
@JSON_OPTION
def apply(file: str, dry_run: bool, offline: bool, who: str, as_json: bool) -> None:
    """Make the stores what a TOML file says they are. Applied again, it changes nothing.

    Options that the file does not name have their defaults; without issue_from, a store that is there keeps
    its own, and a new one issues for orders from now on. Stores that it does not describe are left alone.
    Each is changed as a whole or not at all. deploy/stores.example.toml shows all keys.
    """
    try:
        described = read_stores(_text(file), folder=Path() if file == "-" else Path(file).parent)
    except StoresFileError as error:
        fail(f"Nothing is changed, since {file} cannot be applied.\n{error}")
    session = StoreSession.open(is_awaited=True)
    if dry_run and not as_json:
        click.echo("Nothing is changed. This is what would be:", err=True)
    results = []
    for store in described:
        result = _apply_to(session, store, dry_run=dry_run, offline=offline, who=who)
        results.append(result)
        if not as_json:
            _print(result)
    left_alone = _left_alone(session, described)
    if as_json:
        rows = [{"name": result.name, "action": result.action, "changes": result.lines} for result in results]
        print_json({"stores": rows, "left_alone": left_alone, "dry_run": dry_run})
    elif left_alone:
        click.echo(f"Not described, and left alone: {', '.join(left_alone)}")
    if any(result.action == FAILED for result in results):
        sys.exit(1)


def _text(file: str) -> str:
    if file != "-":
        return read_value_file("stores apply", Path(file))
    if sys.stdin is None:
        fail("stores apply -: standard input is closed. Name a file.")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        fail("stores apply -: what standard input gives is not UTF-8 text.")


def _apply_to(
    session: StoreSession, described: DescribedStore, *, dry_run: bool, offline: bool, who: str
) -> _Applied:
    name = described.name
    try:
        desired = _desired(described)
        fetched = None if offline else _fetch_config(session, desired)
        with session.ledger.write() as connection, connection.begin_nested() as savepoint:
            before = ledger_stores.find(connection, name)
            if before is None:
                action, lines = ADDED, _add(connection, session, desired, fetched, who=who)
            else:
                lines = _change(connection, session.vault, before.id, desired, fetched, who=who)
                action = CHANGED if lines else UNCHANGED
            if dry_run:
                savepoint.rollback()
        return _Applied(name, action, lines)
    except (RefusedError, SettingsError) as error:
        reason = str(error)
    except StoreExistsError:
        reason = f"it is being added elsewhere: see `spacebridge stores show {name}`."
    except TooManySecretsError:
        reason = f"it has too many secrets: see `spacebridge stores show {name}`."
    return _Applied(name, FAILED, [reason])


def _desired(described: DescribedStore) -> _Desired:
    """Read the secrets from where the file says that they are; raises RefusedError."""
    token, secret = (
        None if source is None else source.read(os.environ)
        for source in (described.token, described.webhook_secret)
    )
    return _Desired(
        described,
        None if token is None else checked_token(token),
        None if secret is None else checked_webhook_secret(secret),
    )


def _fetch_config(session: StoreSession, desired: _Desired) -> Fetched | None:
    """The config, fetched with a token that the ledger does not have yet; None without such a token."""
    described = desired.described
    with session.ledger.read() as connection:
        store = ledger_stores.find(connection, described.name)
    if desired.token is None or (store and store_secrets.is_token(store, session.vault, desired.token)):
        return None
    return session.fetch(desired.token, described.organization_id, described.woocommerce_id)


def _change(
    connection: Connection,
    vault: Vault,
    store_id: int,
    desired: _Desired,
    fetched: Fetched | None,
    *,
    who: str,
) -> list[str]:
    """Make a store that is there what is desired; returns what changed, in a line each."""
    store = ledger_stores.lock(connection, store_id)
    _require_same_ids(store, desired.described)
    values, token, secret = desired.described.values, desired.token, desired.webhook_secret
    lines = list(manage_stores.set_options(connection, store, values, who=who, now=now()).lines)
    if token is not None and manage_stores.set_token(
        connection, vault, store, token, fetched, who=who, now=now()
    ):
        lines.append("token: replaced")
    if secret is not None and manage_stores.rotate_secret(
        connection, vault, store, secret, keep_previous=True, who=who, now=now()
    ):
        lines.append(
            "webhook secret: replaced; the one before stays good until a day after the new one is seen"
        )
    return lines


def _add(
    connection: Connection, session: StoreSession, desired: _Desired, fetched: Fetched | None, *, who: str
) -> list[str]:
    """Add the store; returns what there is to say of it, in a line each."""
    described = desired.described
    if desired.token is None or desired.webhook_secret is None:
        missing = "token" if desired.token is None else "webhook_secret"
        raise RefusedError(
            f"it is new, and its {missing} is not given: add {missing}_env or {missing}_file to it."
        )
    at = now()
    new = NewStore(
        described.name,
        described.organization_id,
        described.woocommerce_id,
        desired.token,
        desired.webhook_secret,
        store_options.with_values(store_options.of_new_store(at), described.values),
    )
    lines = [f"delivery URL: {session.settings.delivery_url(described.name)}"]
    if manage_stores.add(connection, session.vault, new, fetched, who=who, now=at):
        lines.append("it was there before: what it issued then is known, and is not issued again")
    return lines


def _require_same_ids(store: Store, described: DescribedStore) -> None:
    for key, old, new in (
        ("organization", store.organization_id, described.organization_id),
        ("woocommerce", store.woocommerce_id, described.woocommerce_id),
    ):
        if old != new:
            raise RefusedError(
                f"its {key} is {old}, and cannot become {new}: what was issued there would be issued again. "
                "Add a store of another name for it, or remove this one first."
            )


def _left_alone(session: StoreSession, described: Sequence[DescribedStore]) -> list[str]:
    names = {store.name for store in described}
    with session.ledger.read() as connection:
        return [store.name for store in ledger_stores.every(connection) if store.name not in names]


def _print(result: _Applied) -> None:
    click.echo(f"{result.name}: {result.action}")
    for line in result.lines:
        click.echo(f"  {line}", err=result.action == FAILED)
