"""Waits for what is starting on this machine, such as a `spacebridge up` in another terminal."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import click

GRACE = 10.0  # seconds until something has to be seen to start
START_TIMEOUT = 60.0  # seconds for something that is known to be starting
_POLL_INTERVAL = 0.05  # seconds; the other process cannot wake this one


def await_start(
    is_ready: Callable[[], bool],
    message: str,
    *,
    grace: float = GRACE,
    is_starting: Callable[[], bool] = lambda: False,
) -> None:
    """Wait until `is_ready`, for `grace` seconds, and while `is_starting`, for START_TIMEOUT at most.

    Prints the message if it has to wait.
    """
    started_at = time.monotonic()
    is_announced = False
    while not is_ready():
        waited = time.monotonic() - started_at
        if waited > START_TIMEOUT or (waited >= grace and not is_starting()):
            return
        if not is_announced:
            click.echo(message, err=True)
            is_announced = True
        time.sleep(_POLL_INTERVAL)


def await_server(url: str, *, is_starting: Callable[[], bool] = lambda: False) -> None:
    """Wait while nothing listens at a plain http address of this machine, since a server may be starting.

    It does not wait for other machines or https, where nobody starts a server a line before.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:  # the port is no number
        return
    if parts.scheme == "http" and _is_this_machine(host):
        await_start(
            lambda: not _is_refused(host, port),
            f"Nothing answers at {host}:{port} yet: waiting for what is starting there.",
            is_starting=is_starting,
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_refused(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False  # the request that follows fails with the reason
