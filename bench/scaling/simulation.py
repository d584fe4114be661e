"""A day of orders through the bridge, second by second, as a fluid: who waits, where, and for how long.

The receiver keeps nobody waiting: what it cannot take in its second, a shop counts as failed. Behind it,
orders wait for the workers, first come first served, and after that each for its own account's next moment.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from math import ceil, inf

from bench.scaling.parameters import Parameters
from bench.scaling.shops import DAY, accounts, black_friday, ordinary_day
from bench.scaling.stations import ACCOUNT, RECEIVER, Plant, Station, stations

DROP = 1e-9  # of an order: what is left of one by rounding

Portion = tuple[int, float]
"""Orders that came in one second: the second, and how many."""


class Queue:
    """First come, first served."""

    def __init__(self) -> None:
        self._portions: deque[Portion] = deque()
        self.size = 0.0

    def step(self, came: Sequence[Portion], most: float) -> Sequence[Portion]:
        """One second: what comes, and up to so many that go, with the seconds at which they had come."""
        arriving = came[0][1] if len(came) == 1 else sum(amount for _, amount in came)
        if not self._portions and arriving <= most:
            return came
        self._portions.extend(came)
        gone: list[Portion] = []
        while self._portions and most > DROP:
            second, amount = self._portions.popleft()
            taken = min(amount, most)
            most -= taken
            gone.append((second, taken))
            if amount - taken > DROP:
                self._portions.appendleft((second, amount - taken))
        self.size = self.size + arriving - sum(taken for _, taken in gone) if self._portions else 0.0
        return gone


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many shops, on an ordinary day or a Black Friday, with so many of them in each account."""

    shops: int
    plant: Plant
    is_black_friday: bool = False
    shops_per_account: int = 1

    def arrivals(self, parameters: Parameters) -> Sequence[float]:
        """Orders that come in each second of the day."""
        day = black_friday if self.is_black_friday else ordinary_day
        return day(parameters, self.shops)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a scenario. Times in seconds, rates a second, utilisations in the busiest second."""

    came: float
    issued: float
    left: float  # that still waited when the simulation ended, a day after the day
    busiest: float  # orders a second
    utilisation: Mapping[str, float]  # of each station, and of the busiest account
    p50: float
    p99: float
    backlog: float  # orders, at its highest
    gone_after: float  # how long there was one, without a break

    @property
    def bottleneck(self) -> str:
        """The station that is nearest to its end, or furthest beyond it."""
        return max(self.utilisation, key=lambda name: self.utilisation[name])


def simulate(parameters: Parameters, scenario: Scenario) -> Found:
    """Let the day pass, and as much of an ordinary one after it as it takes for what is left."""
    arrivals = scenario.arrivals(parameters)
    all_stations = stations(parameters, scenario.plant, scenario.shops)
    through = pass_workers(parameters, scenario, all_stations, arrivals)
    backlog = list(through.backlog)
    waits = Waits()
    each = accounts(parameters, scenario.shops, scenario.shops_per_account)
    rate = account_rate(parameters, scenario.shops_per_account)
    amounts = [sum(amount for _, amount in portions) for portions in through.gone]
    for second, portions in enumerate(through.gone):
        waits.add(second, portions)
    fastest = max(amounts)
    for share in takewhile(lambda share: share * fastest > rate, each):  # in no smaller one does any wait
        crowded = [second for second, amount in enumerate(amounts) if share * amount > rate]
        pass_account(through.gone, crowded, share, rate, backlog, waits)
    busiest = max(arrivals)
    used = each[0] * busiest * parameters.documents_per_order
    own = scenario.shops_per_account / parameters.refresh_interval
    base = (parameters.delivery_to_worker + parameters.api_latency) / 1000
    return Found(
        came=sum(through.came),
        issued=waits.issued,
        left=backlog[-1],
        busiest=busiest,
        utilisation={
            **{
                one.name: one.utilisation(busiest, busiest * parameters.deliveries_per_order)
                for one in all_stations
            },
            ACCOUNT: (used + own) / parameters.account_rate,
        },
        p50=base + waits.quantile(0.5, of=sum(arrivals)),
        p99=base + waits.quantile(0.99, of=sum(arrivals)),
        backlog=max(backlog),
        gone_after=_longest(backlog),
    )


@dataclass(frozen=True, slots=True)
class Through:
    """What came to the workers in each second, what they let through, and how much then waited for them."""

    came: Sequence[float]
    gone: Sequence[Sequence[Portion]]
    backlog: Sequence[float]


def pass_workers(
    parameters: Parameters, scenario: Scenario, all_stations: Sequence[Station], arrivals: Sequence[float]
) -> Through:
    """All orders through the stations that the workers' tasks pass, as fast as the narrowest allows."""
    queue = Queue()
    came, gone, backlog = [], [], []
    most: dict[float, float] = {}
    for second, amount in enumerate(chain(arrivals, ordinary_day(parameters, scenario.shops))):
        if second >= DAY and queue.size < 1:
            break
        if amount not in most:
            deliveries = amount * parameters.deliveries_per_order
            most[amount] = min(one.left(deliveries) for one in all_stations if one.name != RECEIVER)
        came.append(amount)
        gone.append(queue.step([(second, amount)], most[amount]))
        backlog.append(queue.size)
    return Through(came, gone, backlog)


def pass_account(
    through: Sequence[Sequence[Portion]],
    crowded: Sequence[int],
    share: float,
    rate: float,
    backlog: list[float],
    waits: Waits,
) -> None:
    """An account's share of what the workers let through, at its own rate; corrects backlog and waits.

    In the `crowded` seconds more comes than the account takes: only from these on does anything wait.
    """
    queue = Queue()
    second = 0
    for start in crowded:
        second = max(second, start)
        while second == start or (queue.size and second < len(through) + DAY):
            portions = through[second] if second < len(through) else []
            waits.add(second, portions, -share)
            waits.add(second, queue.step([(came, amount * share) for came, amount in portions], rate))
            if second == len(backlog):
                backlog.append(0.0)
            backlog[second] += queue.size
            second += 1


def account_rate(parameters: Parameters, shops: int) -> float:
    """Orders a second whose documents an account takes, beside the configs of so many shops."""
    left = parameters.account_rate - shops / parameters.refresh_interval
    return max(0.0, left) / parameters.documents_per_order


def needed_receivers(parameters: Parameters, scenario: Scenario) -> int:
    """Two-core hosts that have some room left in the busiest second."""
    busiest = max(scenario.arrivals(parameters)) * parameters.deliveries_per_order
    return ceil(busiest / (parameters.headroom * parameters.acknowledgements_postgresql))


def needed_workers(parameters: Parameters, scenario: Scenario, most: int = 256) -> int | None:
    """Processes with which 99 of 100 orders wait no longer for a worker than the bound; None: no number."""
    if not _is_enough(parameters, scenario, most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_enough(parameters, scenario, middle) else (middle, high)
    return high


def _is_enough(parameters: Parameters, scenario: Scenario, workers: int) -> bool:
    arrivals = scenario.arrivals(parameters)
    plant = replace(scenario.plant, workers=workers)
    all_stations = stations(parameters, plant, scenario.shops)
    deliveries = max(arrivals) * parameters.deliveries_per_order
    if all(one.left(deliveries) >= max(arrivals) for one in all_stations if one.name != RECEIVER):
        return True  # nobody waits
    through = pass_workers(parameters, scenario, all_stations, arrivals)
    waits = Waits()
    for second, portions in enumerate(through.gone):
        waits.add(second, portions)
    return waits.quantile(0.99, of=sum(arrivals)) <= parameters.bound


class Waits:
    """How many orders were issued, and of those of the first day, how many waited how long."""

    def __init__(self) -> None:
        self._amounts: defaultdict[int, float] = defaultdict(float)
        self.issued = 0.0

    def add(self, second: int, portions: Sequence[Portion], share: float = 1.0) -> None:
        """This share of these is issued at this second."""
        for came, amount in portions:
            self.issued += amount * share
            if came < DAY:
                self._amounts[second - came] += amount * share

    def quantile(self, share: float, *, of: float) -> float:
        """Seconds that this share of so many orders waited at most; infinite if fewer were issued."""
        wanted = share * of
        for seconds in sorted(self._amounts):
            wanted -= self._amounts[seconds]
            if wanted <= 0:
                return seconds
        return inf


def _longest(backlog: Sequence[float]) -> float:
    """Seconds of the longest time in which at least one order waited; infinite if one does at the end."""
    longest = run = 0
    for waiting in backlog:
        run = run + 1 if waiting >= 1 else 0
        longest = max(longest, run)
    return inf if run else longest
