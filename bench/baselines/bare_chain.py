"""The bare chain: the bare receiver, which calls the bare worker's task for each body."""

from __future__ import annotations

from flask import Flask

from bench.baselines import bare_celery, bare_flask


def create_app() -> Flask:
    """The app."""
    return bare_flask.create_app(forward=bare_celery.forward.delay)
