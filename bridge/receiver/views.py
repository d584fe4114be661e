"""The delivery URL, `POST /webhooks/<store>`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

import structlog
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from bridge.issuance import Deletion, NotAnOrder, content_digest, printable, read_delivery
from bridge.ledger import Ledger, Vault, deliveries, store_secrets, stores
from bridge.ledger.deliveries import Recorded
from bridge.ledger.stores import Store
from bridge.receiver.errors import error
from bridge.receiver.signature import is_signed
from bridge.telemetry import access

_PING = re.compile(rb"webhook_id=[0-9]+")

log = structlog.get_logger(__name__)


def make_blueprint(
    ledger: Ledger,
    vault: Vault,
    *,
    max_body_bytes: int,
    notify: Callable[[int], None],
    now: Callable[[], datetime],
) -> Blueprint:
    """The receiver. `notify` is given the id of each delivery that is to be processed."""
    blueprint = Blueprint("receiver", __name__)

    @blueprint.post("/webhooks/<name>", provide_automatic_options=False)
    def receive(name: str) -> Response | tuple[Response, int]:
        store = None
        if stores.NAME.fullmatch(name):
            access.tell(request.environ, store=name)
            with ledger.read() as connection:
                store = stores.find(connection, name)
        if store is None:
            return error(404, "unknown_store", "No store has this delivery URL: compare it with the store's.")
        body = _read_body(max_body_bytes)
        signature = request.headers.get("X-WC-Webhook-Signature", "")
        if not signature and _PING.fullmatch(body):
            with ledger.write() as connection:
                stores.record_ping(connection, store.id, now())
            return jsonify(status="pong")
        has_current_secret = is_signed(body, signature, store.webhook_secret(vault))
        if not has_current_secret and not _has_previous_secret(store, vault, body, signature, now()):
            log.warning("delivery refused: its signature is missing or wrong", store=store.name)
            return error(
                401,
                "wrong_signature",
                "The signature is missing or does not fit: "
                "enter the store's webhook secret in the webhook's settings in WooCommerce.",
            )
        return jsonify(_record(store, body, shows_new_secret=has_current_secret and store.awaits_new_secret))

    @blueprint.route("/webhooks/<name>", methods=["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
    def explain(name: str) -> tuple[Response, int]:
        return error(
            405,
            "method_not_allowed",
            "This is a delivery URL for WooCommerce's order webhooks: it takes their POST requests only.",
        )

    def _record(store: Store, body: bytes, *, shows_new_secret: bool) -> dict[str, str]:
        topic = request.headers.get("X-WC-Webhook-Topic", "")
        about = read_delivery(topic, body)
        ignored_because = about.reason if isinstance(about, NotAnOrder) else None
        with ledger.write() as connection:
            recorded = deliveries.record(
                connection,
                store_id=store.id,
                topic=printable(topic),
                digest=content_digest(topic, body),
                body=body,
                resource_id=about.resource_id,
                is_deletion=isinstance(about, Deletion),
                ignored_because=ignored_because,
                now=now(),
            )
            if shows_new_secret:
                store_secrets.note_seen(connection, store, now())
        # A crash here, between commit and answer, leaves a delivery that WooCommerce counts as failed; the
        # sweep processes it all the same.
        if recorded.is_to_be_processed:
            notify(recorded.delivery_id)
        answer = _answer(recorded, ignored_because)
        access.tell(request.environ, delivery=recorded.delivery_id)
        log.info(
            "delivery recorded",
            store=store.name,
            delivery=recorded.delivery_id,
            order=about.resource_id,
            topic=printable(topic),
            outcome=answer["status"],
        )
        return answer

    return blueprint


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


def _answer(recorded: Recorded, ignored_because: str | None) -> dict[str, str]:
    answer = {"status": "accepted", "delivery": str(recorded.delivery_id)}
    if recorded.is_duplicate:
        answer["status"] = "duplicate"
    elif ignored_because is not None:
        answer["status"] = "ignored"
        answer["reason"] = ignored_because
    return answer
