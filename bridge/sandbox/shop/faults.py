"""Faults on purpose: what comes between a client and the shop, and what goes wrong within the shop."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from random import Random, SystemRandom
from typing import Any

ANSWERS = ("busy", "maintenance", "firewall-403", "firewall-200", "redirect", "flood", "error")


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong; by default, nothing.

    `latency`: seconds before each answer. `answer`: one of ANSWERS in place of the shop's own:
    429 with `retry_after` (seconds; no header if None), 503 as WordPress in maintenance, HTML of a firewall
    with 403 or 200, 302 to `location`, 12 MB of HTML, or 500 with WordPress' critical error. It is given to
    requests whose address contains `where` (all if empty), to a `share` of them, and `times` times (None:
    always). `slow_above` and `slow_for`: a listing of more than this many per page takes this many seconds.
    `drift`: how many orders are saved after each page of orders. `ignores`: parameters that the shop does not
    know, as an older one. `swallows`: something answers deliveries with 200 that never arrive. `is_cut_off`:
    deliveries find nobody, as when their receiver is away. `has_cron`:
    whether what is queued is sent. `drops_authorization`: the web server keeps the header from PHP.
    `lost_rights`: the user of the webhooks may not read orders any more.
    """

    latency: float = 0
    answer: str | None = None
    where: str = ""
    share: float = 1
    times: int | None = None
    retry_after: int | None = 1
    location: str = "https://elsewhere.example/"
    slow_above: int | None = None
    slow_for: float = 0
    drift: int = 0
    ignores: tuple[str, ...] = ()
    swallows: bool = False
    is_cut_off: bool = False
    has_cron: bool = True
    drops_authorization: bool = False
    lost_rights: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for an answer that is none of ANSWERS."""
        if self.answer is not None and self.answer not in ANSWERS:
            raise ValueError(f"there is no fault {self.answer!r}: give one of {', '.join(ANSWERS)}")


class FaultPlan:
    """The faults of now, which change while it runs. Thread-safe."""

    def __init__(self, faults: Faults, random: Random | None = None) -> None:
        self._lock = threading.Lock()
        self._random = random or SystemRandom()
        self.now = faults

    def change(self, changes: Mapping[str, Any]) -> Faults:
        """Change some faults; raises ValueError for a name or an answer that there is none of."""
        unknown = set(changes) - {field.name for field in fields(Faults)}
        if unknown:
            raise ValueError(f"there is no fault {', '.join(sorted(unknown))}")
        if "ignores" in changes:
            changes = {**changes, "ignores": tuple(changes["ignores"])}
        with self._lock:
            self.now = replace(self.now, **changes)
            return self.now

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self.now = Faults()

    def pick(self, address: str) -> str | None:
        """The answer that a request to this address gets in place of the shop's, and counts it."""
        with self._lock:
            now = self.now
            if now.answer is None or now.times == 0 or now.where not in address:
                return None
            if self._random.random() >= now.share:
                return None
            if now.times is not None:
                self.now = replace(now, times=now.times - 1)
            return now.answer

    def as_dict(self) -> dict[str, Any]:
        """The faults as JSON."""
        return asdict(self.now)
