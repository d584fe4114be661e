"""A shop that delivers at a steady rate: each order once, on a connection of its own, as WooCommerce does."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from sqlalchemy import select

from bridge.db import Ledger
from bridge.db.tables import deliveries
from tests.support.recorded import load
from tests.support.running import sign

SENDERS = 24
_ORDER = load("life-of-a-store")[4].order()


class SteadyShop:
    """Delivers to `url` from when it is entered until it is left."""

    def __init__(self, url: str, *, rate: float = 200) -> None:
        self._host = urlsplit(url).netloc
        self._interval = 1 / rate
        self._numbers = itertools.count(1)
        self._began_at = 0.0
        self._is_closing = threading.Event()
        self.acknowledged: list[int] = []  # the deliveries' ids
        self.failures: list[str] = []  # answers other than 200, and connections without an answer

    @contextmanager
    def open(self) -> Iterator[SteadyShop]:
        self._began_at = time.monotonic()
        senders = [threading.Thread(target=self._send_on) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        try:
            yield self
        finally:
            self._is_closing.set()
            for sender in senders:
                sender.join()

    def _send_on(self) -> None:
        while not self._is_closing.is_set():
            number = next(self._numbers)
            time_left = self._began_at + number * self._interval - time.monotonic()
            if time_left > 0:
                time.sleep(time_left)
            try:
                status, answer = self._send(number)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                continue
            if status == 200:
                self.acknowledged.append(int(json.loads(answer)["delivery"]))
            else:
                self.failures.append(f"{status} {answer[:200]!r}")

    def _send(self, number: int) -> tuple[int, bytes]:
        body = json.dumps({**_ORDER, "id": number}).encode()
        headers = {"Content-Type": "application/json", "X-WC-Webhook-Topic": "order.updated"}
        headers |= {"X-WC-Webhook-Signature": sign(body), "Connection": "close"}
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.request("POST", "/webhooks/shop", body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def assert_nothing_was_lost(self, ledger: Ledger) -> None:
        """Every delivery was answered with 200, and the ledger has each of them once, and no other."""
        assert self.failures == []
        with ledger.read() as connection:
            kept = sorted(connection.scalars(select(deliveries.c.id)))
        assert sorted(self.acknowledged) == kept
