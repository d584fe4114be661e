"""Serves a stand-in over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication


def serve(make: Callable[[], Flask], *, host: str, port: int, certificate: Path | None = None) -> None:
    """Serve an app until a signal ends it, with one process: a stand-in has all that it knows in memory.

    `make` is called in that process, so that it may start threads. `certificate`: a file in PEM that holds
    the key, too; https is served with it.
    """

    class Server(BaseApplication):
        def load_config(self) -> None:
            self.cfg.set("bind", f"{host}:{port}")
            self.cfg.set("worker_class", "gthread")
            self.cfg.set("threads", 32)
            self.cfg.set("loglevel", "warning")
            self.cfg.set("control_socket_disable", True)
            if certificate is not None:
                self.cfg.set("certfile", str(certificate))
                self.cfg.set("keyfile", str(certificate))

        def load(self) -> Any:
            return make()

    Server().run()
