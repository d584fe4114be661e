"""The short way: a delivery that is certainly good is recorded and answered without Flask."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from bridge.issuance import read_delivery
from bridge.ledger.recording import Recorder
from bridge.telemetry import answers
from bridge.web import delivery
from bridge.web.signature import is_signed
from bridge.web.store_cache import StoreCache

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/webhooks/"
FAILURE = "spacebridge.failure"  # in the environment: what was raised on the short way

_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode  # as Flask does


class Shortcut:
    """Answers the deliveries of known stores that are signed with the secrets they are known to have.

    Everything else it hands on to the app: whatever is to be refused, the app decides by another look at the
    ledger. In a request like all others, Flask's routing, contexts and objects cost as much as the commit.
    """

    def __init__(
        self,
        app: WSGIApplication,
        recorder: Recorder,
        known_stores: StoreCache,
        *,
        max_body_bytes: int,
        notify: Callable[[int], None],
        now: Callable[[], datetime],
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._known_stores = known_stores
        self._max_body_bytes = max_body_bytes
        self._notify = notify
        self._now = now

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._answer(environ)
        except Exception as error:  # the app says what follows from it
            environ[FAILURE] = error
            answer = None
        if answer is None:
            return self._app(environ, start_response)
        content = _encode(answer).encode() + b"\n"
        start_response(
            "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        )
        return [content]

    def _answer(self, environ: WSGIEnvironment) -> dict[str, str] | None:
        """What is answered to a good delivery, when it is committed; None for everything else."""
        begun_at = time.perf_counter()
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "POST" or not path.startswith(PREFIX):
            return None
        store = self._known_stores.get(path[len(PREFIX) :].removesuffix("/"))
        if store is None or (body := self._read_body(environ)) is None:
            return None
        if not is_signed(body, environ.get("HTTP_X_WC_WEBHOOK_SIGNATURE", ""), store.secret):
            return None
        topic = environ.get("HTTP_X_WC_WEBHOOK_TOPIC", "")
        about = read_delivery(topic, body, environ.get("HTTP_X_WC_WEBHOOK_SOURCE", ""))
        if about.shop and about.shop not in store.shop_urls:
            return None  # another shop's, or the first that tells the address of this one
        found = delivery.describe(topic, body, about, store.shop_urls)
        recorded = self._recorder.record(store, **found, now=self._now())
        if recorded is None:
            self._known_stores.forget(store.name)
            return None
        # A crash here, between commit and answer, leaves a delivery that WooCommerce counts as failed; the
        # sweep processes it all the same.
        if recorded.is_to_be_processed:
            self._notify(recorded.delivery_id)
        answer = delivery.answer(found, recorded)
        answers.acknowledged(store.name, answer["status"], time.perf_counter() - begun_at)
        delivery.log_recorded(environ, store.name, found, recorded, answer["status"])
        return answer

    def _read_body(self, environ: WSGIEnvironment) -> bytes | None:
        """The body, which the app may read once more; None if it is too large, or tells no length."""
        length = environ.get("CONTENT_LENGTH", "")
        if "HTTP_TRANSFER_ENCODING" in environ or not length.isdecimal():
            return None
        if int(length) > self._max_body_bytes:
            return None
        body: bytes = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = BytesIO(body)
        return body
