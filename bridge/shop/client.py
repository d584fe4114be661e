"""The client of one shop's REST API, version 3 of WooCommerce's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from bridge.shop import rows
from bridge.shop.address import target
from bridge.shop.answers import NO_ORDER, data_of, error_of, refusal_in
from bridge.shop.errors import (
    AnswerError,
    BusyError,
    FirewallError,
    KeyRefusedError,
    RightsError,
    ShopError,
)
from bridge.shop.listing import Listing, Page
from bridge.shop.models import (
    Endpoint,
    Listed,
    Login,
    Note,
    Permissions,
    Refund,
    ShopKeys,
    SystemStatus,
    Webhook,
)
from bridge.shop.transport import Answer, ShopConnection

PAGE_SIZES = (100, 50, 20, 10)
MAX_WAIT = 60.0  # seconds that a Retry-After is waited for; a longer one is a BusyError
WAIT = 10.0  # seconds, for a 429 that does not say how long
MOST_TRIES = 3
NO_SUCH_WEBHOOK = 2**31 - 1
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_R = TypeVar("_R")


class Shop:
    """One shop. For use by one thread at a time; keeps its connection open until it is closed.

    Every method raises ShopError (errors.py). Dates are aware, and exclusive where they are bounds. A request
    that is limited (429) is sent again after a wait of a minute at most; nothing else is sent twice but a
    page of a listing, in a smaller size. `page_size` is the size that the shop was able to answer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keys: ShopKeys,
        *,
        pause: float = 0.5,
        page_size: int = 100,
        connect_timeout: float = 10,
        read_timeout: float = 60,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`pause`: seconds from an answer to the next request. `read_timeout`: for a request and all of its
        answer."""
        self.page_size = page_size
        self._endpoint, self._keys = endpoint, keys
        self._sleep = sleep
        self._connection = ShopConnection(
            endpoint.api,
            pause=pause,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return f"Shop({self._endpoint.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def host(self) -> str:
        """The host, for messages."""
        return self._connection.host

    @property
    def clock(self) -> datetime:
        """The time at the shop, in UTC, when it answered last; it is asked if it did not answer yet."""
        if self._connection.last_answer is None:
            self.prove()
        answer = self._connection.last_answer
        date = answer.date if answer is not None else None
        if date is None:
            raise AnswerError(f"{self.host} does not tell the time: its answers have no header Date.")
        return date

    def prove(self) -> None:
        """Ask for one order's id: whether the key is accepted and may read orders."""
        query = {"per_page": "1", "_fields": "id"}
        self._list(self._ask("GET", "orders", query))

    # Orders

    def modified_since(
        self, after: datetime, before: datetime, *, status: str = "any"
    ) -> Iterator[Sequence[Listed]]:
        """Pages of the orders modified between these dates, the oldest first; no page is empty.

        Each order comes once; one that changes meanwhile may come again with its new date, or not at all if
        that is not before `before`. `any` has neither trash, nor checkout drafts, nor a status that no plugin
        of the shop's knows any more: absence proves nothing.
        """
        return self._listed("modified", after, before, status)

    def created_since(
        self, after: datetime, before: datetime, *, status: str = "any"
    ) -> Iterator[Sequence[Listed]]:
        """The same by the date when the orders were made."""
        return self._listed("created", after, before, status)

    def trashed(self) -> Iterator[Sequence[Listed]]:
        """Pages of the orders in the trash."""
        return self._listed("modified", _LONG_AGO, None, "trash")

    def order(self, order_id: int) -> bytes | None:
        """An order as the shop sent it; None if WooCommerce has none with this id (any more)."""
        answer = self._ask("GET", f"orders/{order_id}", also={404})
        if answer.status == 404:
            refusal = refusal_in(answer)
            if refusal is None or refusal.code != NO_ORDER:
                raise self._error(answer)
            return None
        if rows.id_of(data_of(self.host, answer)) != order_id:
            raise AnswerError(f"{self.host} was asked for order {order_id} and answered with something else.")
        return answer.body

    def highest_order_id(self) -> int:
        """The highest id of an order that is not in the trash; 0 if there is none."""
        query = {"orderby": "id", "order": "desc", "per_page": "1", "status": "any", "_fields": "id"}
        listed = self._list(self._ask("GET", "orders", query))
        if not listed:
            return 0
        highest = rows.id_of(listed[0])
        if highest is None:
            raise AnswerError(f"{self.host} listed an order without an id.")
        return highest

    def refunds_since(self, after: datetime) -> Iterator[Sequence[Refund]]:
        """Pages of the refunds made after this date, the oldest first. Needs WooCommerce 9.0."""
        listing = Listing(
            self.host, "after", "before", "date", "date_created", rows.refund, rows.REFUND_FIELDS
        )
        return listing.pages(lambda query: self._page("refunds", query), after, None, {})

    def notes(self, order_id: int) -> Sequence[Note]:
        """The notes of an order."""
        listed = self._list(self._ask("GET", f"orders/{order_id}/notes"))
        return [self._read(rows.note, row, "note") for row in listed]

    def add_note(self, order_id: int, text: str) -> None:
        """Add a note that the customer does not see. It moves no date of the order's, and sends nothing."""
        self._write("POST", f"orders/{order_id}/notes", body={"note": text})

    # Webhooks

    def webhooks(self) -> Sequence[Webhook]:
        """All webhooks, whatever their status."""
        webhooks: dict[int, Webhook] = {}
        for number in range(1, 101):
            query = {"status": "all", "orderby": "id", "order": "asc", "per_page": "100", "page": str(number)}
            listed = self._list(self._ask("GET", "webhooks", query))
            count = len(webhooks)
            webhooks |= {one.id: one for one in (self._read(rows.webhook, row, "webhook") for row in listed)}
            if len(listed) < 100:
                return list(webhooks.values())
            if len(webhooks) == count:
                break
        raise AnswerError(
            f"{self.host} ignores the parameter page of its webhooks: they cannot all be listed."
        )

    def create_webhook(
        self, *, name: str, topic: str, delivery_url: str, secret: str, status: str = "active"
    ) -> Webhook:
        """Create a webhook. The shop pings `delivery_url` before it answers, and says nothing of that.

        After ShopUnreachableError and AnswerError it may exist.
        """
        body = {
            "name": name,
            "topic": topic,
            "delivery_url": delivery_url,
            "secret": secret,
            "status": status,
        }
        return self._webhook(self._write("POST", "webhooks", body=body))

    def update_webhook(
        self,
        webhook_id: int,
        *,
        name: str | None = None,
        status: str | None = None,
        topic: str | None = None,
        secret: str | None = None,
        delivery_url: str | None = None,
    ) -> Webhook:
        """Change what is given. A delivery in flight may undo it: read it back."""
        fields = {
            "name": name,
            "status": status,
            "topic": topic,
            "secret": secret,
            "delivery_url": delivery_url,
        }
        body = {field: value for field, value in fields.items() if value is not None}
        return self._webhook(self._write("PUT", f"webhooks/{webhook_id}", body=body))

    def delete_webhook(self, webhook_id: int) -> None:
        """Delete a webhook for good. One that does not exist is deleted."""
        answer = self._write("DELETE", f"webhooks/{webhook_id}", query={"force": "true"}, also={400, 404})
        if answer.status >= 400 and not self._names_no_webhook(answer):
            raise self._error(answer, is_write=True)

    # The shop itself

    def permissions(self) -> Permissions:
        """What the key may do. Nothing is changed: a webhook is to be updated that cannot exist.

        WooCommerce looks at the key's permission first, then at its user's right, and then for the webhook.
        """
        try:
            answer = self._write("PUT", f"webhooks/{NO_SUCH_WEBHOOK}", body={}, also={400, 404})
        except (RightsError, FirewallError) as error:
            return Permissions(can_write=False, why_not=str(error))
        if answer.status >= 400 and not self._names_no_webhook(answer):
            raise self._error(answer, is_write=True)
        return Permissions(can_write=True)

    def system_status(self) -> SystemStatus:
        """Versions and settings. Needs the right of an administrator or shop manager."""
        fields = "environment.home_url,environment.version,environment.wp_version,settings.HPOS_enabled"
        data = data_of(self.host, self._ask("GET", "system_status", {"_fields": fields}))
        environment = data.get("environment") if isinstance(data, dict) else None
        if not isinstance(environment, dict):
            raise AnswerError(f"{self.host} answered with a status that has no environment.")
        settings = data.get("settings")
        is_hpos = settings.get("HPOS_enabled") if isinstance(settings, dict) else None
        return SystemStatus(
            woocommerce=rows.text(environment, "version"),
            wordpress=rows.text(environment, "wp_version"),
            is_hpos=is_hpos if isinstance(is_hpos, bool) else None,
            home_url=rows.text(environment, "home_url", limit=2000),
        )

    # How it is asked

    def _listed(
        self, date: str, after: datetime, before: datetime | None, status: str
    ) -> Iterator[Sequence[Listed]]:
        after_name, before_name = f"{date}_after", f"{date}_before"
        if date == "created":
            after_name, before_name = "after", "before"
        listing = Listing(
            self.host,
            after_name,
            before_name,
            "modified" if date == "modified" else "date",
            f"date_{date}",
            rows.listed,
            rows.ORDER_FIELDS,
            status=status if status == "trash" else None,
        )
        return listing.pages(lambda query: self._page("orders", query), after, before, {"status": status})

    def _page(self, path: str, query: Mapping[str, str]) -> Page:
        """A page, in a size that the shop is able to answer."""
        while True:
            try:
                answer = self._ask("GET", path, {**query, "per_page": str(self.page_size)})
                break
            except ShopError as error:
                smaller = next((size for size in PAGE_SIZES if size < self.page_size), None)
                if smaller is None or not error.is_lighter_better:
                    raise
            self.page_size = smaller
        listed = self._list(answer)
        if len(listed) > self.page_size:
            raise AnswerError(f"{self.host} ignores the parameter per_page: it sent {len(listed)} rows.")
        total = answer.headers.get("X-WP-Total", "")
        return Page(listed, self.page_size, int(total) if total.isascii() and total.isdigit() else None)

    def _list(self, answer: Answer) -> list[object]:
        listed = data_of(self.host, answer)
        if not isinstance(listed, list):
            raise AnswerError(f"{self.host} answered with what is no list.", status=answer.status)
        return listed

    def _read(self, read: Callable[[rows.Row, int], _R], row: object, kind: str) -> _R:
        row_id = rows.id_of(row)
        if row_id is None or not isinstance(row, dict):
            raise AnswerError(f"{self.host} answered with a {kind} without an id.")
        return read(row, row_id)

    def _webhook(self, answer: Answer) -> Webhook:
        return self._read(rows.webhook, data_of(self.host, answer), "webhook")

    def _names_no_webhook(self, answer: Answer) -> bool:
        refusal = refusal_in(answer)
        return refusal is not None and refusal.is_of_woocommerce and refusal.code.endswith("_invalid_id")

    def _write(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        also: Collection[int] = (),
    ) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        try:
            return self._ask(method, path, query, body=content, also=also)
        except KeyRefusedError:
            pass
        # WooCommerce refuses a write by a read-only key as it refuses a wrong key; reading tells them apart.
        self.prove()
        raise RightsError(
            f"The key of {self.host} may read and not write: make one with the permission Read/Write.",
            status=401,
        )

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        also: Collection[int] = (),
    ) -> Answer:
        """A 2xx, or one of the statuses `also`. Waits for a shop that asks for a short wait."""
        address, whole_query = target(self._endpoint.api, path, query or {})
        for number in range(1, MOST_TRIES + 1):
            is_first = self._connection.last_answer is None
            answer = self._connection.send(
                method, address, whole_query, login=self._endpoint.login, keys=self._keys, body=body
            )
            if 200 <= answer.status < 300 or answer.status in also:
                return answer
            error = self._error(answer, is_write=method != "GET")
            is_last = number == MOST_TRIES
            if isinstance(error, BusyError) and not is_last:
                seconds = WAIT if error.retry_after is None else error.retry_after
                if seconds <= MAX_WAIT:
                    self._sleep(seconds)
                    continue
            # OAuth is refused if clocks differ by 15 minutes. The refusal tells the shop's time, which the
            # next signature uses.
            if is_first and isinstance(error, KeyRefusedError) and self._is_signed and not is_last:
                continue
            raise error
        raise AssertionError("the last try returns or raises")

    @property
    def _is_signed(self) -> bool:
        return self._endpoint.login in {Login.OAUTH, Login.OAUTH_HTTP}

    def _error(self, answer: Answer, *, is_write: bool = False) -> ShopError:
        is_pretty = "?" not in self._endpoint.api
        return error_of(self.host, answer, is_write=is_write, is_pretty=is_pretty)
