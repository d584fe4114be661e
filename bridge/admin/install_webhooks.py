"""Installs a store's webhooks in its shop: adopts those that are there, makes the others, doubles none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import Connection

from bridge.admin import RefusedError
from bridge.ledger import actions, comparison, deliveries, shop_webhooks
from bridge.ledger.actions import Action
from bridge.ledger.deliveries import WEBHOOK
from bridge.ledger.shop_webhooks import ACTIVE, DISABLED, TOPICS
from bridge.ledger.shops import Shop as ShopRow
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.pipeline.shop_webhooks import (
    find,
    keep,
    make_anew,
    name_of,
    problem_of_address,
    write_secret,
)
from bridge.shop import Shop, Webhook

PING_WITHIN = 10.0  # seconds
DELIVERY_WITHIN = 60.0  # seconds; WP-Cron runs once a minute where nobody visits the shop
POLL = 0.5  # seconds
_PORTS = (80, 443, 8080)  # to which WordPress sends (wp_http_validate_url)


class PingError(RefusedError):
    """The shop's ping did not arrive; the webhook was taken back."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done for a topic: made, mended (what differs), or adopted as it is."""

    topic: str
    webhook: Webhook | None
    differs: Sequence[str] = ()

    @property
    def verb(self) -> str:
        """The step in a word."""
        return "make" if self.webhook is None else "mend" if self.differs else "adopt"


@dataclass(frozen=True, slots=True)
class Installed:
    """The steps that were done, or would be; what else delivers to our host; whether a delivery came."""

    steps: Sequence[Step]
    doubled: Sequence[Webhook]
    strangers: Sequence[Webhook]
    is_delivered: bool | None  # None: no order could be saved to see one


def plan(context: Context, store: Store, client: Shop, public_url: str) -> Installed:
    """What there is to do; changes nothing. Raises ShopError."""
    with context.ledger.read() as connection:
        known = shop_webhooks.of_store(connection, store.id)
    found = find(client.webhooks(), store, public_url, known)
    url = delivery_url(store, public_url)
    steps = [
        Step(topic, found.by_topic.get(topic), _differences(store, found.by_topic.get(topic), url))
        for topic in TOPICS
    ]
    return Installed(steps, found.doubled, found.strangers, None)


def delivery_url(store: Store, public_url: str) -> str:
    """Where the shop is to deliver to."""
    return f"{public_url.rstrip('/')}/webhooks/{store.name}"


def _differences(store: Store, webhook: Webhook | None, url: str) -> Sequence[str]:
    if webhook is None:
        return []
    wanted = {"name": name_of(store), "status": ACTIVE, "delivery_url": url}
    return [name for name, value in wanted.items() if getattr(webhook, name) != value]


def install(
    context: Context,
    store: Store,
    shop: ShopRow,
    client: Shop,
    public_url: str,
    *,
    who: str,
    tell: Callable[[str], object] = lambda _line: None,
) -> Installed:
    """Do it: the first webhook alone, and the others once its ping has come.

    It can be repeated, and mends what is wrong. Raises RefusedError, PingError and ShopError.
    """
    if not shop.can_write:
        raise RefusedError(
            f"The key of {shop.url} may only read, so it cannot make webhooks: make one with the permission "
            f"Read/Write, and give it to `spacebridge stores connect {store.name}`."
        )
    url = delivery_url(store, public_url)
    problem = problem_of_address(url)
    if problem is not None and problem.is_certain:
        raise RefusedError(f"No webhook is installed: {problem.text}. Give the address that answers itself.")
    planned = plan(context, store, client, public_url)
    for number, step in enumerate(planned.steps):
        webhook = _carry_out(context, store, client, step, url)
        if number == 0 and webhook.modified is None:  # its ping was not answered so far
            _await_ping(client, webhook)
        tell(f"{step.topic}: {step.verb}")
    with context.ledger.read() as connection:
        known = shop_webhooks.of_store(connection, store.id)
    found = find(client.webhooks(), store, public_url, known)
    keep(context, store, found)
    for webhook in found.by_topic.values():
        write_secret(context, store, client, webhook)
    # A delivery that was under way may have put back what was there before.
    again = plan(context, store, client, public_url)
    for step in again.steps:
        _carry_out(context, store, client, step, url)
    with context.ledger.write() as connection:
        shop_webhooks.forget_remade(connection, store.id)
        _record(connection, store, planned, who, context.now())
    return Installed(planned.steps, found.doubled, found.strangers, _see_delivery(context, store, client))


def _carry_out(context: Context, store: Store, client: Shop, step: Step, url: str) -> Webhook:
    secret = store.webhook_secret(context.vault)
    if step.webhook is None:
        return client.create_webhook(name=name_of(store), topic=step.topic, delivery_url=url, secret=secret)
    if step.webhook.status == DISABLED:  # switched on again, it would be switched off at its next failure
        return make_anew(context, store, client, step.webhook, url)
    if not step.differs:
        return step.webhook
    return client.update_webhook(
        step.webhook.id, name=name_of(store), status=ACTIVE, delivery_url=url, secret=secret
    )


def _await_ping(client: Shop, webhook: Webhook) -> None:
    """The date of a new webhook shows that its ping was answered. Without that, it is taken back."""
    until = time.monotonic() + PING_WITHIN
    while True:
        if any(one.id == webhook.id and one.modified is not None for one in client.webhooks()):
            return
        if time.monotonic() >= until:
            break
        time.sleep(POLL)
    client.delete_webhook(webhook.id)
    raise PingError(
        f"The shop's ping to {webhook.delivery_url} was not answered, so no webhook is installed: "
        f"{_why_no_ping(webhook.delivery_url)}"
    )


def _why_no_ping(url: str) -> str:
    problem = problem_of_address(url)
    if problem is not None:
        return f"{problem.text}. Mend that, and run the command again."
    port = urlsplit(url).port
    if port is not None and port not in _PORTS:
        return f"WordPress sends to the ports 80, 443 and 8080 only, and this is {port}."
    return (
        "the address answers from here. It may be private, which WordPress does not send to, or a firewall "
        "keeps the shop's requests away."
    )


def _see_delivery(context: Context, store: Store, client: Shop) -> bool | None:
    """Whether a delivery comes when the newest order is saved: unlike a ping, it follows no redirect.

    None, and nothing is saved, if one has come before, or there is no order.
    """
    with context.ledger.read() as connection:
        if any(comparison.last_delivery_at(connection, store.id, topic) for topic in TOPICS):
            return None
    order_id = client.highest_order_id()
    if not order_id:
        return None
    before = _last_delivery(context, store, order_id)
    client.save_order(order_id)
    until = time.monotonic() + DELIVERY_WITHIN
    while time.monotonic() < until:
        if _last_delivery(context, store, order_id) != before:
            return True
        time.sleep(POLL)
    return False


def _last_delivery(context: Context, store: Store, order_id: int) -> tuple[int, datetime | None]:
    with context.ledger.read() as connection:
        came = [
            one
            for one in deliveries.of_resource(connection, store.id, order_id)
            if one.source == WEBHOOK or one.duplicates
        ]
    return len(came), max((one.last_received_at for one in came), default=None)


def _record(connection: Connection, store: Store, planned: Installed, who: str, now: datetime) -> None:
    result = ", ".join(f"{step.topic}: {step.verb}" for step in planned.steps)
    actions.record(connection, Action(now, who, "install-webhooks", result, None, None, store_id=store.id))
