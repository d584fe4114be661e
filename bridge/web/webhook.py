"""The delivery URL, `POST /webhooks/<store>`: verify, record, answer.

A WSGI application in front of Flask, whose routing, contexts and objects would add a third to the CPU time
of an acknowledgement.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from bridge.db import Ledger
from bridge.ledger import store_secrets, stores
from bridge.ledger.stores import Store
from bridge.pipeline.receive import DeliveryRecorder, StoreChangedError
from bridge.telemetry import access, answers
from bridge.vault import Vault
from bridge.web.answer import Answer, failure, problem
from bridge.web.heartbeat import Heartbeat
from bridge.web.refusals import Refusals
from bridge.web.signature import is_signed
from bridge.web.store_cache import CachedStore, StoreCache

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

# With a slash at its end, too: people copy addresses so, and WooCommerce follows no redirect.
_PATH = re.compile(r"/webhooks/([^/]+)/?")
_PING = re.compile(rb"webhook_id=[0-9]+")

_PONG = Answer(200, {"status": "pong"})
_UNKNOWN_STORE = problem(
    404, "unknown_store", "No store has this delivery URL: compare it with the store's.", "unknown_store"
)
_TOO_LARGE = problem(
    413, "body_too_large", "The body is larger than SPACEBRIDGE_MAX_BODY_BYTES allows.", "too_large"
)
_WRONG_SIGNATURE = problem(
    401,
    "wrong_signature",
    "The signature is missing or does not fit: "
    "enter the store's webhook secret in the webhook's settings in WooCommerce.",
    "refused",
)
_NO_POST = problem(
    405,
    "method_not_allowed",
    "This is a delivery URL for WooCommerce's order webhooks: it takes their POST requests only.",
)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Request:
    """The headers of a delivery's request, and the name of its store once that is known to exist."""

    topic: str
    site: str
    signature: str
    store_name: str = ""


class WebhookReceiver:
    """Answers the deliveries of all stores, and hands every other request on to the app."""

    def __init__(
        self,
        app: Flask,
        ledger: Ledger,
        vault: Vault,
        *,
        max_body_bytes: int,
        publish: Callable[[int], None],
        now: Callable[[], datetime],
    ) -> None:
        """Have the app take deliveries. `publish` is given the id of each that is to be processed."""
        self._ledger = ledger
        self._vault = vault
        self._recorder = DeliveryRecorder(ledger, publish=publish, now=now)
        self._max_body_bytes = max_body_bytes
        self._now = now
        self._store_cache = StoreCache()
        self._refusals = Refusals(ledger, now)
        self._heartbeat = Heartbeat(ledger, now)
        self._app = app.wsgi_app
        app.extensions["webhook_receiver"] = self
        app.wsgi_app = self  # type: ignore[method-assign]  # as Flask's documentation has it
        app.add_url_rule(
            "/webhooks/<name>",
            "no_post",
            lambda name: _NO_POST.of_flask(),
            strict_slashes=False,
            methods=["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"],
        )

    def start(self, is_up: Callable[[], bool] = lambda: True) -> None:
        """Note in the ledger that this process takes deliveries, until `is_up` says that it does no more.

        To be called in each process that serves the app, after its fork.
        """
        self._heartbeat.start(is_up)

    def close(self) -> None:
        """Write what is kept in memory. To be called when no more requests come."""
        self._heartbeat.close()
        self._refusals.close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = _PATH.fullmatch(environ["PATH_INFO"])
        if path is None or environ["REQUEST_METHOD"] != "POST":
            return self._app(environ, start_response)
        begun_at = time.perf_counter()
        request = Request(
            topic=environ.get("HTTP_X_WC_WEBHOOK_TOPIC", ""),
            site=environ.get("HTTP_X_WC_WEBHOOK_SOURCE", ""),
            signature=environ.get("HTTP_X_WC_WEBHOOK_SIGNATURE", ""),
        )
        try:
            answer = self._receive(path[1], request, read_body(environ, self._max_body_bytes))
        except Exception as error:
            answer = failure(error)
        if answer.outcome is not None:
            answers.count(request.store_name, answer.outcome, time.perf_counter() - begun_at)
        if answer.status == 200 and answer.outcome is not None:
            access.skip(environ)  # "delivery recorded" is its line
        elif stores.NAME.fullmatch(path[1]):
            access.add_fields(environ, store=path[1])
        return answer.send(start_response)

    def _receive(self, name: str, request: Request, body: bytes | None) -> Answer:
        """Verify, record, answer.

        A cached store may accept a delivery and never refuses one: what it does not accept is verified by the
        store as the ledger has it now.
        """
        store = self._store_cache.get(name)
        fresh, is_current = None, True
        if store is None or body is None or not is_signed(body, request.signature, store.webhook_secret):
            fresh = self._find(name)
            if fresh is None:
                return _UNKNOWN_STORE
            request.store_name = name
            if body is None:
                return _TOO_LARGE
            if not request.signature and _PING.fullmatch(body):
                return self._answer_ping(fresh)
            store = self._decrypted(fresh)
            is_current = is_signed(body, request.signature, store.webhook_secret)
            if not is_current and not self._has_previous_secret(fresh, request.signature, body):
                self._refusals.note(fresh.id)
                log.warning("delivery refused: its signature is missing or wrong", store=name)
                return _WRONG_SIGNATURE
        request.store_name = name
        try:
            delivery = self._recorder.record(store, request.topic, body, request.site)
        except StoreChangedError:
            self._store_cache.drop(name)
            request.store_name = ""
            return self._receive(name, request, body)
        if fresh is not None and fresh.awaits_new_secret:  # not cached, so that its first use is noticed
            if is_current:
                self._note_new_secret(fresh)
        elif fresh is not None or delivery.shop_urls != store.shop_urls:
            self._store_cache.put(replace(store, shop_urls=delivery.shop_urls))
        content = {"status": delivery.outcome, "delivery": str(delivery.id)}
        if delivery.reason is not None:
            content["reason"] = delivery.reason
        return Answer(200, content, delivery.outcome)

    def _find(self, name: str) -> Store | None:
        if not stores.NAME.fullmatch(name):
            return None
        with self._ledger.read() as connection:
            return stores.find(connection, name)

    def _decrypted(self, store: Store) -> CachedStore:
        return CachedStore(
            store.id,
            store.name,
            store.shop_urls,
            store.encrypted_webhook_secret,
            store.webhook_secret(self._vault),
        )

    def _has_previous_secret(self, store: Store, signature: str, body: bytes) -> bool:
        """Whether it is signed with a secret that was replaced, by a webhook that still has it."""
        secrets = store.previous_secrets(self._vault, self._now())
        return any(is_signed(body, signature, secret) for secret in secrets)

    def _note_new_secret(self, store: Store) -> None:
        """Note a first delivery under the new secret. A crash before this leaves it to the next one."""
        with self._ledger.write() as connection:
            store_secrets.note_seen(connection, store, self._now())

    def _answer_ping(self, store: Store) -> Answer:
        """Note that somebody saved a webhook. Anyone may send pings, so few of them are written."""
        now = self._now()
        if not stores.is_ping_known(store, now):
            with self._ledger.write() as connection:
                stores.record_ping(connection, store.id, now)
        return _PONG


def read_body(environ: WSGIEnvironment, limit: int) -> bytes | None:
    """The raw body; None if it is larger than `limit` bytes, before more of it is in memory."""
    length = environ.get("CONTENT_LENGTH")
    if length and int(length) > limit:
        return None
    # A body in chunks tells no length, and gunicorn's input ends with it.
    body: bytes = environ["wsgi.input"].read(int(length) if length else limit + 1)
    return body if len(body) <= limit else None
