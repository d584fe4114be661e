"""The web process: wires settings, ledger, broker and receiver into one Flask app."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from celery import Celery
from flask import Flask, Response, jsonify

from bridge.broker import TaskPublisher, make_celery, messages_waiting
from bridge.db import Ledger, LedgerMovedError, LedgerNotMigratedError, LedgerUnavailableError
from bridge.ledger import silence
from bridge.ledger.backlog import Backlog, measure
from bridge.settings import Settings, load_settings
from bridge.telemetry import STDOUT, configure_logging
from bridge.telemetry.single_flight import SingleFlight
from bridge.web import metrics
from bridge.web.answer import register_error_handlers
from bridge.web.coalescing_publisher import CoalescingPublisher
from bridge.web.connect import add_connect_pages
from bridge.web.webhook import WebhookReceiver

SILENCES_KEPT = (
    600.0  # seconds: they last for hours, and reading the weeks before takes up to a second or two
)

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None) -> Flask:
    """The app, for gunicorn and for tests; raises SettingsError. Connects to nothing yet."""
    if settings is None:
        settings = load_settings()
        configure_logging(settings.log_format, to=STDOUT)
    ledger, vault = Ledger(settings.ledger_url), settings.vault()
    celery = make_celery(settings.broker_url.get_secret_value())
    publisher = TaskPublisher(celery)
    app = Flask("spacebridge", static_folder=None)
    register_error_handlers(app)
    WebhookReceiver(
        app,
        ledger,
        vault,
        max_body_bytes=settings.max_body_bytes,
        publish=CoalescingPublisher(publisher.deliveries).publish,
        now=_now,
    )
    add_connect_pages(app, ledger, vault, _now)
    _add_status_pages(app, ledger, publisher, allow_unsynced_commits=settings.allow_unsynced_commits)
    _add_metrics(app, ledger, celery)
    return app


def _now() -> datetime:
    return datetime.now(UTC)


def _add_status_pages(
    app: Flask, ledger: Ledger, publisher: TaskPublisher, *, allow_unsynced_commits: bool
) -> None:
    def find_problem() -> tuple[str, str] | None:
        """What is wrong with the ledger: its state, and a sentence."""
        try:
            ledger.check()
            unsynced = None if allow_unsynced_commits else ledger.unsynced()
        except LedgerMovedError as error:
            log.warning("not ready", error=str(error))  # it names the other place, and the answer does not
            return (
                "moved",
                "It was copied to another database, and is closed: `spacebridge doctor` says which.",
            )
        except LedgerNotMigratedError as error:
            log.warning("not ready", error=str(error))
            return "not migrated", str(error)
        except LedgerUnavailableError as error:
            log.warning("not ready", error=str(error))
            return "unavailable", "The ledger cannot be reached: `spacebridge doctor` says more."
        if unsynced is None:
            return None
        log.warning("not ready", error=unsynced)
        return "not synced", f"{unsynced}. `spacebridge doctor` says how to mend it."

    @app.get("/healthz")
    def alive() -> Response:
        return jsonify(status="alive")

    @app.get("/readyz")
    def ready() -> tuple[Response, int]:
        broker = {None: "unknown", True: "reachable", False: "unreachable"}[publisher.is_reachable]
        problem = find_problem()
        if problem is None:
            return jsonify(status="ready", ledger="ready", broker=broker), 200
        state, reason = problem
        return jsonify(status="unavailable", ledger=state, reason=reason, broker=broker), 503

    @app.get("/")
    def home() -> str:
        state = "ready" if find_problem() is None else "not ready: see /readyz"
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Spacebridge</title>"
            "<h1>Spacebridge</h1>"
            "<p>It takes order webhooks from WooCommerce at /webhooks/&lt;store&gt; "
            "and has their documents issued in Space Invoices.</p>"
            f"<p>It is {state}.</p></html>"
        )


def _add_metrics(app: Flask, ledger: Ledger, celery: Celery) -> None:
    def measure_backlog() -> Backlog:
        with ledger.read() as connection:
            return measure(connection, datetime.now(UTC))

    def measure_silences() -> metrics.Silences:
        with ledger.read() as connection:
            return silence.measure(connection, datetime.now(UTC))

    backlog = SingleFlight("the ledger's backlog", measure_backlog)
    queue = SingleFlight("the broker's queue", lambda: messages_waiting(celery))
    silences = SingleFlight("the stores' silences", measure_silences, keep=SILENCES_KEPT)

    @app.get("/metrics")
    def show_metrics() -> Response:
        return Response(
            metrics.render(backlog, queue, silences, datetime.now(UTC)),
            content_type="text/plain; version=0.0.4; charset=utf-8",
        )
