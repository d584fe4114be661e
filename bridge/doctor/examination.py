"""Examines an installation: checks everything, and first what the rest depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime

from bridge.admin.rekey import is_readable
from bridge.db import Ledger
from bridge.doctor import clocks
from bridge.doctor.clocks import POSTGRESQL, SPACE_INVOICES, ApiObservation, Clock
from bridge.doctor.configs import ConfigFetch, fetch_configs
from bridge.doctor.finding import Finding, Level, format_names
from bridge.doctor.installation import LedgerContents, check_broker, check_key, check_ledger
from bridge.doctor.observation import StoreObservation
from bridge.doctor.stores import PUBLIC_API, check_store
from bridge.doctor.worker import check_worker
from bridge.pipeline.context import Context
from bridge.pipeline.rate_limiter import RateLimiter
from bridge.settings import Settings


def examine(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Yield all findings, with those of a store next to each other. Changes nothing.

    A finding that follows from an earlier one that is wrong is a warning, since mending that mends it.
    """
    with closing(Ledger(settings.ledger_url)) as ledger:
        yield from _examine(settings, ledger, clocks.clock_from(now))


def _examine(settings: Settings, ledger: Ledger, clock: Clock) -> Iterator[Finding]:
    ledger_check = check_ledger(ledger, settings, clock)
    yield from ledger_check.findings
    if ledger_check.ends_examination:
        return
    contents = ledger_check.contents
    key, vault = check_key(settings, contents)
    yield key
    broker = check_broker(settings)
    yield broker.finding
    timeout = min(settings.api_timeout, clocks.API_TIMEOUT)
    api = clocks.observe_api(settings.api_url, timeout=timeout, clock=clock)
    fetches: Mapping[int, ConfigFetch] = {}
    if contents is not None and vault is not None and api.problem is None:
        # The workers share the rate limit if the broker can be reached.
        shared = settings.broker_url.get_secret_value() if broker.finding.level is Level.OK else ""
        limiter = RateLimiter(settings.request_rate, broker_url=shared)
        context = Context(ledger, vault, settings.api_url, timeout, settings.config_ttl, rate_limiter=limiter)
        fetches = fetch_configs(context, [store for store in contents.stores if is_readable(store, vault)])
    api_finding = _check_api(settings, api, contents, fetches)
    yield api_finding
    ahead = {SPACE_INVOICES: api.clock_ahead, POSTGRESQL: contents.clock_ahead if contents else None}
    yield clocks.check_clocks(ahead)
    if contents is None:
        return
    worker = check_worker(
        contents,
        broker,
        clock(),
        config_ttl=settings.config_ttl,
        api_answers=api_finding.level is Level.OK,
    )
    yield worker
    if not contents.stores:
        yield Finding(
            "stores",
            Level.WARNING,
            "There is no store yet.",
            "With the ids that Space Invoices shows: "
            "spacebridge stores add NAME --organization ID --woocommerce ID",
        )
    wrong = [finding.check for finding in (broker.finding, worker) if finding.level is Level.WRONG]
    for store in contents.stores:
        fetch = fetches.get(store.id)
        cause = wrong[0] if wrong else _cause(api, fetch)
        observation = StoreObservation(
            store,
            contents.backlogs[store.id],
            fetch,
            cause,
            clock(),
            shop=contents.shops.get(store.id),
            absences=[absence for absence in contents.absences if absence.store_id == store.id],
            webhooks=[one for one in contents.webhooks if one.store_id == store.id],
            found=contents.found.get(store.id, {}),
            silences=contents.silences.get(store.name, ()),
        )
        yield from check_store(observation)


def _check_api(
    settings: Settings,
    api: ApiObservation,
    contents: LedgerContents | None,
    fetches: Mapping[int, ConfigFetch],
) -> Finding:
    """Whether Space Invoices answers, and says something about each store."""
    address = clocks.without_credentials(settings.api_url)
    if api.problem is not None:
        return Finding(
            "api",
            Level.WRONG,
            f"Space Invoices cannot be reached at {address} ({api.problem}): nothing is forwarded.",
            f"curl -sSI {address} says more; correct this machine's way there, or SPACEBRIDGE_API_URL.",
        )
    stores = contents.stores if contents else []
    unknown = [store for store in stores if store.id in fetches and not fetches[store.id].is_conclusive]
    if not unknown:
        return Finding("api", Level.OK, f"Space Invoices can be reached at {address}.")
    return Finding(
        "api",
        Level.WRONG,
        f"Of {format_names([store.name for store in unknown])}, nothing could be learned: "
        f"{fetches[unknown[0].id].error}",
        "Their orders wait, and go on by themselves. Look again in a minute: spacebridge doctor. If it stays "
        f"so, compare SPACEBRIDGE_API_URL, {address}, with {PUBLIC_API}",
    )


def _cause(api: ApiObservation, fetch: ConfigFetch | None) -> str | None:
    """The check that found why nothing is known of a store, which also keeps the worker from it."""
    if api.problem is None and fetch is None:
        return "key"
    return None if fetch is not None and fetch.is_conclusive else "api"
