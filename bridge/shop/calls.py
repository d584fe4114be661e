"""Calls to a shop's API with its keys: what is sent again, when it waits, and what an answer must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bridge.shop.address import target
from bridge.shop.answers import data_of, error_of
from bridge.shop.errors import AnswerError, BusyError, KeyRefusedError, RightsError, ShopError
from bridge.shop.listing import Page
from bridge.shop.models import Endpoint, Login, ShopKeys
from bridge.shop.transport import Answer, ShopConnection

PAGE_SIZES = (100, 50, 20, 10)
MAX_WAIT = 60.0  # seconds that a Retry-After is waited for; a longer one is a BusyError
WAIT = 10.0  # seconds, for a 429 that does not say how long
MOST_TRIES = 3
_SIGNED = {Login.OAUTH, Login.OAUTH_HTTP}


class Calls:
    """Calls to one shop. Each raises ShopError. `page_size` is the size that the shop was able to answer."""

    def __init__(
        self,
        connection: ShopConnection,
        endpoint: Endpoint,
        keys: ShopKeys,
        *,
        page_size: int,
        sleep: Callable[[float], object],
    ) -> None:
        self.page_size = page_size
        self.host = connection.host
        self._connection, self._endpoint, self._keys, self._sleep = connection, endpoint, keys, sleep

    def get(self, path: str, query: Mapping[str, str] | None = None, *, also: Collection[int] = ()) -> Answer:
        """A 2xx, or one of the statuses `also`."""
        return self._send("GET", path, query or {}, None, also)

    def write(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        also: Collection[int] = (),
    ) -> Answer:
        """The same of a request that changes something. Raises RightsError for a key that may only read."""
        content = None if body is None else json.dumps(body).encode()
        try:
            return self._send(method, path, query or {}, content, also)
        except KeyRefusedError:
            pass
        # WooCommerce refuses a write by a read-only key as it refuses a wrong key; reading tells them apart.
        self.prove()
        raise RightsError(
            f"The key of {self.host} may read and not write: make one with the permission Read/Write.",
            status=401,
        )

    def prove(self) -> None:
        """Ask for one order's id: whether the key is accepted and may read orders."""
        self.list_of(self.get("orders", {"per_page": "1", "_fields": "id"}))

    def page(self, path: str, query: Mapping[str, str]) -> Page:
        """A page of a listing, in a size that the shop is able to answer."""
        while True:
            try:
                answer = self.get(path, {**query, "per_page": str(self.page_size)})
                break
            except ShopError as error:
                smaller = next((size for size in PAGE_SIZES if size < self.page_size), None)
                if smaller is None or not error.is_lighter_better:
                    raise
            self.page_size = smaller
        rows = self.list_of(answer)
        if len(rows) > self.page_size:
            raise AnswerError(f"{self.host} ignores the parameter per_page: it sent {len(rows)} rows.")
        total = answer.headers.get("X-WP-Total", "")
        is_number = total.isascii() and total.isdigit() and len(total) < 20
        return Page(rows, self.page_size, int(total) if is_number else None)

    def list_of(self, answer: Answer) -> list[object]:
        """The list that an answer is."""
        rows = data_of(self.host, answer)
        if not isinstance(rows, list):
            raise AnswerError(f"{self.host} answered with what is no list.", status=answer.status)
        return rows

    def error(self, answer: Answer, *, is_write: bool = False) -> ShopError:
        """The error that an answer other than a 2xx is."""
        is_pretty = "?" not in self._endpoint.api
        return error_of(self.host, answer, is_write=is_write, is_pretty=is_pretty)

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, also: Collection[int]
    ) -> Answer:
        address, whole_query = target(self._endpoint.api, path, query)
        tries = 0
        while True:
            tries += 1
            is_first = self._connection.last_answer is None
            answer = self._connection.send(
                method, address, whole_query, login=self._endpoint.login, keys=self._keys, body=body
            )
            if 200 <= answer.status < 300 or answer.status in also:
                return answer
            error = self.error(answer, is_write=method != "GET")
            wait = self._wait_after(error, is_first=is_first)
            if wait is None or tries == MOST_TRIES:
                raise error
            if wait:
                self._sleep(wait)

    def _wait_after(self, error: ShopError, *, is_first: bool) -> float | None:
        """Seconds until the same is to be sent again; None if it is not."""
        if isinstance(error, BusyError):
            seconds = WAIT if error.retry_after is None else error.retry_after
            return seconds if seconds <= MAX_WAIT else None
        # A signature is refused if clocks differ by 15 minutes. The refusal tells the shop's time, by which
        # the next one is made.
        is_signed = self._endpoint.login in _SIGNED
        return 0 if isinstance(error, KeyRefusedError) and is_signed and is_first else None
