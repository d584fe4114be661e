"""Messages between the processes: the Celery app they share, and how tasks are published.

A message carries ids and nothing else, and is only a hint: the work is in the ledger, and the sweep finds the
work of a lost message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

QUEUE = "spacebridge"
PROCESS_DELIVERIES = "spacebridge.process_deliveries"
FORWARD_STORES = "spacebridge.forward_stores"
REFRESH_CONFIGS = "spacebridge.refresh_configs"
# Of versions whose schedule was a process of its own, and which may still run beside this one.
SWEEP = "spacebridge.sweep"
REDECIDE = "spacebridge.redecide"

log = structlog.get_logger(__name__)


def configuration(broker_url: str) -> dict[str, Any]:
    """What Celery is told by publishers and workers alike. `broker_url`: any that Celery supports."""
    return {
        "broker_url": broker_url,
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A message is acknowledged when it is received. Redis delivers an unacknowledged one again after an
        # hour at best; the sweep finds what a dead worker left in seconds.
        "task_acks_late": False,
        # A worker waits for the broker, however long that is away.
        "broker_connection_max_retries": None,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": False,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {"socket_connect_timeout": 2, "socket_timeout": 10},
        "timezone": "UTC",
    }


def make_celery(broker_url: str) -> Celery:
    """A Celery app that publishes."""
    app = Celery("spacebridge")
    app.conf.update(configuration(broker_url))
    return app


class BrokerError(Exception):
    """The broker cannot be reached, or takes no messages. The text holds no password."""


class TaskPublisher:
    """Publishes the workers' tasks, by ids. While the broker is away, the sweep finds the work, but later."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self.is_reachable: bool | None = None  # None until the first message

    def deliveries(self, ids: Sequence[int]) -> bool:
        """Let a worker process these deliveries. Returns whether the broker took the message."""
        return self._send(PROCESS_DELIVERIES, ids)

    def due_stores(self, ids: Sequence[int]) -> bool:
        """Let a worker send what is due in these stores."""
        return self._send(FORWARD_STORES, ids)

    def configs(self, ids: Sequence[int]) -> bool:
        """Let a worker fetch the configs of these stores."""
        return self._send(REFRESH_CONFIGS, ids)

    def backlog(self) -> int:
        """How many messages wait in the queue; 0 if the broker cannot be asked."""
        try:
            with self._app.connection_or_acquire() as connection:
                return _messages(connection.default_channel)
        except (OperationalError, OSError):
            return 0

    def _send(self, task: str, ids: Sequence[int]) -> bool:
        if not ids:
            return True
        try:
            self._app.send_task(task, args=[list(ids)], retry=False)
        except (OperationalError, OSError) as error:
            if self.is_reachable is not False:
                log.warning("broker unreachable; the sweep takes over", error=type(error).__name__)
            self.is_reachable = False
            return False
        if self.is_reachable is False:
            log.info("broker reachable again")
        self.is_reachable = True
        return True


def messages_waiting(app: Celery) -> int:
    """How many messages wait in the queue.

    It declares the queue first, as a publisher does, to find out if the broker takes no writes. Raises
    BrokerError.
    """
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            channel = connection.default_channel
            app.amqp.queues[QUEUE](channel).declare()
            return _messages(channel)
    except Exception as error:  # each kind of broker raises its own
        cause = error.__cause__ or error
        # Redis' error names only its host. Errors of other brokers may quote the address with its password.
        text = str(cause).rstrip(".") if isinstance(cause, RedisError) else type(cause).__name__
        raise BrokerError(text) from None


def _messages(channel: Any) -> int:
    try:
        return int(channel.queue_declare(QUEUE, passive=True).message_count)
    except ChannelError:  # no such queue: Redis keeps no empty ones
        return 0
