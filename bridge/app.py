"""The web process: wires settings, ledger, broker and receiver into one Flask app."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from celery import Celery
from flask import Flask, Response, jsonify

from bridge.broker import Announcer, make_celery, messages_waiting
from bridge.ledger import Ledger, LedgerNotMigratedError, LedgerUnavailableError
from bridge.ledger.backlog import Backlog, measure
from bridge.receiver import Notifier, add_receiver
from bridge.receiver.errors import register_error_handlers
from bridge.settings import Settings, load_settings
from bridge.telemetry import STDOUT, configure_logging, metrics
from bridge.telemetry.question import Question

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None) -> Flask:
    """The app, for gunicorn and for tests; raises SettingsError. Connects to nothing yet."""
    if settings is None:
        settings = load_settings()
        configure_logging(settings.log_format, to=STDOUT)
    ledger = Ledger(settings.ledger_url)
    celery = make_celery(settings.broker_url.get_secret_value())
    announcer = Announcer(celery)
    app = Flask("spacebridge", static_folder=None)
    register_error_handlers(app)
    add_receiver(
        app,
        ledger,
        settings.vault(),
        max_body_bytes=settings.max_body_bytes,
        notify=Notifier(announcer.deliveries).notify,
        now=lambda: datetime.now(UTC),
    )
    _add_status_pages(app, ledger, announcer)
    _add_metrics(app, ledger, celery)
    return app


def _add_status_pages(app: Flask, ledger: Ledger, announcer: Announcer) -> None:
    def problem() -> str | None:
        try:
            ledger.check()
        except (LedgerUnavailableError, LedgerNotMigratedError) as error:
            log.warning("not ready", error=str(error))
            return "not migrated" if isinstance(error, LedgerNotMigratedError) else "unavailable"
        return None

    @app.get("/healthz")
    def alive() -> Response:
        return jsonify(status="alive")

    @app.get("/readyz")
    def ready() -> tuple[Response, int]:
        broker = {None: "unknown", True: "reachable", False: "unreachable"}[announcer.is_reachable]
        why_not = problem()
        if why_not is None:
            return jsonify(status="ready", ledger="ready", broker=broker), 200
        return jsonify(status="unavailable", ledger=why_not, broker=broker), 503

    @app.get("/")
    def home() -> str:
        state = "ready" if problem() is None else "not ready: see /readyz"
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Spacebridge</title>"
            "<h1>Spacebridge</h1>"
            "<p>It takes order webhooks from WooCommerce at /webhooks/&lt;store&gt; "
            "and has their documents issued in Space Invoices.</p>"
            f"<p>It is {state}.</p></html>"
        )


def _add_metrics(app: Flask, ledger: Ledger, celery: Celery) -> None:
    def measured() -> Backlog:
        with ledger.read() as connection:
            return measure(connection, datetime.now(UTC))

    backlog = Question("the ledger's backlog", measured)
    queue = Question("the broker's queue", lambda: messages_waiting(celery))

    @app.get("/metrics")
    def show_metrics() -> Response:
        return Response(
            metrics.render(backlog, queue), content_type="text/plain; version=0.0.4; charset=utf-8"
        )
