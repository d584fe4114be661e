"""How gunicorn runs the web process: `gunicorn -c python:bridge.gunicorn_config`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bridge.settings import load_settings_or_exit
from bridge.telemetry import STDOUT, configure_logging, multiprocess

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

    from bridge.web.gunicorn_worker import BufferingWorker

# A wrong setting stops the start here, once and in a sentence, and not each worker with a traceback.
settings = load_settings_or_exit()
configure_logging(settings.log_format, to=STDOUT)
multiprocess.share()  # before the app is made, which counts


def _cores() -> int:
    """Of those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers() -> int:
    if settings.web_workers is not None:
        return settings.web_workers
    # To an SQLite file, one process writes at a time. What a container may use of a large machine's cores
    # cannot be seen from here, and each worker takes its connections to the database.
    return 2 if settings.is_embedded else max(2, min(4, _cores()))


wsgi_app = "bridge.web.app:create_app()"
bind = "0.0.0.0:8080"
# A slow shop may take its time to send an order: it gets a thread when the request is there, whole.
worker_class = "bridge.web.gunicorn_worker.BufferingWorker"
workers = _workers()
threads = 16
# Connections of each process: less than the 1024 open files that many systems allow it. When all are taken,
# the slowest makes room for the next.
worker_connections = 500
# Made once, before the workers are forked from it: they share its memory, and start at once. It has neither a
# connection nor a thread by then; both are made for the process that needs them.
preload_app = True
timeout = 60
umask = 0o077
# Longer than a request waits for the ledger. A container has to be given a little more to stop in.
graceful_timeout = 30
keepalive = 5
# What is refused here is an order that is lost, so no proxy's headers may come near these limits.
limit_request_line = 4094  # bytes
limit_request_fields = 100
limit_request_field_size = 8190  # bytes
forwarded_allow_ips = ",".join(settings.trusted_proxies)
logger_class = "bridge.telemetry.access.AccessLogger"
control_socket_disable = True


def post_fork(_: Arbiter, worker: BufferingWorker) -> None:
    """Set what gunicorn has no setting for."""
    worker.max_body_bytes = settings.max_body_bytes
