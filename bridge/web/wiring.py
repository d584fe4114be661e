"""Puts the receiver together and into the web process' app.

A module of its own: commands that only sign or read a secret load no Flask.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Flask

from bridge.db import Ledger
from bridge.ledger.recording import Recorder
from bridge.vault import Vault
from bridge.web.refusals import Refusals
from bridge.web.shortcut import Shortcut
from bridge.web.store_cache import StoreCache
from bridge.web.views import make_blueprint


def add_receiver(
    app: Flask,
    ledger: Ledger,
    vault: Vault,
    *,
    max_body_bytes: int,
    notify: Callable[[int], None],
    now: Callable[[], datetime],
) -> None:
    """Have the app take deliveries. `notify` is given the id of each that is to be processed."""
    known_stores = StoreCache()
    app.register_blueprint(
        make_blueprint(
            ledger,
            vault,
            known_stores,
            max_body_bytes=max_body_bytes,
            notify=notify,
            note_refused=Refusals(ledger, now).note,
            now=now,
        )
    )
    shortcut = Shortcut(
        app.wsgi_app, Recorder(ledger), known_stores, max_body_bytes=max_body_bytes, notify=notify, now=now
    )
    app.wsgi_app = shortcut  # type: ignore[method-assign]  # as Flask's documentation has it
