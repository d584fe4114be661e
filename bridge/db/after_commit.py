"""Hooks that run after a transaction's commit, for logs and counters. After a rollback they do not run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

_HOOKS = "spacebridge: hooks after the commit"  # a key of `Connection.info`

Hook = Callable[[], object]


def after_commit(connection: Connection, hook: Hook) -> None:
    """Register a hook that runs after this transaction of `Ledger.write` is committed."""
    connection.info[_HOOKS].append(hook)


def collect_hooks(connection: Connection) -> list[Hook]:
    """The list to which `after_commit` adds the hooks of the transaction that begins."""
    hooks: list[Hook] = []
    connection.info[_HOOKS] = hooks
    return hooks


def run_hooks(hooks: list[Hook]) -> None:
    """Run all hooks. What they raise is ignored: the transaction is committed, and no failure."""
    for hook in hooks:
        with suppress(Exception):
            hook()
