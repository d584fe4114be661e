"""Serves a Flask app from a command."""

from __future__ import annotations

import errno
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from bridge.cli.terminal import fail


def bind_or_fail(host: str, port: int, *, port_option: str = "--port") -> None:
    """End the command if nothing can listen at this address; the message says what to give instead."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (socket.gaierror, TypeError, UnicodeError):  # a name without an address, or no name at all
        fail(f"{host} is no address: give one of this machine with --host, such as 127.0.0.1.")
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            fail(f"{host} is no address of this machine ({error.strerror}): give another one with --host.")
        fail(f"Port {port} on {host} cannot be used: {error.strerror}. Give another one with {port_option}.")


def serve(app: Flask, *, host: str, port: int, threads: int) -> None:
    """Serve the app with one gunicorn process until a signal ends it."""
    _Server(app, {"bind": f"{host}:{port}", "worker_class": "gthread", "threads": threads}).run()


class _Server(BaseApplication):
    """Gunicorn with an app object and options instead of a command line."""

    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self._app = app
        self._options = {"loglevel": "warning", "control_socket_disable": True, **options}
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._app
