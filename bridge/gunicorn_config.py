"""How gunicorn runs the web process: `gunicorn -c python:bridge.gunicorn_config`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bridge.ready_file import say_that_it_is_ready
from bridge.settings import load_settings_or_exit
from bridge.telemetry import STDOUT, configure_logging, multiprocess

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

    from bridge.web.gunicorn_worker import BufferingWorker

# A wrong setting ends the start here with one sentence, instead of each worker with a traceback.
settings = load_settings_or_exit()
configure_logging(settings.log_format, to=STDOUT)
multiprocess.share()  # before the app imports the counters


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers() -> int:
    if settings.web_workers is not None:
        return settings.web_workers
    # Only one process at a time writes to an SQLite file. At most four: a container's share of a large
    # machine's cores cannot be seen from here, and each worker has its own connections to the database.
    return 2 if settings.is_embedded else max(2, min(4, _cores()))


wsgi_app = "bridge.web.app:create_app()"
bind = "0.0.0.0:8080"
# A slow shop may take its time to send an order: a request gets a thread when it is complete.
worker_class = "bridge.web.gunicorn_worker.BufferingWorker"
workers = _workers()
threads = 16
# Connections of each process: fewer than the 1024 open files that many systems allow. When all are taken, an
# idle one is closed for the next, or else the slowest.
worker_connections = 500
# The app is made once, before the workers are forked: they share its memory, and start at once. It has no
# connections and no threads by then; each process makes its own when it needs them.
preload_app = True
timeout = 60
umask = 0o077
# Longer than a request waits for the ledger. A container needs a little more time to stop.
graceful_timeout = 30
keepalive = 5
# An order that is refused here is lost, so no proxy's headers may come near these limits.
limit_request_line = 4094  # bytes
limit_request_fields = 100
limit_request_field_size = 8190  # bytes
forwarded_allow_ips = ",".join(settings.trusted_proxies)
logger_class = "bridge.telemetry.access.AccessLogger"
control_socket_disable = True


def post_fork(_: Arbiter, worker: BufferingWorker) -> None:
    """Set the limit that gunicorn has no setting for."""
    worker.max_body_bytes = settings.max_body_bytes


def post_worker_init(worker: BufferingWorker) -> None:
    """Have the receiver note that it is up, until the worker is told to stop and accepts nothing more."""
    app: Any = worker.wsgi
    app.extensions["webhook_receiver"].start(is_up=lambda: worker.alive)
    say_that_it_is_ready()


def worker_exit(_: Arbiter, worker: BufferingWorker) -> None:
    """Have the receiver write what it keeps in memory."""
    app: Any = getattr(worker, "wsgi", None)
    if app is not None:  # the worker has started
        app.extensions["webhook_receiver"].close()
