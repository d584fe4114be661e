"""Answers of the web process in JSON; that to an error has a code and a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from bridge.db import LedgerNotMigratedError, LedgerUnavailableError
from bridge.vault import WrongKeyError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from flask.typing import ResponseReturnValue

RETRY_AFTER = "10"  # seconds

log = structlog.get_logger(__name__)

_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode  # as Flask does


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON object, and for a delivery the outcome that is counted."""

    status: int
    content: Mapping[str, str]
    outcome: str | None = None
    headers: Sequence[tuple[str, str]] = ()

    def send(self, start_response: StartResponse) -> Sequence[bytes]:
        """Answer a WSGI request with it."""
        content = _encode(self.content).encode() + b"\n"
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content))), *self.headers]
        start_response(f"{self.status} {HTTP_STATUS_CODES[self.status].upper()}", headers)
        return [content]

    def of_flask(self) -> ResponseReturnValue:
        """The same, as a view returns it."""
        return dict(self.content), self.status, list(self.headers)


def problem(
    status: int, code: str, message: str, outcome: str | None = None, headers: Sequence[tuple[str, str]] = ()
) -> Answer:
    """An answer that says what is wrong."""
    return Answer(status, {"error": code, "message": message}, outcome, headers)


def failure(error: Exception) -> Answer:
    """The answer to a request that raised this, which is logged. It acknowledges nothing."""
    if isinstance(error, LedgerUnavailableError | LedgerNotMigratedError | WrongKeyError):
        log.error("ledger unavailable: a request was not acknowledged", error=str(error))
        message = "The ledger cannot be written; nothing was recorded."
        return problem(503, "ledger_unavailable", message, "unavailable", [("Retry-After", RETRY_AFTER)])
    log.error("a request was not acknowledged", exc_info=error)
    message = "The request could not be handled; nothing was acknowledged."
    return problem(500, "internal_error", message, "unavailable")


def register_error_handlers(app: Flask) -> None:
    """Have Flask answer errors in JSON."""

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> ResponseReturnValue:
        code = (error.name or "error").lower().replace(" ", "_")
        return problem(error.code or 500, code, error.description or error.name).of_flask()

    @app.errorhandler(Exception)
    def fault(error: Exception) -> ResponseReturnValue:
        return failure(error).of_flask()
