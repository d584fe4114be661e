"""Finds out which schema a database has, without loading Alembic: every process asks, and few migrate."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Connection, column, inspect, select, table

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""The revisions of bridge/db/migrations, the newest last."""

_VERSION = table("alembic_version", column("version_num"))


class Schema(StrEnum):
    """A database's schema, compared with the one that this version needs."""

    MISSING = "missing"
    OLD = "old"
    CURRENT = "current"
    NEWER = "newer"  # made by a later version than this one


def schema_of(connection: Connection) -> Schema:
    """The state of the database's schema."""
    if not inspect(connection).has_table(_VERSION.name):
        return Schema.MISSING
    revision = connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
    if revision is None:
        return Schema.MISSING
    if revision == REVISIONS[-1]:
        return Schema.CURRENT
    return Schema.OLD if revision in REVISIONS else Schema.NEWER
