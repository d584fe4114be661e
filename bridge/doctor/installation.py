"""Checks what the bridge depends on: the ledger and its schema, the key, the broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from bridge.admin.rekey import is_readable, is_shop_readable
from bridge.broker import BrokerError, make_celery, messages_waiting
from bridge.data_folder import is_up
from bridge.db import Ledger, LedgerMovedError, LedgerUnavailableError, Schema
from bridge.doctor.clocks import Clock, ahead
from bridge.doctor.finding import Finding, Level, format_names
from bridge.doctor.mounts import network_file_system
from bridge.ledger import absences, backlog, finds, shop_webhooks, shops, silence, stores
from bridge.ledger.absences import Absence
from bridge.ledger.backlog import StoreBacklog
from bridge.ledger.shop_webhooks import KnownWebhook
from bridge.ledger.shops import Shop
from bridge.ledger.silence import Silence
from bridge.ledger.stores import Store
from bridge.settings import KEY_FILE, Settings, SettingsError
from bridge.vault import Vault


@dataclass(frozen=True, slots=True)
class LedgerContents:
    """What the checks need from the ledger. `clock_ahead` is for its server's clock, if it has one."""

    stores: Sequence[Store]
    backlogs: Mapping[int, StoreBacklog]  # by the store's id
    clock_ahead: timedelta | None
    shops: Mapping[int, Shop] = field(default_factory=dict)  # those that are connected, by the store's id
    absences: Sequence[Absence] = ()  # of all stores, those that are not settled
    silences: Mapping[str, Sequence[Silence]] = field(default_factory=dict)  # by the store's name
    webhooks: Sequence[KnownWebhook] = ()
    found: Mapping[int, Mapping[str, int]] = field(default_factory=dict)  # since a day ago, by reason


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """The findings about the ledger, and its contents if they can be read.

    `ends_examination`: nothing else can be checked before these findings are mended.
    """

    findings: Sequence[Finding]
    contents: LedgerContents | None = None
    ends_examination: bool = False


def check_ledger(ledger: Ledger, settings: Settings, clock: Clock) -> LedgerCheck:
    """Check the ledger and its schema; if both can be used, read the contents."""
    try:
        schema = ledger.schema()
        if schema is Schema.MISSING and settings.is_embedded:
            return LedgerCheck([_missing_ledger(settings)], ends_examination=True)
        findings = [
            Finding("ledger", Level.OK, f"The ledger ({ledger.place}) can be reached."),
            _check_schema(schema),
            *_check_durability(ledger, settings),
        ]
        ledger.require_open()
        return LedgerCheck(findings, _read(ledger, clock) if schema is Schema.CURRENT else None)
    except LedgerMovedError as error:
        problem, _, mend = str(error).partition(": ")
        return LedgerCheck([Finding("ledger", Level.WRONG, f"{problem}.", mend)], ends_examination=True)
    except (LedgerUnavailableError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"The ledger ({ledger.place}) cannot be reached: {reason}"
        mend = "Start its server (systemctl start postgresql), or correct SPACEBRIDGE_DATABASE_URL."
        if settings.is_embedded:
            folder = settings.data_dir.absolute()
            mend = f"Run this as its owner: ls -l {folder}. If it is damaged, put it back from its back-up."
        finding = Finding("ledger", Level.WRONG, message, mend)
        return LedgerCheck([finding], ends_examination=settings.is_embedded)


def _check_durability(ledger: Ledger, settings: Settings) -> Iterator[Finding]:
    """Report commits that may not reach the disk."""
    folder = settings.data_dir.absolute()
    if (problem := ledger.unsynced()) is not None:
        is_wanted = settings.allow_unsynced_commits
        yield Finding(
            "durability",
            Level.WARNING if is_wanted else Level.WRONG,
            f"{problem}.{' SPACEBRIDGE_ALLOW_UNSYNCED_COMMITS says that it may be.' if is_wanted else ''}",
            "ALTER ROLE <role> RESET synchronous_commit; ALTER DATABASE <database> RESET "
            "synchronous_commit; and the same in postgresql.conf and in the pooler, if there is one. "
            "Then restart the bridge. If it may be lost: export SPACEBRIDGE_ALLOW_UNSYNCED_COMMITS=true",
        )
    elif settings.is_embedded and (kind := network_file_system(folder)) is not None:
        yield Finding(
            "durability",
            Level.WRONG,
            f"{folder} is on a network file system ({kind}), where SQLite can neither rely on locks nor on "
            "what is synced: the ledger may be damaged, and lose what was acknowledged.",
            "Stop the bridge, copy the folder to a local disk, and name that in SPACEBRIDGE_DATA_DIR; or "
            "move to PostgreSQL: spacebridge db copy --to-url-file FILE",
        )


def check_key(settings: Settings, contents: LedgerContents | None) -> tuple[Finding, Vault | None]:
    """Check that there is a key that decrypts the ledger's secrets; also returns the vault with it."""
    try:
        vault = settings.vault()
    except (SettingsError, OSError) as error:
        return _missing_key(settings, error), None
    all_stores = contents.stores if contents else []
    unreadable = [store.name for store in all_stores if not is_readable(store, vault)]
    connected = contents.shops if contents else {}
    names = {store.id: store.name for store in all_stores}
    of_shops = [names[id_] for id_, shop in connected.items() if not is_shop_readable(shop, vault)]
    if not unreadable and not of_shops:
        decrypts = ", and it decrypts every store's secrets" if all_stores else ""
        return Finding("key", Level.OK, f"There is a key{decrypts}."), vault
    mend = f"Put the former key back from its back-up: cp <back-up> {_key_file(settings)}"
    if settings.secret_key:
        mend = "For every process: export SPACEBRIDGE_SECRET_KEY=<the present value>,<the former key>"
    commands = ["spacebridge stores set-token NAME", "spacebridge stores rotate-secret NAME"]
    if of_shops:
        commands = [*(commands if unreadable else []), "spacebridge stores connect NAME --url URL"]
    return Finding(
        "key",
        Level.WRONG,
        f"Secrets of {format_names(sorted({*unreadable, *of_shops}))} were encrypted with another key.",
        f"{mend}. If it is lost, for each of them: {', and '.join(commands)}",
    ), vault


@dataclass(frozen=True, slots=True)
class BrokerCheck:
    """The finding about the broker, and how many messages wait in it; None if it cannot be asked."""

    finding: Finding
    is_up: bool  # whether a `spacebridge up` is running
    messages: int | None = None


def check_broker(settings: Settings) -> BrokerCheck:
    """Check that the broker takes messages, or, if it is that of `spacebridge up`, that this is running."""
    address = settings.broker_url.get_secret_value()
    folder = settings.data_dir.absolute()
    up = is_up(folder)
    if not address:
        if up:
            message = "`spacebridge up` is running, with a broker of its own."
            return BrokerCheck(Finding("broker", Level.OK, message), is_up=True)
        message = f"No `spacebridge up` is running over {folder}: nothing is received, nothing forwarded."
        mend = "spacebridge up; where it is a service: systemctl start spacebridge"
        if not settings.is_embedded:
            mend += "; where its parts run by themselves: export SPACEBRIDGE_BROKER_URL=redis://HOST:6379/0"
        return BrokerCheck(Finding("broker", Level.WRONG, message, mend), is_up=False)
    try:
        messages = messages_waiting(make_celery(address))
    except BrokerError as error:
        message = f"The broker takes no messages ({error}): nothing is forwarded."
        mend = f"Start it, or correct SPACEBRIDGE_BROKER_URL.{_how_to_ping(address)}"
        return BrokerCheck(Finding("broker", Level.WRONG, message, mend), is_up=up)
    return BrokerCheck(Finding("broker", Level.OK, "The broker takes messages."), is_up=up, messages=messages)


def _missing_ledger(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    message = f"In {folder}, there is no ledger yet."
    mend = "spacebridge up. If it is in another folder: spacebridge doctor --data-dir <that folder>"
    if _key_file(settings).exists():
        message = f"In {folder}, there is a key and no ledger."
        mend = "If there was one, put it back from its back-up. If not: spacebridge up"
    return Finding("ledger", Level.WRONG, message, mend)


def _check_schema(schema: Schema) -> Finding:
    mend = "spacebridge db upgrade"
    match schema:
        case Schema.CURRENT:
            return Finding("migrations", Level.OK, "Its schema is current.")
        case Schema.NEWER:
            message = "Its schema was made by a newer version of Spacebridge than this one."
            mend = "Run the newer one: `which -a spacebridge` shows those that are installed."
        case Schema.MISSING:
            message = "The database has no ledger's tables yet."
        case Schema.OLD:
            message = "Its schema is that of an older version of Spacebridge."
    return Finding("migrations", Level.WRONG, message, mend)


def _read(ledger: Ledger, clock: Clock) -> LedgerContents:
    with ledger.read() as connection:
        all_stores = stores.every(connection)
        backlogs = backlog.of_stores(connection, clock())
        connected = shops.every(connection)
        away = absences.unsettled(connection)
        silences = silence.measure(connection, clock())
        webhooks = shop_webhooks.every(connection)
        found = finds.counts_since(connection, clock() - timedelta(days=1))
    asked = clock()
    theirs = ledger.server_time()
    clock_ahead = None if theirs is None else ahead(theirs, asked=asked, answered=clock())
    return LedgerContents(all_stores, backlogs, clock_ahead, connected, away, silences, webhooks, found)


def _missing_key(settings: Settings, error: SettingsError | OSError) -> Finding:
    path = _key_file(settings)
    if isinstance(error, OSError):
        message = f"{path} cannot be read: {error.strerror}."
        return Finding("key", Level.WRONG, message, f"Run this as the user who owns it: ls -l {path}")
    if settings.is_embedded:
        problem = "holds no key" if path.exists() else "is missing"
        message = f"{path} {problem}, and without it the secrets in the ledger cannot be read."
        return Finding("key", Level.WRONG, message, f"Put it back from its back-up: cp <back-up> {path}")
    return Finding(
        "key",
        Level.WRONG,
        "SPACEBRIDGE_SECRET_KEY is not set, and without it no secret can be read.",
        "export SPACEBRIDGE_SECRET_KEY=<what the bridge's processes are given>; for a new bridge, what "
        "`openssl rand -base64 32` prints",
    )


def _key_file(settings: Settings) -> Path:
    return settings.data_dir.absolute() / KEY_FILE


def _how_to_ping(address: str) -> str:
    """How to find out whether Redis answers; empty for several of them, and for another broker."""
    parts = urlsplit(address)
    if parts.scheme not in {"redis", "rediss"} or ";" in address:
        return ""
    tls = " --tls" if parts.scheme == "rediss" else ""
    where = f"-h {parts.hostname or '127.0.0.1'} -p {parts.port or 6379}"
    return f" It runs if this answers PONG: redis-cli{tls} {where} ping"
