"""How gunicorn runs the web process: `gunicorn -c python:bridge.gunicorn_config`."""

from typing import Any

from bridge.settings import load_settings_or_exit
from bridge.telemetry import shared

wsgi_app = "bridge.app:create_app()"
bind = "0.0.0.0:8080"
# Threads, since a slow shop may take its time to send an order: it blocks one of many, not a whole process.
worker_class = "gthread"
workers = 2
threads = 16
timeout = 60
graceful_timeout = 30
keepalive = 5
control_socket_disable = True


def on_starting(_server: Any) -> None:
    """Stop on a wrong setting here, once and in a sentence, and not in each worker with a traceback."""
    load_settings_or_exit()
    shared.share()
