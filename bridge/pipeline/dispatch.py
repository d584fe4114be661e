"""Claims what is due for all threads that are idle, and has them send it.

The ledger is the queue. Hints (a message, a delivery just processed, the sweep) name stores that may have
something due; whatever no hint names is found by the next sweep.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import structlog

from bridge.db import LedgerUnavailableError
from bridge.ledger import store_pauses
from bridge.ledger.stores import Store
from bridge.pipeline.circuit_breaker import is_probe_due, probe
from bridge.pipeline.claim import Claimed, Quota, claim
from bridge.pipeline.complete import Completer
from bridge.pipeline.context import RECENT, Context
from bridge.pipeline.deferral import defer_due
from bridge.pipeline.send import send
from bridge.pipeline.store_configs import is_stale, is_to_be_awaited, refresh_config
from bridge.vault import WrongKeyError

SLOT_WITHIN = 1.0  # seconds; a store whose account has no slot by then is left to the next sweep
SHARE_OF_A_STORE = 0.75  # of the threads, at most: a slow account must not take them all

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Queue:
    """A store's queue, as far as this process knows it."""

    may_be_due: bool = False
    threads: int = 0
    not_before: float = 0.0  # by time.monotonic
    slot_of: str | None = None  # the account of which a slot is reserved for the store, at `not_before`


@dataclass(frozen=True, slots=True)
class _Turn:
    """A store's turn: as much may be claimed as slots of its account were taken."""

    quota: Quota
    account: str  # its name


class Dispatcher:
    """Keeps the sending threads of a process busy.

    1. Wait for an idle thread and for a store that may have something due and whose slot has come.
    2. Take slots of the stores' accounts from the rate limiter, up to the number of idle threads.
    3. Claim as many issuances in one transaction. The claim is the last thing before the first byte.
    4. Hand each claim to an idle thread, which sends it and leaves the outcome to the completer.

    Stores take turns. What does not send at once (a config to fetch, a probe) takes a thread of its own, so
    that nothing but the ledger and the rate limiter can hold up the dispatcher.
    """

    def __init__(self, context: Context, *, threads: int) -> None:
        self._context = context
        self._idle = threads
        self._most_of_a_store = max(1, int(threads * SHARE_OF_A_STORE))
        self._queues: dict[int, _Queue] = {}  # by the stores' ids, in the order of their turns
        self._condition = threading.Condition()
        self._is_stopping = False
        self._is_dispatching = False
        self._senders = ThreadPoolExecutor(threads, thread_name_prefix="sender")
        self._completer = Completer(context, on_due=self.wake)
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do of what it was woken for."""
        with self._condition:
            return not (self._queues or self._is_dispatching)

    def wake(self, store_ids: Iterable[int]) -> None:
        """These stores may have something due. Returns at once."""
        with self._condition:
            for store_id in store_ids:
                queue = self._queue(store_id)
                queue.may_be_due = True
                if queue.slot_of is None:
                    queue.not_before = 0.0
            self._condition.notify()

    def stop_claiming(self) -> None:
        """Claim nothing more: what is due is another process' from now on."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()

    def close(self) -> None:
        """Wait until the requests under way have ended, and their outcomes are recorded."""
        self.stop_claiming()
        self._thread.join()
        self._senders.shutdown()
        self._completer.close()

    def _run(self) -> None:
        while (stores := self._next_stores()) is not None:
            try:
                self._dispatch(stores)
            except LedgerUnavailableError as error:
                log.warning("ledger unavailable; the sweep tries again", error=str(error))
            except Exception:
                log.exception("failed; the sweep tries again")
            finally:
                self._end_turns()

    def _next_stores(self) -> Sequence[int] | None:
        """Wait for stores whose turn it is, one for an idle thread at most; None when it is time to stop."""
        with self._condition:
            while not self._is_stopping:
                now = time.monotonic()
                waiting = {
                    store_id: queue.not_before
                    for store_id, queue in self._queues.items()
                    if queue.may_be_due and queue.threads < self._most_of_a_store
                }
                ready = [store_id for store_id, at in waiting.items() if at <= now][: self._idle]
                if ready:
                    for store_id in ready:  # the next turn is the others'
                        queue = self._queues.pop(store_id)
                        queue.may_be_due = False
                        self._queues[store_id] = queue
                    self._is_dispatching = True
                    return ready
                next_at = min(waiting.values(), default=None) if self._idle else None
                self._condition.wait(None if next_at is None else next_at - now)
            return None

    def _dispatch(self, store_ids: Sequence[int]) -> None:
        turns: list[_Turn] = []
        for number, store_id in enumerate(store_ids):
            taken = sum(one.quota.limit for one in turns)
            turn = self._turn(store_id, taken=taken, among=len(store_ids) - number)
            if turn is not None:
                turns.append(turn)
        if not turns:
            return
        claims = claim(self._context, [turn.quota for turn in turns])
        for turn in turns:
            of_store = [one for one in claims if one.store.id == turn.quota.store.id]
            self._end(turn, unused=turn.quota.limit - len(of_store))
            for claimed in of_store:
                self._hand(claimed)

    def _turn(self, store_id: int, *, taken: int, among: int) -> _Turn | None:
        """What of a store is to be claimed now; None if nothing is, for a while or by this process.

        `taken`: idle threads that have something to do by now. The others are shared `among` so many stores.
        """
        with self._condition:
            queue = self._queue(store_id)
            capacity = min((self._idle - taken) // among, self._most_of_a_store - queue.threads)
            if capacity <= 0:
                queue.may_be_due = True
                return None
            reserved, queue.slot_of = queue.slot_of, None
        store = self._sendable(store_id)
        account = self._account(store) if store is not None else None
        if reserved is not None and reserved != account:
            self._context.rate_limiter.release(reserved)
        if store is None or account is None:
            return None
        slots = self._take_slots(queue, account, int(reserved == account), capacity)
        return _Turn(Quota(store, slots), account) if slots else None

    def _account(self, store: Store) -> str | None:
        """The name of the store's account; None if its token cannot be decrypted."""
        try:
            return self._context.account(store).name
        except WrongKeyError as error:
            self._hand_aside(store.id, partial(defer_due, self._context, store.id, error))
            return None

    def _sendable(self, store_id: int) -> Store | None:
        """The store, if orders of it may be sent now; else what has to be done before is begun."""
        context = self._context
        store = context.recent_store(store_id)
        if store.paused_at is not None:
            if is_probe_due(store, context.now()) and self._account(store) is not None:
                self._hand_aside(store_id, partial(self._probe, store))
            return None
        if is_stale(context, store):
            # While it is fetched, a config that is just past its time to live serves.
            self._hand_aside(store_id, partial(self._refresh_config, store_id))
            with self._condition:
                queue = self._queue(store_id)
                queue.may_be_due, queue.not_before = True, time.monotonic() + RECENT
            return None
        return None if is_to_be_awaited(context, store) else store

    def _take_slots(self, queue: _Queue, account: str, slots: int, capacity: int) -> int:
        """Take slots up to the capacity: as many as have come. One that is still to come is reserved."""
        while slots < capacity:
            seconds = self._context.rate_limiter.take(account, within=SLOT_WITHIN)
            if seconds is None:
                break
            if seconds > 0:
                with self._condition:
                    queue.slot_of, queue.not_before = account, time.monotonic() + seconds
                    queue.may_be_due |= not slots
                break
            slots += 1
        return slots

    def _end(self, turn: _Turn, *, unused: int) -> None:
        """Give back the slots that nothing was claimed for; if there are none, more may be due."""
        with self._condition:
            queue = self._queue(turn.quota.store.id)
            if not unused:
                queue.may_be_due = True
            elif queue.slot_of is not None and not queue.may_be_due:
                queue.slot_of = None
                unused += 1
        for _ in range(unused):
            self._context.rate_limiter.release(turn.account)

    def _end_turns(self) -> None:
        with self._condition:
            self._is_dispatching = False
            for store_id in list(self._queues):
                self._drop_if_done(store_id)

    def _drop_if_done(self, store_id: int) -> None:
        queue = self._queue(store_id)
        if not (queue.threads or queue.may_be_due or queue.slot_of):
            del self._queues[store_id]

    def _queue(self, store_id: int) -> _Queue:
        return self._queues.setdefault(store_id, _Queue())

    def _hand(self, claimed: Claimed) -> None:
        """Have an idle thread send a request. It is idle again when the outcome is recorded."""
        self._occupy(claimed.store.id)
        self._senders.submit(self._send, claimed)

    def _send(self, claimed: Claimed) -> None:
        store_id = claimed.store.id
        try:
            completed = send(self._context, claimed)
        except Exception:  # its lease ends, and then it is `held`
            log.exception("a request has failed in an unforeseen way", issuance=claimed.attempt.issuance_id)
            self._become_idle(store_id)
        else:
            self._completer.put(completed, then=partial(self._become_idle, store_id))

    def _hand_aside(self, store_id: int, work: Callable[[], object]) -> None:
        """Have an idle thread do what has to be done for a store before it may send."""
        self._occupy(store_id)
        self._senders.submit(self._do, store_id, work)

    def _do(self, store_id: int, work: Callable[[], object]) -> None:
        try:
            work()
        except LedgerUnavailableError as error:
            log.warning("ledger unavailable; the sweep tries again", store=store_id, error=str(error))
        except Exception:
            log.exception("failed; the sweep tries again", store=store_id)
        finally:
            self._become_idle(store_id)

    def _occupy(self, store_id: int) -> None:
        with self._condition:
            self._idle -= 1
            self._queue(store_id).threads += 1

    def _become_idle(self, store_id: int) -> None:
        with self._condition:
            self._idle += 1
            self._queue(store_id).threads -= 1
            if not self._is_dispatching:  # which drops it at its end
                self._drop_if_done(store_id)
            self._condition.notify()

    def _refresh_config(self, store_id: int) -> None:
        refresh_config(self._context, store_id)
        self._context.forget(store_id)
        self.wake([store_id])

    def _probe(self, store: Store) -> None:
        """Send one order of a paused store, if its config can be fetched. No account at rest is probed."""
        context = self._context
        account = context.account(store).name
        if not context.rate_limiter.wait(account, within=SLOT_WITHIN):
            return
        is_half_open = probe(context, store)
        claims = claim(context, [Quota(store, 1, is_probe=True)]) if is_half_open else []
        for claimed in claims:
            self._occupy(store.id)
            self._send(claimed)  # in this thread: no other takes anything more in a process that stops
        if not claims:
            context.rate_limiter.release(account)
        if is_half_open and not claims:
            with context.ledger.write() as connection:
                store_pauses.leave_probe(connection, store.id, context.now())
