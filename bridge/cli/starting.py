"""Waits for what is just starting on this machine, such as a `spacebridge up` typed a line before."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import click

GRACE = 10.0  # seconds for something to start of which nothing is to be seen yet
START_WITHIN = 60.0  # seconds for something that is known to be starting
_POLL_EVERY = 0.05  # seconds; what is awaited belongs to another process, which cannot wake us


def await_start(
    is_there: Callable[[], bool],
    sentence: str,
    *,
    grace: float = GRACE,
    is_starting: Callable[[], bool] = lambda: False,
) -> None:
    """Wait until it is there, or neither may nor can come any more. Says once, if it waits, for what."""
    begun_at = time.monotonic()
    has_said = False
    while not is_there():
        waited = time.monotonic() - begun_at
        if waited > START_WITHIN or (waited >= grace and not is_starting()):
            return
        if not has_said:
            click.echo(sentence, err=True)
            has_said = True
        time.sleep(_POLL_EVERY)


def await_server(url: str, *, is_starting: Callable[[], bool] = lambda: False) -> None:
    """Wait while nothing listens at a plain http address of this machine; it may be starting.

    What listens elsewhere or with a certificate was not started a line before.
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
        return False  # what asks there in earnest will say why
