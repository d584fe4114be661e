"""The delivery URL, `POST /webhooks/<store>`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from bridge.db import Ledger
from bridge.issuance import read_delivery
from bridge.ledger import deliveries, store_secrets, stores
from bridge.ledger.recording import CachedStore
from bridge.ledger.stores import Store
from bridge.pipeline.quarantine import shop_urls_of
from bridge.telemetry import access, answers
from bridge.vault import Vault
from bridge.web import delivery
from bridge.web.errors import error
from bridge.web.shortcut import FAILURE
from bridge.web.signature import is_signed
from bridge.web.store_cache import StoreCache

_PING = re.compile(rb"webhook_id=[0-9]+")

log = structlog.get_logger(__name__)


def make_blueprint(
    ledger: Ledger,
    vault: Vault,
    known_stores: StoreCache,
    *,
    max_body_bytes: int,
    notify: Callable[[int], None],
    note_refused: Callable[[int], None],
    now: Callable[[], datetime],
) -> Blueprint:
    """The receiver. `notify` is given the id of each delivery that is to be processed, and `note_refused` the
    id of the store for which a request was refused.

    Stores whose deliveries are good are known from then on, so that the next ones may take the short way.
    """
    blueprint = Blueprint("receiver", __name__)
    answers.count_answers(blueprint)

    # With a slash at its end, too: people copy addresses so, and WooCommerce follows no redirect.
    @blueprint.post("/webhooks/<name>", strict_slashes=False, provide_automatic_options=False)
    def receive(name: str) -> Response | tuple[Response, int]:
        if (failure := request.environ.get(FAILURE)) is not None:
            raise failure
        store = None
        if stores.NAME.fullmatch(name):
            access.add_fields(request.environ, store=name)
            with ledger.read() as connection:
                store = stores.find(connection, name)
        if store is None:
            return error(404, "unknown_store", "No store has this delivery URL: compare it with the store's.")
        answers.set_store(store.name)
        body = _read_body(max_body_bytes)
        signature = request.headers.get("X-WC-Webhook-Signature", "")
        if not signature and _PING.fullmatch(body):
            _record_ping(ledger, store, now())
            return jsonify(status="pong")
        secret = store.webhook_secret(vault)
        has_current_secret = is_signed(body, signature, secret)
        if not has_current_secret and not _has_previous_secret(store, vault, body, signature, now()):
            note_refused(store.id)
            log.warning("delivery refused: its signature is missing or wrong", store=store.name)
            return error(
                401,
                "wrong_signature",
                "The signature is missing or does not fit: "
                "enter the store's webhook secret in the webhook's settings in WooCommerce.",
            )
        shows_new_secret = has_current_secret and store.awaits_new_secret
        shop_urls, answer = _record(store, body, shows_new_secret=shows_new_secret)
        if has_current_secret and not shows_new_secret:
            known_stores.keep(
                CachedStore(
                    store.id, store.name, frozenset(shop_urls), store.encrypted_webhook_secret, secret
                )
            )
        return jsonify(answer)

    @blueprint.route(
        "/webhooks/<name>",
        strict_slashes=False,
        methods=["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"],
    )
    def explain(name: str) -> tuple[Response, int]:
        return error(
            405,
            "method_not_allowed",
            "This is a delivery URL for WooCommerce's order webhooks: it takes their POST requests only.",
        )

    def _record(store: Store, body: bytes, *, shows_new_secret: bool) -> tuple[Sequence[str], dict[str, str]]:
        """Returns the addresses of the store's shop, and the answer."""
        topic = request.headers.get("X-WC-Webhook-Topic", "")
        about = read_delivery(topic, body, request.headers.get("X-WC-Webhook-Source", ""))
        with ledger.write() as connection:
            shop_urls = shop_urls_of(connection, store, about)
            found = delivery.describe(topic, body, about, shop_urls)
            recorded = deliveries.record(connection, store_id=store.id, **found, now=now())
            if shows_new_secret:
                store_secrets.note_seen(connection, store, now())
        # A crash here, between commit and answer, leaves a delivery that WooCommerce counts as failed; the
        # sweep processes it all the same.
        if recorded.is_to_be_processed:
            notify(recorded.delivery_id)
        answer = delivery.answer(found, recorded)
        answers.set_outcome(answer["status"])
        delivery.log_recorded(request.environ, store.name, found, recorded, answer["status"])
        return shop_urls, answer

    return blueprint


def _record_ping(ledger: Ledger, store: Store, now: datetime) -> None:
    if not stores.is_ping_known(store, now):
        with ledger.write() as connection:
            stores.record_ping(connection, store.id, now)


def _has_previous_secret(store: Store, vault: Vault, body: bytes, signature: str, now: datetime) -> bool:
    """Whether a delivery is signed with a secret that was replaced, in a webhook not everywhere yet."""
    return any(is_signed(body, signature, secret) for secret in store.previous_secrets(vault, now))


def _read_body(limit: int) -> bytes:
    """The raw body, up to `limit` bytes; a larger one ends in 413 before more of it is in memory."""
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge
    # A chunked body tells no length. Werkzeug cuts it off at its limit, as if it ended there.
    request.max_content_length = limit + 1
    body = request.get_data(cache=False)
    if len(body) > limit:
        raise RequestEntityTooLarge
    return body
