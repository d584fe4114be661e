"""How fast an account is called: one request after the other at an even rate, over all processes.

Each request takes the account's next free slot, and the one after it comes an interval later: no
bursts, whatever waits. The slots are kept in Redis, where every worker finds them; without one, or
while it is away, each process keeps its own.

A 429 doubles the account's interval, until none has come for a while.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

SLOW_FOR = 60  # seconds since the last 429
SLOWEST = 64  # times the interval
DEFAULT_RETRY_AFTER = 1.0  # seconds, for a 429 that names none
LONGEST_REST = 7200  # seconds; longer than any Retry-After that is honoured
ALONE_FOR = 5.0  # seconds until a Redis that was away is asked again

# One place, one clock (Redis' own) and one step at a time: no two processes are given the same slot.
# ARGV: the interval, how far away the slot may be, the slowest, the longest rest.
# A slot further ahead than any can have been given was given before the clock was set back.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local interval = ARGV[1] * tonumber(redis.call('GET', KEYS[2]) or 1)
local rest_ends = tonumber(redis.call('GET', KEYS[3]) or 0)
local earliest = now
if rest_ends > now and rest_ends < now + ARGV[4] then earliest = rest_ends end
local slot = tonumber(redis.call('GET', KEYS[1]) or 0)
if slot < earliest or slot > earliest + ARGV[2] + 2 * ARGV[1] * ARGV[3] then slot = earliest end
if slot - now > tonumber(ARGV[2]) then return '-1' end
redis.call('SET', KEYS[1], string.format('%.6f', slot + interval), 'EX', ARGV[4])
return string.format('%.6f', slot - now)
"""
# ARGV: the interval, the longest rest.
_GIVE_BACK = """
local slot = redis.call('GET', KEYS[1])
if not slot then return end
local interval = ARGV[1] * tonumber(redis.call('GET', KEYS[2]) or 1)
redis.call('SET', KEYS[1], string.format('%.6f', slot - interval), 'EX', ARGV[2])
"""
# ARGV: how long to rest, the slowest, how long to be slow for, the longest rest.
# A crowd of requests that were under way together is answered 429 together: it counts once.
_SLOW_DOWN = """
local clock = redis.call('TIME')
local rest_ends = clock[1] + clock[2] / 1000000 + ARGV[1]
if rest_ends > tonumber(redis.call('GET', KEYS[3]) or 0) then
  redis.call('SET', KEYS[3], string.format('%.6f', rest_ends), 'EX', ARGV[4])
end
if redis.call('SET', KEYS[4], 1, 'NX', 'EX', 1) then
  local times = math.min(2 * tonumber(redis.call('GET', KEYS[2]) or 1), tonumber(ARGV[2]))
  redis.call('SET', KEYS[2], times, 'EX', ARGV[3])
end
"""

_TLS_PARAMETERS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

_Answer = TypeVar("_Answer")

log = structlog.get_logger(__name__)


class RateLimiter:
    """The rate limiter of every account. An account goes by a name here that does not tell its token."""

    def __init__(self, rate: float = inf, *, broker_url: str = "") -> None:
        """`rate`: requests/second of one account; `broker_url`: if it is Redis, all processes share it."""
        interval = 1 / rate
        self._own = _LocalSlots(interval)
        address = _redis_address(broker_url)
        self._shared = _RedisSlots(address, interval) if address else None
        self._alone_until = 0.0

    def take(self, account: str, *, within: float) -> float | None:
        """Reserve the account's next slot, if it comes `within` so many seconds.

        Returns in how many seconds it comes, which the caller has to wait. None if it comes later than
        that: then nothing is reserved.
        """
        return self._ask(lambda slots: slots.take(account, within))

    def wait(self, account: str, *, within: float) -> bool:
        """Wait for the account's next slot; False, at once, if it is further away than that."""
        seconds = self.take(account, within=within)
        if seconds is None:
            return False
        time.sleep(seconds)
        return True

    def release(self, account: str) -> None:
        """The slot taken last is not used: the next request may have it."""
        self._ask(lambda slots: slots.release(account))

    def slow_down(self, account: str, *, retry_after: float | None) -> None:
        """Space Invoices answered 429: no slot comes for `retry_after` seconds, and fewer from then on."""
        wait = DEFAULT_RETRY_AFTER if retry_after is None else retry_after
        self._ask(lambda slots: slots.slow_down(account, wait))

    def _ask(self, question: Callable[[_LocalSlots | _RedisSlots], _Answer]) -> _Answer:
        if self._shared is not None and time.monotonic() >= self._alone_until:
            try:
                return question(self._shared)
            except RedisError as error:
                # Each process at the full rate is at worst answered 429, which slows it down.
                log.warning("Redis unreachable; this process keeps its own pace", error=type(error).__name__)
                self._alone_until = time.monotonic() + ALONE_FOR
        return question(self._own)


class _RedisSlots:
    """The accounts' next slots in Redis. Its methods raise RedisError."""

    def __init__(self, address: str, interval: float) -> None:
        self._interval = interval
        client = redis.Redis.from_url(
            address, socket_connect_timeout=0.5, socket_timeout=1, retry=Retry(NoBackoff(), 1)
        )
        self._take = client.register_script(_TAKE)
        self._give_back = client.register_script(_GIVE_BACK)
        self._slow_down = client.register_script(_SLOW_DOWN)

    def take(self, account: str, within: float) -> float | None:
        wait = float(self._take(_keys(account), [self._interval, within, SLOWEST, LONGEST_REST]))
        return None if wait < 0 else wait

    def release(self, account: str) -> None:
        self._give_back(_keys(account), [self._interval, LONGEST_REST])

    def slow_down(self, account: str, wait: float) -> None:
        self._slow_down(_keys(account), [wait, SLOWEST, SLOW_FOR, LONGEST_REST])


@dataclass(slots=True)
class _Rhythm:
    """One account's next slot, and how slow it is, by this process' monotonic clock."""

    slot: float = 0.0
    times: float = 1.0
    slowed_at: float = -inf


class _LocalSlots:
    """The same in this process."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._rhythms: defaultdict[str, _Rhythm] = defaultdict(_Rhythm)

    def take(self, account: str, within: float) -> float | None:
        with self._lock:
            now, rhythm = time.monotonic(), self._rhythms[account]
            if now - rhythm.slowed_at > SLOW_FOR:
                rhythm.times = 1.0
            wait = max(0.0, rhythm.slot - now)
            if wait > within:
                return None
            rhythm.slot = now + wait + self._interval * rhythm.times
            return wait

    def release(self, account: str) -> None:
        with self._lock:
            rhythm = self._rhythms[account]
            rhythm.slot -= self._interval * rhythm.times

    def slow_down(self, account: str, wait: float) -> None:
        with self._lock:
            now, rhythm = time.monotonic(), self._rhythms[account]
            rhythm.slot = max(rhythm.slot, now + wait)
            if now - rhythm.slowed_at > 1:
                rhythm.times = min(2 * rhythm.times, SLOWEST)
                rhythm.slowed_at = now


def _keys(account: str) -> list[str]:
    # The braces keep an account's keys together in a cluster.
    # So named by all versions: while two of them run, they share the rate.
    return [f"spacebridge:pace:{{{account}}}:{part}" for part in ("moment", "times", "rest", "slowed")]


def _redis_address(broker_url: str) -> str | None:
    """The address as redis-py reads it, or None where the broker is no (single) Redis.

    Celery has parameters of its own in it: of those, what tells the database and the certificates counts.
    """
    parts = urlsplit(broker_url)
    if parts.scheme not in {"redis", "rediss", "redis+socket"} or ";" in broker_url:
        return None
    given = dict(parse_qsl(parts.query))
    query = {name: given[name] for name in _TLS_PARAMETERS if parts.scheme == "rediss" and name in given}
    if "ssl_cert_reqs" in query:
        query["ssl_cert_reqs"] = query["ssl_cert_reqs"].lower().removeprefix("cert_")
    if database := given.get("virtual_host", "").strip("/"):
        query["db"] = database
    scheme = "unix" if parts.scheme == "redis+socket" else parts.scheme
    return f"{scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")
