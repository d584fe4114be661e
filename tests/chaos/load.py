"""The load: a shop that sends its deliveries at a steady rate, once each, whatever becomes of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import requests

from tests.chaos.lives import SHOP, Step
from tests.support.running import sign

SENDERS = 24
GIVE_UP_AFTER = 60.0  # seconds; WooCommerce's own timeout


@dataclass
class Sent:
    """What the shop sent, and what it was answered."""

    steps: list[Step] = field(default_factory=list)
    acknowledged: list[tuple[int, Step]] = field(default_factory=list)  # with the delivery's id
    answers: Counter[str] = field(default_factory=Counter)


class Load:
    """Sends steps at `rate` a second from threads of its own, to all receivers, until it is stopped."""

    def __init__(self, urls: Sequence[str], store: str, steps: Iterator[Step], *, rate: float) -> None:
        self.sent = Sent()
        self._urls = [f"{url}/webhooks/{store}" for url in urls]
        self._steps = steps
        self._interval = 1 / rate
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next_at = time.monotonic()
        self._answered: dict[int, threading.Event] = {}  # of the last step of each order, one by one
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> Sent:
        """Send no more; what it sent, once the last answer is there."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.sent

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                # While nobody answers, time passes and nothing is caught up on: shops do not wait.
                self._next_at = max(self._next_at + self._interval, time.monotonic() - 1)
                at, step = self._next_at, next(self._steps)
                url = self._urls[len(self.sent.steps) % len(self._urls)]
                self.sent.steps.append(step)
                before = self._answered.get(step.order)
                answered = threading.Event()
                if step.one_by_one:
                    self._answered[step.order] = answered
            self._stop.wait(max(0.0, at - time.monotonic()))
            if before is not None:
                before.wait()
            try:
                self._send(url, step)
            finally:
                answered.set()

    def _send(self, url: str, step: Step) -> None:
        headers = {
            "Content-Type": "application/json",
            "X-WC-Webhook-Source": SHOP,
            "X-WC-Webhook-Topic": step.topic,
            "X-WC-Webhook-Signature": sign(step.body),
        }
        try:
            response = requests.post(url, data=step.body, headers=headers, timeout=GIVE_UP_AFTER)
        except requests.RequestException:
            with self._lock:
                self.sent.answers["no answer"] += 1
            return
        with self._lock:
            if response.status_code == 200:
                document = response.json()
                self.sent.answers[document["status"]] += 1
                self.sent.acknowledged.append((int(document["delivery"]), step))
            else:
                self.sent.answers[str(response.status_code)] += 1
