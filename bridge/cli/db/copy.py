"""`spacebridge db copy`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from sqlalchemy import URL

from bridge.admin.copying import copy as copy_ledger
from bridge.admin.copying import others_connected
from bridge.admin.rekey import is_readable
from bridge.cli.ledger_access import settings_of_command
from bridge.cli.options import YES_OPTION
from bridge.cli.secret_input import read_database_url
from bridge.cli.terminal import JSON_OPTION, confirm_or_fail, fail, print_result
from bridge.data_folder import is_up
from bridge.db import Ledger, LedgerMovedError, LedgerNotMigratedError, LedgerUnavailableError, Schema
from bridge.db.engine import LOCK_TIMEOUT
from bridge.ledger import stores as ledger_stores
from bridge.settings import Settings, SettingsError

REPORT_EVERY = 50_000  # rows


@click.command()
@click.option("--to-sqlite", metavar="PATH", help="A new SQLite file to copy to.")
@click.option("--to-url-file", metavar="FILE", help="A file with the URL of the database to copy to, or -.")
@click.option("--from-sqlite", metavar="PATH", help="An SQLite file to copy from.")
@click.option("--from-url-file", metavar="FILE", help="A file with the URL of the one to copy from, or -.")
@YES_OPTION
@JSON_OPTION
def copy(
    to_sqlite: str | None,
    to_url_file: str | None,
    from_sqlite: str | None,
    from_url_file: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Copy the ledger into another database, SQLite or PostgreSQL: all of it or nothing.

    Copies the ledger of the settings, unless an option names another. Stop the bridge first: it can write
    nothing during the copy, and the old ledger is closed at the end. A URL may hold a password, so it is read
    from a file, or from standard input (-).
    """
    settings = settings_of_command()
    if (to_sqlite is None) is (to_url_file is None):
        raise click.UsageError("Give either --to-sqlite PATH or --to-url-file FILE.")
    if from_sqlite and from_url_file:
        raise click.UsageError("Give either --from-sqlite PATH or --from-url-file FILE.")
    if to_url_file == from_url_file == "-":
        raise click.UsageError("Standard input holds one URL: give the other in a file.")
    source = _ledger("from", from_sqlite, from_url_file) or Ledger(settings.ledger_url)
    target = _ledger("to", to_sqlite, to_url_file)
    if target is None:
        raise AssertionError("one of the options is given")
    _require_stopped(source, _data_folder(settings, from_sqlite, from_url_file), yes=yes)
    click.echo(
        f"Copying from {source.place} to {target.place}. Processes that write to the first wait meanwhile; a "
        f"receiver answers 503 after {LOCK_TIMEOUT:.0f} s.",
        err=True,
    )
    rows = _copy(source, target)
    unreadable = _unreadable(settings, target)
    key_fits = None if unreadable is None else not unreadable
    print_result(
        {"from": source.place, "to": target.place, "rows": rows, "key_fits": key_fits},
        f"Copied, read again and found equal: {sum(rows.values())} rows.",
        as_json=as_json,
    )
    click.echo("\n".join(_next_steps(settings, source, target, unreadable)), err=True)


def _copy(source: Ledger, target: Ledger) -> dict[str, int]:
    """Copy, print the progress, and return the rows of each table; ends the command if the copy fails."""
    reported: dict[str, int] = {}

    def report(table: str, rows: int) -> None:
        if rows >= reported.get(table, 0) + REPORT_EVERY:
            reported[table] = rows
            click.echo(f"  {table}: {rows} rows so far", err=True)

    try:
        content = copy_ledger(source, target, report=report)
    except LedgerMovedError:
        raise
    except LedgerUnavailableError as error:
        fail(
            f"Nothing is copied, or not to the end: {error}. See that both can be reached and written, that "
            f"nobody uses them, and that the second has no tables of its own: {source.place}; "
            f"{target.place}. Then run the command again."
        )
    rows = {table: copied.rows for table, copied in content.items()}
    for table, number in rows.items():
        click.echo(f"  {table}: {number} rows", err=True)
    return rows


def _ledger(side: str, path: str | None, url_file: str | None) -> Ledger | None:
    """The ledger that these options name; None if they name none."""
    if path is not None:
        if "://" in path:
            fail(f"--{side}-sqlite names a file. Write the URL into one, and give that as --{side}-url-file.")
        if Path(path).is_dir():
            fail(f"--{side}-sqlite {path} is a folder: name the file in it, such as {path}/ledger.db.")
        return Ledger(URL.create("sqlite", database=str(Path(path).absolute())).render_as_string())
    if url_file is None:
        return None
    try:
        return Ledger(read_database_url(f"--{side}-url-file", url_file))
    except ValueError as error:
        fail(f"--{side}-url-file {url_file}: {error}. Give postgresql://USER:PASSWORD@HOST/DATABASE.")


def _data_folder(settings: Settings, from_sqlite: str | None, from_url_file: str | None) -> Path | None:
    """The folder that `spacebridge up` locks while it runs over the source; None if the source has none."""
    if from_sqlite is not None:
        return Path(from_sqlite).absolute().parent
    return settings.data_dir.absolute() if from_url_file is None and settings.is_embedded else None


def _require_stopped(source: Ledger, folder: Path | None, *, yes: bool) -> None:
    """End the command unless the source can be copied and no bridge seems to run over it."""
    if folder is not None and is_up(folder):
        fail(
            f"`spacebridge up` runs over {folder}, and what it goes on accepting would not be in the copy: "
            "stop it first."
        )
    try:
        source.check()
        others = others_connected(source)
    except LedgerMovedError:
        return  # perhaps by a copy that was interrupted, which this one completes
    except LedgerNotMigratedError:
        if source.schema() is Schema.MISSING:
            fail(
                f"There is no ledger to copy from ({source.place}). Name yours with --from-sqlite or "
                "--from-url-file, or its folder with --data-dir."
            )
        fail(
            f"The ledger to copy from ({source.place}) is not of this version: run `spacebridge db upgrade` "
            "with the settings that name it."
        )
    except LedgerUnavailableError as error:
        fail(f"The ledger to copy from ({source.place}) cannot be reached: {error}.")
    if others:
        confirm_or_fail(
            "Is every receiver and worker stopped?",
            yes=yes,
            why=f"Others are connected to {source.place} ({others} sessions). A bridge that still runs there "
            "can accept nothing from now on.",
            otherwise="Nothing is copied.",
        )


def _unreadable(settings: Settings, target: Ledger) -> Sequence[str] | None:
    """Names of stores whose secrets the configured key does not decrypt; None if none is configured."""
    try:
        vault = settings.vault()
    except (SettingsError, OSError):
        return None
    with target.read() as connection:
        stores = ledger_stores.every(connection)
    return [store.name for store in stores if not is_readable(store, vault)]


def _next_steps(
    settings: Settings, source: Ledger, target: Ledger, unreadable: Sequence[str] | None
) -> Sequence[str]:
    """What the operator has to do now, in a line for each step."""
    if unreadable is None:
        key = "no key is configured here. Give every process the one that the ledger was used with"
    elif unreadable:
        key = (
            f"the key that is configured here does NOT decrypt those of {', '.join(unreadable)}. Give every "
            "process the one that the ledger was used with"
        )
    elif settings.key_file is not None:
        file = settings.key_file.path.absolute()
        key = (
            f"{file} decrypts them. Take it along: name it in SPACEBRIDGE_SECRET_KEY_FILE, or, for an SQLite "
            f"ledger, put it beside that as {file.name}"
        )
    else:
        key = "SPACEBRIDGE_SECRET_KEY decrypts them, and has to stay as it is"
    return [
        "Now:",
        f"1. The secrets are encrypted as they were: {key}.",
        f"2. Name {target.place} in the settings of every process, start them, and run `spacebridge doctor`.",
        f"3. {source.place} is closed, and no process runs over it any more: what is due there would be "
        "issued a second time. Keep it as a back-up of this moment.",
    ]
