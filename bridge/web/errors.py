"""Errors as the callers of the web process see them: JSON with a code and a sentence."""

from __future__ import annotations

import structlog
from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from bridge.db import LedgerNotMigratedError, LedgerUnavailableError
from bridge.vault import WrongKeyError

RETRY_AFTER = "10"  # seconds

log = structlog.get_logger(__name__)


def error(status: int, code: str, message: str) -> tuple[Response, int]:
    """An answer that says what is wrong."""
    return jsonify(error=code, message=message), status


def register_error_handlers(app: Flask) -> None:
    """Answer every failure in JSON, and never with a delivery acknowledged that is not committed."""

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> tuple[Response, int]:
        return error(413, "body_too_large", "The body is larger than SPACEBRIDGE_MAX_BODY_BYTES allows.")

    @app.errorhandler(HTTPException)
    def other_http_error(raised: HTTPException) -> tuple[Response, int]:
        code = (raised.name or "error").lower().replace(" ", "_")
        return error(raised.code or 500, code, raised.description or raised.name)

    @app.errorhandler(LedgerUnavailableError)
    @app.errorhandler(LedgerNotMigratedError)
    @app.errorhandler(WrongKeyError)
    def not_recorded(raised: Exception) -> tuple[Response, int]:
        log.error("ledger unavailable: a request was not acknowledged", error=str(raised))
        answer, status = error(
            503, "ledger_unavailable", "The ledger cannot be written; nothing was recorded."
        )
        answer.headers["Retry-After"] = RETRY_AFTER
        return answer, status

    @app.errorhandler(Exception)
    def fault(raised: Exception) -> tuple[Response, int]:
        log.error("a request was not acknowledged", exc_info=raised)
        return error(500, "internal_error", "The request could not be handled; nothing was acknowledged.")
