"""The web process' log: a line for each answered request, and gunicorn's own, like those of everything else.

No line has the client's address in it, nor anything of a request that is not known to be ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from gunicorn.config import Config
from gunicorn.glogging import Logger

log = structlog.get_logger(__name__)

_ABOUT = "spacebridge.about"  # in a request's WSGI environment
_TOLD = "spacebridge.told"
_PROBES = ("/healthz", "/readyz", "/metrics")  # asked for every few seconds


def tell(environ: dict[str, Any], **about: object) -> None:
    """Have a request's line tell this of it, besides its method, the status of its answer, and the time."""
    environ.setdefault(_ABOUT, {}).update(about)


def leave_out(environ: dict[str, Any]) -> None:
    """Log no line on this request: it has one already."""
    environ[_TOLD] = True


class AccessLogger(Logger):
    """What gunicorn logs with: for its setting `logger_class`."""

    def setup(self, cfg: Config) -> None:
        """Leave the handlers to the root logger, which `configure_logging` has set up."""
        self.cfg = cfg
        self.error_log.setLevel(cfg.loglevel.upper())
        self.error_log.propagate = True

    @property
    def access_log_enabled(self) -> bool:
        """gunicorn asks before it calls `access`."""
        return True

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        """Log an answer; `request_time` is from when the request was there whole."""
        if _TOLD in environ:
            return
        status = int(str(resp.status).partition(" ")[0])
        if status < 400 and environ.get("PATH_INFO") in _PROBES:
            return
        log.info(
            "request answered",
            method=environ["REQUEST_METHOD"],
            status=status,
            ms=round(request_time.total_seconds() * 1000, 1),
            **environ.get(_ABOUT, {}),
        )

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        if str(msg).startswith("Invalid request from ip="):
            # The rest of it is what the client sent, whose address this is.
            log.info("malformed request refused")
            return
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        if str(msg).startswith("Error handling request"):
            msg, args = "a request was not answered", ()  # without its address, which may say anything
        super().exception(msg, *args, **kwargs)
