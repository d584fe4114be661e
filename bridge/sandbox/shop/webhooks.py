"""Webhooks, and the threads that deliver them as WooCommerce does: once, and counting failures."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import requests

from bridge.sandbox.shop.faults import FaultPlan
from bridge.sandbox.shop.sending import post, post_following, signature

MAX_FAILURES = 5  # more than these disable a webhook, whose count then stands at 6
PING_TIMEOUT = 5.0  # seconds
KEPT = 100_000  # deliveries

Status = Literal["active", "paused", "disabled"]
STATUSES: tuple[Status, ...] = ("active", "paused", "disabled")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A row of the table of webhooks. Times are seconds since 1970.

    `pending_ping`: no ping was answered 200 yet, so each save sends another one.
    """

    id: int
    name: str
    status: Status
    topic: str
    delivery_url: str
    secret: str = field(repr=False)
    created: int
    modified: int | None = None
    failure_count: int = 0
    pending_ping: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt at a delivery. `status`: the answer's, 0 without one. `swallowed`: it never arrived."""

    webhook_id: int
    topic: str
    order_id: int
    status: int
    delivery_id: str
    at: int
    swallowed: bool = False


class Webhooks:
    """The rows, and the queue of what is to be delivered. Thread-safe."""

    def __init__(
        self,
        clock: Callable[[], float],
        faults: FaultPlan,
        payload: Callable[[str, int], bytes],
        source: Callable[[], str],
        version: str,
        *,
        senders: int,
    ) -> None:
        """`payload`: what is sent for a topic and an order's id, as it is now. `source`: the home address."""
        self._clock = clock
        self._faults = faults
        self._payload = payload
        self._source = source
        self._user_agent = f"WooCommerce/{version} Hookshot (WordPress/6.9)"
        self._changed = threading.Condition()
        self._rows: dict[int, Webhook] = {}
        self._last_id = 0
        self._queue: deque[tuple[int, int]] = deque()
        self._queued: set[tuple[int, int]] = set()
        self._in_flight = 0
        self._is_over = False
        self.deliveries: deque[Delivery] = deque(maxlen=KEPT)
        self.pings: deque[tuple[int, int]] = deque(maxlen=KEPT)  # (webhook's id, status), 0 without an answer
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(senders)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads once what they send is through; what is queued is not sent."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def all(self) -> list[Webhook]:
        """All webhooks, oldest first."""
        with self._changed:
            return list(self._rows.values())

    def get(self, webhook_id: int) -> Webhook | None:
        """The webhook as it is now."""
        return self._rows.get(webhook_id)

    def create(
        self, *, name: str, topic: str, delivery_url: str, secret: str = "", status: Status = "active"
    ) -> Webhook:
        """Add a webhook and ping its URL before this returns; it is kept whatever becomes of the ping."""
        with self._changed:
            self._last_id += 1
            webhook = Webhook(
                self._last_id,
                name,
                status,
                topic,
                delivery_url,
                secret or secrets.token_hex(25),
                int(self._clock()),
            )
            self._rows[webhook.id] = webhook
        self._ping(webhook)
        return self._rows.get(webhook.id, webhook)

    def change(self, webhook_id: int, **changes: Any) -> Webhook | None:
        """Save a change, and ping if the URL is new or no ping was answered 200; None if there is none."""
        webhook = self._rows.get(webhook_id)
        if webhook is None:
            return None
        is_new_url = changes.get("delivery_url", webhook.delivery_url) != webhook.delivery_url
        changed = replace(webhook, **changes, pending_ping=webhook.pending_ping or is_new_url)
        self._save(changed)
        return self._rows.get(webhook_id, changed)

    def delete(self, webhook_id: int) -> None:
        """Remove a webhook, and with it what is queued for it."""
        with self._changed:
            self._rows.pop(webhook_id, None)

    def announce(self, topic: str, order_id: int) -> None:
        """Queue a delivery for each active webhook of a topic; one that is queued already absorbs it."""
        with self._changed:
            for webhook in self._rows.values():
                item = (webhook.id, order_id)
                if webhook.topic == topic and webhook.status == "active" and item not in self._queued:
                    self._queued.add(item)
                    self._queue.append(item)
            self._changed.notify_all()

    def look_again(self) -> None:
        """Have the threads look at the faults again: WP-Cron may run now."""
        with self._changed:
            self._changed.notify_all()

    def queued(self) -> int:
        """How many deliveries are queued or under way."""
        return len(self._queue) + self._in_flight

    def wait(self, within: float) -> bool:
        """Wait until nothing is queued or under way; false if that took longer than `within` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._in_flight, within)

    def _send_all(self) -> None:
        with requests.Session() as session:
            while (item := self._next()) is not None:
                try:
                    self._deliver(session, *item)
                finally:
                    with self._changed:
                        self._in_flight -= 1
                        self._changed.notify_all()

    def _next(self) -> tuple[int, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or (self._queue and self._faults.now.has_cron))
            if self._is_over:
                return None
            item = self._queue.popleft()
            self._queued.discard(item)
            self._in_flight += 1
            return item

    def _deliver(self, session: requests.Session, webhook_id: int, order_id: int) -> None:
        """Deliver once. What was queued is sent even if the webhook was paused or disabled since.

        The row is saved as it was read before the request, so that a change made meanwhile is undone, as on
        WooCommerce.
        """
        webhook = self._rows.get(webhook_id)
        if webhook is None:
            return
        now = int(self._clock())
        delivery_id = hashlib.md5(f"{webhook_id}{now}".encode(), usedforsecurity=False).hexdigest()
        body = self._payload(webhook.topic, order_id)
        swallowed = self._faults.now.swallows
        if self._faults.now.is_cut_off:
            status = 0
        else:
            status = 200 if swallowed else self._post(session, webhook, delivery_id, body)
        self.deliveries.append(
            Delivery(webhook_id, webhook.topic, order_id, status, delivery_id, now, swallowed)
        )
        if 200 <= status < 303:
            self._save(replace(webhook, failure_count=0))
        elif webhook.failure_count > MAX_FAILURES:
            self._save(replace(webhook, status="disabled"))
        else:
            self._save(replace(webhook, failure_count=webhook.failure_count + 1))

    def _post(self, session: requests.Session, webhook: Webhook, delivery_id: str, body: bytes) -> int:
        resource, _, event = webhook.topic.partition(".")
        headers = {
            "User-Agent": self._user_agent,
            "Content-Type": "application/json",
            "X-WC-Webhook-Source": f"{self._source()}/",
            "X-WC-Webhook-Topic": webhook.topic,
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": signature(body, webhook.secret),
            "X-WC-Webhook-ID": str(webhook.id),
            "X-WC-Webhook-Delivery-ID": delivery_id,
        }
        return post(session, webhook.delivery_url, body, headers)

    def _save(self, webhook: Webhook) -> None:
        """Replace the whole row, unless it was deleted meanwhile; ping where WooCommerce does."""
        saved = replace(webhook, modified=int(self._clock()))
        with self._changed:
            if webhook.id not in self._rows:
                return
            self._rows[webhook.id] = saved
        if saved.pending_ping and saved.status == "active":
            self._ping(saved)

    def _ping(self, webhook: Webhook) -> None:
        status = post_following(
            webhook.delivery_url,
            f"webhook_id={webhook.id}".encode(),
            {"User-Agent": self._user_agent, "Content-Type": "application/x-www-form-urlencoded"},
            timeout=PING_TIMEOUT,
        )
        self.pings.append((webhook.id, status))
        if status == 200:
            self._save(replace(webhook, pending_ping=False))
