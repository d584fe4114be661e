"""Looks at everything, what the rest depends on first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from bridge.db import Ledger
from bridge.doctor import accounts, clocks
from bridge.doctor.accounts import Reply
from bridge.doctor.clocks import POSTGRESQL, SPACE_INVOICES, Greeting, Watch
from bridge.doctor.finding import Finding, Level, enumerated
from bridge.doctor.installation import (
    BrokerSight,
    Known,
    is_readable,
    look_at_broker,
    look_at_key,
    look_at_ledger,
)
from bridge.doctor.shops import PUBLIC_API, look_at_store
from bridge.doctor.sight import StoreSight
from bridge.doctor.work import look_at_work
from bridge.pipeline.context import Context
from bridge.pipeline.rate_limiter import RateLimiter
from bridge.settings import Settings
from bridge.vault import Vault


def examine(settings: Settings, now: datetime) -> Iterator[Finding]:
    """All findings, those of a store one after the other. Changes nothing.

    What follows from something wrong that was found before is a warning: it is mended with that.
    """
    watch = Watch(now)
    ledger = Ledger(settings.ledger_url)
    try:
        yield from _examine(settings, ledger, watch)
    finally:
        ledger.close()


def _examine(settings: Settings, ledger: Ledger, watch: Watch) -> Iterator[Finding]:
    seen = look_at_ledger(ledger, settings, watch)
    yield from seen.findings
    if seen.is_all:
        return
    key, vault = look_at_key(settings, seen.known)
    yield key
    broker = look_at_broker(settings)
    yield broker.finding
    timeout = min(settings.api_timeout, clocks.PATIENCE)
    greeting = clocks.greet(settings.api_url, timeout=timeout, watch=watch)
    replies: Mapping[int, Reply] = {}
    if seen.known is not None and vault is not None and greeting.problem is None:
        replies = _ask(settings, ledger, vault, seen.known, broker, timeout)
    api = _api(settings, greeting, seen.known, replies)
    yield api
    yield clocks.compare(
        {
            SPACE_INVOICES: greeting.clock_ahead,
            POSTGRESQL: seen.known.clock_ahead if seen.known else None,
        }
    )
    if seen.known is None:
        return
    work = look_at_work(
        seen.known,
        broker,
        watch.now(),
        config_ttl=settings.config_ttl,
        api_answers=api.level is Level.OK,
    )
    yield work
    if not seen.known.stores:
        yield Finding(
            "stores",
            Level.WARNING,
            "There is no store yet.",
            "With the ids that Space Invoices shows: "
            "spacebridge stores add NAME --organization ID --woocommerce ID",
        )
    of_all = next((one.check for one in (broker.finding, work) if one.level is Level.WRONG), None)
    for store in seen.known.stores:
        reply = replies.get(store.id)
        blamed = of_all or _blamed(greeting, reply)
        yield from look_at_store(StoreSight(store, seen.known.backlogs[store.id], reply, blamed, watch.now()))


def _ask(
    settings: Settings, ledger: Ledger, vault: Vault, known: Known, broker: BrokerSight, timeout: float
) -> Mapping[int, Reply]:
    """What Space Invoices says of the stores, at a rate that is shared with the workers where that can be."""
    shared = settings.broker_url.get_secret_value() if broker.finding.level is Level.OK else ""
    context = Context(
        ledger=ledger,
        vault=vault,
        api_url=settings.api_url,
        api_timeout=timeout,
        config_ttl=settings.config_ttl,
        rate_limiter=RateLimiter(settings.request_rate, broker_url=shared),
    )
    return accounts.ask(context, [store for store in known.stores if is_readable(store, vault)])


def _api(
    settings: Settings, greeting: Greeting, known: Known | None, replies: Mapping[int, Reply]
) -> Finding:
    """Whether Space Invoices answers, and answers what it is asked about the stores."""
    address = clocks.shown(settings.api_url)
    if greeting.problem is not None:
        return Finding(
            "api",
            Level.WRONG,
            f"Space Invoices cannot be reached at {address} ({greeting.problem}): nothing is forwarded.",
            f"curl -sSI {address} says more; correct this machine's way there, or SPACEBRIDGE_API_URL.",
        )
    silent = [store for store in known.stores if _is_silent(replies.get(store.id))] if known else []
    if not silent:
        return Finding("api", Level.OK, f"Space Invoices can be reached at {address}.")
    return Finding(
        "api",
        Level.WRONG,
        f"Of {enumerated([store.name for store in silent])}, nothing could be learned: "
        f"{replies[silent[0].id].error}",
        "Their orders wait, and go on by themselves. Look again in a minute: spacebridge doctor. If it stays "
        f"so, compare SPACEBRIDGE_API_URL, {address}, with {PUBLIC_API}",
    )


def _is_silent(reply: Reply | None) -> bool:
    return reply is not None and not reply.is_of_use


def _blamed(greeting: Greeting, reply: Reply | None) -> str | None:
    """The check that found why nothing was learned of a store, which keeps the worker from it, too."""
    if greeting.problem is not None:
        return "api"
    if reply is None:
        return "key"
    return "api" if _is_silent(reply) else None
