"""The webhooks of a connected shop: found, watched, made anew when the shop has given them up.

WooCommerce gives a webhook up after six failures in a row, and tells nobody. Switched on again, it has used
up its failures already; a new one begins at none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

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
    """Tell ours from others, by their ids if they are known, else by the delivery URL.

    Without a public URL, an unknown one could be another bridge's, which has a store of the same name: it
    counts only if all that fit are at one host. Of several of a topic, an active one counts first.
    """
    host = urlsplit(public_url).netloc.lower()
    path = f"/webhooks/{store.name}"
    urls = {one.id: _parts_of(one.delivery_url) for one in webhooks}
    fitting = {number for number, url in urls.items() if url.path.rstrip("/").endswith(path)}
    hosts = {urls[number].netloc.lower() for number in fitting}
    if not host and len(hosts) == 1:
        (host,) = hosts
    known_ids = {one.webhook_id for one in known.values()}
    by_topic: dict[str, Webhook] = {}
    doubled, strangers = [], []
    for one in sorted(webhooks, key=lambda one: _preference(one, known_ids)):
        is_at_host = bool(host) and urls[one.id].netloc.lower() == host
        if not (one.id in known_ids or (is_at_host and one.id in fitting)):
            if is_at_host and one.topic in TOPICS:
                strangers.append(one)
        elif one.topic in by_topic:
            doubled.append(one)
        elif one.topic in TOPICS:
            by_topic[one.topic] = one
    return Found(by_topic, doubled, strangers)


def _parts_of(url: str) -> SplitResult:
    """The parts of a URL that somebody has typed in the shop; those of none if it is no URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def _preference(webhook: Webhook, known_ids: Collection[int | None]) -> tuple[bool, bool, int]:
    return webhook.status != ACTIVE, webhook.id not in known_ids, -webhook.id


def watch(
    context: Context, store: Store, shop: ShopRow, client: Shop, *, public_url: str
) -> Mapping[str, KnownWebhook]:
    """Keep what the shop shows of its webhooks, and make those anew that it has given up.

    Not if our own address does not answer, and not more than twice a day: then a person has to look. What
    somebody has paused stays so. Where the address redirects, deliveries are lost while all seems well, so
    that is noted of active ones, too. A secret that was replaced is written at each round until the one
    before has ended, since a delivery under way saves its webhook as it was before.

    Without a public URL, webhooks of a store that none has told anything yet are left alone. Raises
    ShopError.
    """
    with context.ledger.read() as connection:
        known = shop_webhooks.of_store(connection, store.id)
        is_told = any(comparison.last_delivery_at(connection, store.id, topic) for topic in TOPICS)
    if not (public_url or known or is_told):
        return {}
    found = find(client.webhooks(), store, public_url, known)
    known = keep(context, store, found)
    urls = {one.delivery_url for one in found.by_topic.values()}
    problems = {url: problem_of_address(url) for url in urls}  # which all topics have in common, mostly
    if shop.can_write:
        _remove_doubled(client, store, found)
    for topic, webhook in found.by_topic.items():
        problem = problems[webhook.delivery_url]
        if webhook.status == DISABLED:
            if not shop.can_write:
                _note(context, store, known[topic], "the key may only read")
            elif problem is not None:
                _note(context, store, known[topic], problem.text)
            else:
                _mend(context, store, client, webhook, known[topic])
        else:
            hidden = problem if problem is not None and problem.is_certain else None
            _note(context, store, known[topic], None if hidden is None else hidden.text)
            lacks_secret = store.encrypted_previous_secrets or known[topic].secret_set_at is None
            if shop.can_write and lacks_secret and hidden is None:
                write_secret(context, store, client, webhook)
    with context.ledger.read() as connection:
        return shop_webhooks.of_store(connection, store.id)


def keep(context: Context, store: Store, found: Found) -> Mapping[str, KnownWebhook]:
    """Save what was found, a row for each topic; none while none of ours was ever seen."""
    with context.ledger.write() as connection:
        known = shop_webhooks.of_store(connection, store.id)
        for topic in TOPICS if found.by_topic or known else ():
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


def _remove_doubled(client: Shop, store: Store, found: Found) -> None:
    """Delete those of ours that a crash, or two who installed at once, have left beside an active one."""
    for one in found.doubled:
        is_ours = one.status == DISABLED or one.name == name_of(store)
        if is_ours and found.by_topic[one.topic].status == ACTIVE:
            client.delete_webhook(one.id)


def _mend(context: Context, store: Store, client: Shop, webhook: Webhook, known: KnownWebhook) -> None:
    """Make a webhook anew, and have compared what the shop did since its last delivery."""
    topic = webhook.topic
    if not known.may_be_remade(context.now()):
        _note(context, store, known, "it was made anew twice within a day, and was switched off again")
        return
    with context.ledger.write() as connection:
        shop_webhooks.note_remade(connection, known, context.now())
        last = comparison.last_delivery_at(connection, store.id, topic)
        since = (last or max(store.created_at, context.now() - timedelta(days=35))) - MARGIN
        shops.ask_for(connection, store.id, since, context.now())
    try:
        make_anew(context, store, client, webhook, webhook.delivery_url)
    except ShopError as error:
        with suppress(ShopError):  # it may exist all the same
            if not any(one.topic == topic and one.id > webhook.id for one in client.webhooks()):
                with context.ledger.write() as connection:
                    shop_webhooks.withdraw_remade(connection, known)
        _note(context, store, known, f"it could not be made anew: {error}")
        return
    log.warning("a webhook that was switched off is made anew", store=store.name, topic=topic)


def make_anew(context: Context, store: Store, client: Shop, webhook: Webhook, delivery_url: str) -> Webhook:
    """A new webhook in place of one that the shop has given up: its failures begin at none.

    It is made before the old one is deleted: a crash in between leaves one too many, which the next round
    deletes, and not one too few. Raises ShopError.
    """
    new = client.create_webhook(
        name=name_of(store),
        topic=webhook.topic,
        delivery_url=delivery_url,
        secret=store.webhook_secret(context.vault),
    )
    with context.ledger.write() as connection:
        shop_webhooks.save(
            connection,
            store.id,
            webhook.topic,
            webhook_id=new.id,
            status=new.status,
            modified=new.modified,
            now=context.now(),
        )
        shop_webhooks.note_secret(connection, store.id, webhook.topic, context.now())
    client.delete_webhook(webhook.id)
    return new


def write_secret(context: Context, store: Store, client: Shop, webhook: Webhook) -> None:
    """Give a webhook the store's present secret; raises ShopError."""
    client.update_webhook(webhook.id, secret=store.webhook_secret(context.vault))
    with context.ledger.write() as connection:
        shop_webhooks.note_secret(connection, store.id, webhook.topic, context.now())


def _note(context: Context, store: Store, known: KnownWebhook, problem: str | None) -> None:
    """Why a webhook does not tell, and stays so; None: nothing is known to be wrong with it."""
    if known.problem == problem:
        return
    if problem is not None:
        log.warning("a webhook does not tell", store=store.name, topic=known.topic, why=problem)
    with context.ledger.write() as connection:
        shop_webhooks.note_problem(connection, known.store_id, known.topic, problem)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with our address. `is_certain`: deliveries cannot arrive, wherever they come from."""

    text: str
    is_certain: bool = True


def problem_of_address(delivery_url: str) -> Problem | None:
    """Why deliveries to our address cannot arrive, as far as that can be seen from here; None if they can.

    A delivery URL answers a GET with 405 and says what it is. Deliveries follow no redirect, and so this does
    not either.
    """
    url = _parts_of(delivery_url)
    host = url.hostname if url.port is None else f"{url.hostname}:{url.port}"
    try:
        answer = requests.get(delivery_url, allow_redirects=False, timeout=ADDRESS_WITHIN)
    except requests.exceptions.SSLError:
        return Problem(f"the certificate of {host} is not good", is_certain=False)
    except requests.RequestException:
        return Problem(f"nothing answers at {host}, as seen from here", is_certain=False)
    if answer.is_redirect:
        return Problem(f"{host} redirects, which deliveries do not follow")
    try:
        error = answer.json().get("error")
    except (ValueError, AttributeError):
        error = None
    if answer.status_code == 405 and error == "method_not_allowed":
        return None
    return Problem(
        f"something else than the bridge answers at {host} ({answer.status_code})", is_certain=False
    )
