"""The webhooks of a connected shop: found, watched, made anew when the shop has given them up.

WooCommerce gives a webhook up after six failures in a row, and tells nobody. Switched on again, it has used
up its failures already; a new one begins at none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import requests
import structlog

from bridge.ledger import comparison, shop_webhooks, shops
from bridge.ledger.shop_webhooks import ACTIVE, DELETED, DISABLED, TOPICS, KnownWebhook
from bridge.ledger.shops import Shop as ShopRow
from bridge.ledger.stores import Store
from bridge.pipeline.context import Context
from bridge.shop import Shop, ShopError, Webhook

MARGIN = timedelta(minutes=10)  # before the last delivery of a topic that was given up
ADDRESS_WITHIN = 10.0  # seconds for a look at our own address

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a shop has of webhooks that deliver to a store.

    `by_topic`: the one that counts; `doubled`: others of the same topic; `strangers`: those that deliver to
    our host, and to no address of this store.
    """

    by_topic: Mapping[str, Webhook]
    doubled: Sequence[Webhook]
    strangers: Sequence[Webhook]


def name_of(store: Store) -> str:
    """What our webhooks are called in WooCommerce."""
    return f"Spacebridge {store.name}"


def find(
    webhooks: Sequence[Webhook], store: Store, public_url: str, known: Mapping[str, KnownWebhook]
) -> Found:
    """Tell ours from others, by the delivery URL. Of several of a topic, an active one counts first.

    Without a public URL, the path alone decides: nobody else's has the name of the store in it.
    """
    host = urlsplit(public_url).netloc.lower()
    path = f"/webhooks/{store.name}"
    by_topic: dict[str, Webhook] = {}
    doubled, strangers = [], []
    for one in sorted(webhooks, key=lambda one: _preference(one, known)):
        url = urlsplit(one.delivery_url)
        is_here = url.netloc.lower() == host if host else True
        if not (is_here and url.path.rstrip("/").endswith(path)):
            if host and is_here and one.topic.startswith("order."):
                strangers.append(one)
        elif one.topic in by_topic:
            doubled.append(one)
        elif one.topic in TOPICS:
            by_topic[one.topic] = one
    return Found(by_topic, doubled, strangers)


def _preference(webhook: Webhook, known: Mapping[str, KnownWebhook]) -> tuple[bool, bool, int]:
    before = known.get(webhook.topic)
    is_known = before is not None and before.webhook_id == webhook.id
    return webhook.status != ACTIVE, not is_known, -webhook.id


def watch(
    context: Context, store: Store, shop: ShopRow, client: Shop, *, public_url: str
) -> Mapping[str, KnownWebhook]:
    """Keep what the shop shows of its webhooks, and make those anew that it has given up.

    Not if our own address does not answer, and not more than twice a day: then a person has to look. What
    somebody has paused stays so. A secret that was replaced is written at each round until the one before has
    ended, since a delivery under way saves its webhook as it was before. Raises ShopError.
    """
    with context.ledger.read() as connection:
        known = shop_webhooks.of_store(connection, store.id)
    found = find(client.webhooks(), store, public_url, known)
    known = keep(context, store, found)
    if shop.can_write:
        _remove_doubled(client, found)
        for topic, webhook in found.by_topic.items():
            if webhook.status == DISABLED:
                _mend(context, store, client, webhook, known[topic])
            elif store.encrypted_previous_secrets:
                write_secret(context, store, client, webhook)
    elif any(one.status == DISABLED for one in known.values()):
        for topic, one in known.items():
            if one.status == DISABLED:
                _note(context, one, "the key may only read", topic)
    with context.ledger.read() as connection:
        return shop_webhooks.of_store(connection, store.id)


def keep(context: Context, store: Store, found: Found) -> Mapping[str, KnownWebhook]:
    """Save what was found, a row for each topic."""
    with context.ledger.write() as connection:
        for topic in TOPICS:
            webhook = found.by_topic.get(topic)
            shop_webhooks.save(
                connection,
                store.id,
                topic,
                webhook_id=None if webhook is None else webhook.id,
                status=DELETED if webhook is None else webhook.status,
                modified=None if webhook is None else webhook.modified,
                now=context.now(),
            )
        return shop_webhooks.of_store(connection, store.id)


def _remove_doubled(client: Shop, found: Found) -> None:
    """Delete those that a crash has left between making a webhook anew and deleting the one before."""
    for one in found.doubled:
        counts = found.by_topic.get(one.topic)
        if counts is not None and counts.status == ACTIVE and one.status == DISABLED:
            client.delete_webhook(one.id)


def _mend(context: Context, store: Store, client: Shop, webhook: Webhook, known: KnownWebhook) -> None:
    """Make a webhook anew, and have compared what the shop did since its last delivery.

    The new one is made before the old one is deleted: a crash in between leaves one too many, which delivers
    nothing, and which the next round deletes.
    """
    topic = webhook.topic
    if not known.may_be_remade(context.now()):
        _note(context, known, "it was made anew twice within a day, and was switched off again", topic)
        return
    if (problem := problem_of_address(webhook.delivery_url)) is not None:
        _note(context, known, problem, topic)
        return
    with context.ledger.write() as connection:
        shop_webhooks.note_remade(connection, known, context.now())
        last = comparison.last_delivery_at(connection, store.id, topic)
        since = (last or max(store.created_at, context.now() - timedelta(days=35))) - MARGIN
        shops.ask_for(connection, store.id, since, context.now())
    try:
        new = client.create_webhook(
            name=webhook.name or name_of(store),
            topic=topic,
            delivery_url=webhook.delivery_url,
            secret=store.webhook_secret(context.vault),
        )
        client.delete_webhook(webhook.id)
    except ShopError as error:
        _note(context, known, f"it could not be made anew: {error}", topic)
        return
    with context.ledger.write() as connection:
        shop_webhooks.save(
            connection,
            store.id,
            topic,
            webhook_id=new.id,
            status=new.status,
            modified=new.modified,
            now=context.now(),
        )
        shop_webhooks.note_secret(connection, store.id, topic, context.now())
    log.warning("a webhook that was switched off is made anew", store=store.name, topic=topic)


def write_secret(context: Context, store: Store, client: Shop, webhook: Webhook) -> None:
    """Give a webhook the store's present secret; raises ShopError."""
    client.update_webhook(webhook.id, secret=store.webhook_secret(context.vault))
    with context.ledger.write() as connection:
        shop_webhooks.note_secret(connection, store.id, webhook.topic, context.now())


def _note(context: Context, known: KnownWebhook, problem: str, topic: str) -> None:
    if known.problem == problem:
        return
    log.warning("a webhook is switched off, and stays so", store=known.store_id, topic=topic, why=problem)
    with context.ledger.write() as connection:
        shop_webhooks.note_problem(connection, known.store_id, topic, problem)


def problem_of_address(delivery_url: str) -> str | None:
    """Why deliveries to our address cannot arrive, as far as that can be seen from here; None if they can.

    A delivery URL answers a GET with 405 and says what it is. Deliveries follow no redirect, and so this does
    not either.
    """
    host = urlsplit(delivery_url).netloc
    try:
        answer = requests.get(delivery_url, allow_redirects=False, timeout=ADDRESS_WITHIN)
    except requests.exceptions.SSLError:
        return f"the certificate of {host} is not good"
    except requests.RequestException:
        return f"nothing answers at {host}"
    if answer.is_redirect:
        return f"{host} redirects, which deliveries do not follow"
    try:
        error = answer.json().get("error")
    except (ValueError, AttributeError):
        error = None
    if answer.status_code == 405 and error == "method_not_allowed":
        return None
    return f"something else than the bridge answers at {host} ({answer.status_code})"
