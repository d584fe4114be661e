"""What the connections to both databases have in common: the ledger's URL, and the options of their pools."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from bridge.db.errors import value_refused


def new_engine(url: URL, **options: Any) -> Engine:
    """An engine with these options and those that every engine of the ledger has."""
    # hide_parameters: the text of a database error would otherwise quote orders and secrets.
    # pool_use_lifo: the connection that was used last has the most prepared statements.
    engine = create_engine(url, hide_parameters=True, pool_use_lifo=True, **options)
    event.listen(engine, "handle_error", _translate_value_error)
    return engine


def _translate_value_error(context: ExceptionContext) -> Exception | None:
    """Translate the error of a value that the driver cannot send: over 64 bits, or half a surrogate pair."""
    error = context.original_exception
    if context.sqlalchemy_exception is not None or not isinstance(error, Exception):
        return None
    return value_refused(error)


def with_driver(url: str) -> URL:
    """Parse the URL, and add the driver to it; raises ValueError, without the password in its text."""
    try:
        parsed = make_url(url)
        if parsed.drivername in {"postgres", "postgresql"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (SQLAlchemyError, ValueError):
        backend = ""
    if backend == "" or parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise ValueError("it is neither postgresql://... nor sqlite:///...")
    if "@" in (parsed.host or ""):
        # Half of the password would be parsed as the host, whose name appears in messages.
        raise ValueError("an @ in its password has to be written as %40")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("an SQLite ledger needs a file: sqlite:///<file>")
    return parsed
