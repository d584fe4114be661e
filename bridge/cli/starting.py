"""Servers on this machine: waits for one that is starting, and tries the address of one to be started."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import click
from gunicorn.systemd import SD_LISTEN_FDS_START, listen_fds

from bridge.cli.terminal import fail

BACKLOG = 2048  # connections that wait to be accepted; the kernel's own limit may be lower
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


def bind_or_fail(host: str, port: int, *, port_option: str = "--port") -> None:
    """End the command if nothing can listen at this address; the message says what to give instead."""
    listen_or_fail(host, port, port_option=port_option).close()


def listen_or_fail(host: str, port: int, *, port_option: str = "--port") -> socket.socket:
    """A socket that listens at this address; ends the command as `bind_or_fail` does."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (socket.gaierror, TypeError, UnicodeError):  # a name without an address, or no name at all
        fail(f"{host} is no address: give one of this machine with --host, such as 127.0.0.1.")
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            fail(f"{host} is no address of this machine ({error.strerror}): give another one with --host.")
        fail(f"Port {port} on {host} cannot be used: {error.strerror}. Give another one with {port_option}.")
    return listener


def handed_over_listener() -> socket.socket | None:
    """The socket that systemd hands over, if any (sd_listen_fds(3)); ends the command if it is unfit."""
    number = listen_fds()
    if not number:
        return None
    listener = socket.socket(fileno=SD_LISTEN_FDS_START)
    if number > 1 or listener.family not in {socket.AF_INET, socket.AF_INET6}:
        fail("Spacebridge listens on one TCP port: give its .socket unit one ListenStream= with a port.")
    return listener
