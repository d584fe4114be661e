"""A bare worker: a Celery task that posts a body, over a session of its thread's own.

`BARE_BROKER_URL`, `BARE_ORDERS_URL` (where to post) and `BARE_TOKEN` come from the environment.
"""

from __future__ import annotations

import os
import threading

import requests
from celery import Celery

QUEUE = "bare"

app = Celery("bare", broker=os.environ["BARE_BROKER_URL"])
app.conf.update(task_default_queue=QUEUE, task_ignore_result=True, broker_connection_retry_on_startup=True)

_of_thread = threading.local()


@app.task(name="bare.forward")
def forward(body: str) -> None:
    """Post an order."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
    response = _of_thread.session.post(
        os.environ["BARE_ORDERS_URL"],
        data=body.encode(),
        headers={"Authorization": os.environ["BARE_TOKEN"], "Content-Type": "application/json"},
        timeout=30,
    )
    response.raise_for_status()
