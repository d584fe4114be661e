"""How many orders come when: shops of very different sizes, a day's curve, and a Black Friday."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random

from bench.scaling.parameters import Parameters

HOUR, DAY = 3600, 86_400  # seconds

# Of a shop's mean rate, hour by hour: quiet at night, busiest after dinner. Their mean is 1. The busiest is
# scaled to `peak_hour`, and the others with it.
_HOURS = (
    *(0.5, 0.2, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.1, 1.2),
    *(1.2, 1.1, 1.0, 1.0, 1.1, 1.3, 1.8, 2.5, 3.0, 2.2, 1.2, 0.5),
)


def curve(parameters: Parameters) -> Sequence[float]:
    """The rate in each hour, as a multiple of the day's mean; the busiest hour is `peak_hour`."""
    steepness = (parameters.peak_hour - 1) / (max(_HOURS) - 1)
    return [max(0.0, 1 + (hour - 1) * steepness) for hour in _HOURS]


@lru_cache(8)
def ordinary_day(parameters: Parameters, shops: int) -> Sequence[float]:
    """Orders that come in each second of a day, from midnight on."""
    mean = shops * parameters.orders_per_shop / DAY
    hours = curve(parameters)
    return tuple(mean * rate for rate in hours for _ in range(HOUR))


@lru_cache(8)
def black_friday(parameters: Parameters, shops: int) -> Sequence[float]:
    """The same for a day of many times the orders, of which a part comes in a burst just after midnight."""
    burst = int(parameters.burst_seconds)
    times, share = parameters.black_friday, parameters.burst_share
    at_midnight = shops * parameters.orders_per_shop * times * share / burst
    rest = (times * (1 - share) * rate for rate in ordinary_day(parameters, shops))
    return tuple(rate + at_midnight * (second < burst) for second, rate in enumerate(rest))


def shares(parameters: Parameters, shops: int) -> Sequence[float]:
    """Each shop's share in all orders: of a Pareto distribution, whose largest values are cut off."""
    dice = Random(int(parameters.seed))  # noqa: S311 - the same shops each time
    sizes = [
        min(dice.paretovariate(parameters.pareto), parameters.largest_shop / parameters.orders_per_shop)
        for _ in range(shops)
    ]
    whole = sum(sizes)
    return [size / whole for size in sizes]


def accounts(parameters: Parameters, shops: int, per_account: int) -> Sequence[float]:
    """Each account's share in all orders, where so many shops have one together; the largest first."""
    each = shares(parameters, shops)
    return sorted(
        (sum(each[first : first + per_account]) for first in range(0, shops, per_account)), reverse=True
    )
