"""The log of the web process: a line for each answered request, and gunicorn's own, in the bridge's format.

No line has the client's address in it, nor anything from a request that may be a stranger's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from gunicorn.config import Config
from gunicorn.glogging import Logger

log = structlog.get_logger(__name__)

_FIELDS = "spacebridge.log_fields"  # in a request's WSGI environment
_IS_LOGGED = "spacebridge.is_logged"
_MONITORING = ("/healthz", "/readyz", "/metrics")  # requested every few seconds


def add_fields(environ: dict[str, Any], **fields: object) -> None:
    """Add fields to a request's line, besides its method, the response's status, and the time."""
    environ.setdefault(_FIELDS, {}).update(fields)


def skip(environ: dict[str, Any]) -> None:
    """Log no line for this request, since it has one already."""
    environ[_IS_LOGGED] = True


class AccessLogger(Logger):
    """Gunicorn's logger, for its setting `logger_class`."""

    def setup(self, cfg: Config) -> None:
        """Pass everything to the root logger, which `configure_logging` has set up."""
        self.cfg = cfg
        self.error_log.setLevel(cfg.loglevel.upper())
        self.error_log.propagate = True

    @property
    def access_log_enabled(self) -> bool:
        """Whether gunicorn calls `access`."""
        return True

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        """Log an answered request; `request_time` begins when the request was complete."""
        if _IS_LOGGED in environ:
            return
        status = int(str(resp.status).partition(" ")[0])
        if status < 400 and environ.get("PATH_INFO") in _MONITORING:
            return
        log.info(
            "request answered",
            method=environ["REQUEST_METHOD"],
            status=status,
            ms=round(request_time.total_seconds() * 1000, 1),
            **environ.get(_FIELDS, {}),
        )

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        if str(msg).startswith("Invalid request from ip="):
            # The rest is the client's address, and what it sent.
            log.info("malformed request refused")
            return
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        if str(msg).startswith("Error handling request"):
            msg, args = "a request was not answered", ()  # without its path, which may hold anything
        super().exception(msg, *args, **kwargs)
