"""The client of one shop's REST API, version 3 of WooCommerce's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Self, TypeVar

from bridge.shop import rows
from bridge.shop.answers import NO_ORDER, data_of, elements, refusal_in
from bridge.shop.calls import Calls
from bridge.shop.errors import AnswerError, FirewallError, RightsError
from bridge.shop.listing import Listing
from bridge.shop.models import (
    Endpoint,
    Listed,
    Note,
    Permissions,
    Refund,
    ShopKeys,
    SystemStatus,
    Webhook,
)
from bridge.shop.transport import Answer, ShopConnection

TRASH = "trash"
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
        self._endpoint = endpoint
        self._connection = ShopConnection(
            endpoint.api,
            pause=pause,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            sleep=sleep,
        )
        self._calls = Calls(self._connection, endpoint, keys, page_size=page_size, sleep=sleep)

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
    def page_size(self) -> int:
        """How many rows a page has; less than it began with if the shop was not able to answer."""
        return self._calls.page_size

    @property
    def clock(self) -> datetime:
        """The time at the shop, in UTC, when it answered last; it is asked if it did not answer yet."""
        if self._connection.last_answer is None:
            self._calls.prove()
        answer = self._connection.last_answer
        date = answer.date if answer is not None else None
        if date is None:
            raise AnswerError(f"{self.host} does not tell the time: its answers have no header Date.")
        return date

    # Orders

    def modified_since(
        self, after: datetime, before: datetime, *, status: str = "any"
    ) -> Iterator[Sequence[Listed]]:
        """Pages of the orders modified between these dates, the oldest first; no page is empty.

        Each order comes once; one that changes meanwhile may come again with its new date, or not at all if
        that is not before `before`. `any` has neither trash, nor checkout drafts, nor a status that no plugin
        of the shop's knows any more: absence proves nothing.
        """
        return self._pages("modified", after, before, status)

    def created_since(
        self, after: datetime, before: datetime, *, status: str = "any"
    ) -> Iterator[Sequence[Listed]]:
        """The same by the date when the orders were made."""
        return self._pages("created", after, before, status)

    def trashed(self) -> Iterator[Sequence[Listed]]:
        """Pages of the orders in the trash."""
        return self._pages("modified", _LONG_AGO, None, TRASH)

    def order(self, order_id: int) -> bytes | None:
        """An order as the shop sent it; None if WooCommerce has none with this id (any more)."""
        answer = self._calls.get(f"orders/{order_id}", also={404})
        if answer.status == 404:
            refusal = refusal_in(answer)
            if refusal is None or refusal.code != NO_ORDER:
                raise self._calls.error(answer)
            return None
        if rows.id_of(data_of(self.host, answer)) != order_id:
            raise AnswerError(f"{self.host} was asked for order {order_id} and answered with something else.")
        return answer.body

    def orders(self, order_ids: Collection[int]) -> Mapping[int, bytes]:
        """Orders as the shop sent them in one listing, by their ids; each as `order` has it.

        At most a page of them is asked for. What no listing shows is left out: the trash, and statuses that
        no plugin knows any more.
        """
        wanted = sorted(order_ids)[: self.page_size]
        query = {"include": ",".join(map(str, wanted)), "per_page": str(self.page_size), "status": "any"}
        answer = self._calls.get("orders", query)
        self._calls.list_of(answer)
        bodies = ((rows.id_of(json.loads(body)), body) for body in elements(answer.body.decode()))
        return {order_id: body for order_id, body in bodies if order_id in wanted}

    def highest_order_id(self) -> int:
        """The highest id of an order that is not in the trash; 0 if there is none."""
        query = {"orderby": "id", "order": "desc", "per_page": "1", "status": "any", "_fields": "id"}
        listed = self._calls.list_of(self._calls.get("orders", query))
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
        return listing.pages(partial(self._calls.page, "refunds"), after, None, {})

    def notes(self, order_id: int) -> Sequence[Note]:
        """The notes of an order."""
        listed = self._calls.list_of(self._calls.get(f"orders/{order_id}/notes"))
        return [self._read(rows.note, row, "note") for row in listed]

    def add_note(self, order_id: int, text: str) -> None:
        """Add a note that the customer does not see. It moves no date of the order's, and sends nothing."""
        self._calls.write("POST", f"orders/{order_id}/notes", body={"note": text})

    def save_order(self, order_id: int) -> None:
        """Save an order as it is. It moves the order's date, and has each webhook deliver once."""
        self._calls.write("PUT", f"orders/{order_id}", body={})

    # Webhooks

    def webhooks(self) -> Sequence[Webhook]:
        """All webhooks, whatever their status."""
        webhooks: dict[int, Webhook] = {}
        for number in range(1, 101):
            query = {"status": "all", "orderby": "id", "order": "asc", "per_page": "100", "page": str(number)}
            listed = self._calls.list_of(self._calls.get("webhooks", query))
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

        WooCommerce makes it active, and any other status is a second request. After an error it may exist.
        """
        body = {
            "name": name,
            "topic": topic,
            "delivery_url": delivery_url,
            "secret": secret,
            "status": status,
        }
        webhook = self._webhook(self._calls.write("POST", "webhooks", body=body))
        return webhook if webhook.status == status else self.update_webhook(webhook.id, status=status)

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
        return self._webhook(self._calls.write("PUT", f"webhooks/{webhook_id}", body=body))

    def delete_webhook(self, webhook_id: int) -> None:
        """Delete a webhook for good. One that does not exist is deleted."""
        answer = self._calls.write(
            "DELETE", f"webhooks/{webhook_id}", query={"force": "true"}, also={400, 404}
        )
        if answer.status >= 400 and not _names_no_webhook(answer):
            raise self._calls.error(answer, is_write=True)

    # The shop itself

    def permissions(self) -> Permissions:
        """What the key may do. Nothing is changed: a webhook is to be updated that cannot exist.

        WooCommerce looks at the key's permission first, then at its user's right, and then for the webhook.
        """
        try:
            answer = self._calls.write("PUT", f"webhooks/{NO_SUCH_WEBHOOK}", body={}, also={400, 404})
        except (RightsError, FirewallError) as error:
            return Permissions(can_write=False, why_not=str(error))
        if answer.status >= 400 and not _names_no_webhook(answer):
            raise self._calls.error(answer, is_write=True)
        return Permissions(can_write=True)

    def system_status(self) -> SystemStatus:
        """Versions and settings. Needs the right of an administrator or shop manager."""
        fields = "environment.home_url,environment.version,environment.wp_version,settings.HPOS_enabled"
        data = data_of(self.host, self._calls.get("system_status", {"_fields": fields}))
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

    def _pages(
        self, date: str, after: datetime, before: datetime | None, status: str
    ) -> Iterator[Sequence[Listed]]:
        prefix = "modified_" if date == "modified" else ""
        listing = Listing(
            self.host,
            f"{prefix}after",
            f"{prefix}before",
            "modified" if date == "modified" else "date",
            f"date_{date}",
            rows.listed,
            rows.ORDER_FIELDS,
            status=status if status == TRASH else None,
        )
        return listing.pages(partial(self._calls.page, "orders"), after, before, {"status": status})

    def _read(self, read: Callable[[rows.Row, int], _R], row: object, kind: str) -> _R:
        row_id = rows.id_of(row)
        if row_id is None or not isinstance(row, dict):
            raise AnswerError(f"{self.host} answered with a {kind} without an id.")
        return read(row, row_id)

    def _webhook(self, answer: Answer) -> Webhook:
        return self._read(rows.webhook, data_of(self.host, answer), "webhook")


def _names_no_webhook(answer: Answer) -> bool:
    refusal = refusal_in(answer)
    return refusal is not None and refusal.is_of_woocommerce and refusal.code.endswith("_invalid_id")
