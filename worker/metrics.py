"""The worker's own `/metrics`, where a port is set: what it and the processes that it forks have counted."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from celery.signals import worker_ready, worker_shutdown
from prometheus_client import start_http_server

from bridge.web import metrics
from worker.app import settings

log = structlog.get_logger(__name__)

_stops: list[Callable[[], None]] = []


@worker_ready.connect(weak=False)
def _serve(**_: object) -> None:
    """Once the pool has its processes, for none of them is to inherit the port."""
    port = settings().metrics_port
    if port is None:
        return
    try:
        server, thread = start_http_server(port, "0.0.0.0", metrics.counted())  # noqa: S104 - like the receiver
    except OSError as error:
        log.warning("metrics are not served: the port cannot be had", port=port, error=error.strerror)
        return
    _stops.extend([server.shutdown, thread.join, server.server_close])


@worker_shutdown.connect(weak=False)
def _stop(**_: object) -> None:
    while _stops:
        _stops.pop(0)()
