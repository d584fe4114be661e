"""The simulation behind docs/scaling.md, against what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.scaling.parameters import entries, load
from bench.scaling.shops import DAY, black_friday, curve, ordinary_day, shares
from bench.scaling.simulation import (
    Portion,
    Queue,
    Scenario,
    Waits,
    account_rate,
    needed_receivers,
    needed_workers,
    pass_account,
    pass_workers,
    simulate,
)
from bench.scaling.stations import ACCOUNT, RECEIVER, REDIS, THREADS, Plant, Station, stations
from bench.scaling.tables import replaced, tables
from tests import ROOT

DOCUMENT = ROOT / "docs" / "scaling.md"
P = load()
ROOMY = Plant(100, 100, postgresql_cores=100)


def test_an_account_of_50_a_second_takes_40_seconds_for_2000_orders() -> None:
    through, backlog, waits = [[(0, 2000.0)]], [0.0], Waits()
    waits.add(0, through[0])

    pass_account(through, [0], 1.0, 50.0, backlog, waits)

    assert len(backlog) == 40
    assert backlog[0] == 1950
    assert backlog[-1] == 0
    assert waits.quantile(0.5, of=2000) == 19
    assert waits.quantile(1.0, of=2000) == 39


def test_a_queue_serves_first_what_came_first() -> None:
    queue = Queue()

    assert queue.step([(0, 3.0)], 2.0) == [(0, 2.0)]
    assert queue.step([(1, 3.0)], 2.0) == [(0, 1.0), (1, 1.0)]
    assert queue.size == 2
    assert queue.step([], 5.0) == [(1, 2.0)]
    assert queue.size == 0


def test_what_fits_into_its_second_does_not_wait() -> None:
    came: list[Portion] = [(7, 2.0)]

    assert Queue().step(came, 2.0) == came


def test_utilisation_is_rate_times_service_time() -> None:
    station = Station("any", size=2000, constant=100, of_delivery=0.5, of_order=3)

    assert station.utilisation(orders=200, deliveries=600) == (100 + 0.5 * 600 + 3 * 200) / 2000
    assert station.left(deliveries=600) == (2000 - 100 - 0.5 * 600) / 3


def test_the_stations_of_a_scenario_are_used_as_their_parameters_say() -> None:
    scenario = Scenario(1_000, Plant(1, 2, postgresql_cores=2))

    found = simulate(P, scenario)

    orders = 1_000 * P.orders_per_shop * P.peak_hour / DAY
    fetched = 1_000 / P.refresh_interval
    assert found.busiest == pytest.approx(orders)
    assert found.utilisation[RECEIVER] == pytest.approx(
        orders * P.deliveries_per_order / P.acknowledgements_postgresql
    )
    assert found.utilisation[THREADS] == pytest.approx(
        (orders * P.documents_per_order + fetched) * P.api_latency / 1000 / (2 * P.worker_threads)
    )
    assert found.utilisation[REDIS] == pytest.approx(
        (orders * P.rows_per_order + fetched) * P.redis_cpu / 1000
    )


@pytest.mark.parametrize(
    ("scenario", "waits"),
    [
        # shops, plant, Black Friday, shops in an account
        (Scenario(1_000, ROOMY), False),
        (Scenario(1_000, ROOMY, True), False),
        (Scenario(2_000, ROOMY, True, 1_000), True),
        (Scenario(10_000, Plant(2, 1, postgresql_cores=8), True), True),
        (Scenario(10_000, Plant(2, 1, postgresql_cores=8), True, 2_500), True),
    ],
)
def test_no_order_is_lost_and_none_is_made(scenario: Scenario, waits: bool) -> None:
    found = simulate(P, scenario)

    assert found.issued + found.left == pytest.approx(found.came)
    assert found.came >= sum(scenario.arrivals(P)) * (1 - 1e-9)
    assert (found.backlog > 1) is waits


def test_what_workers_cannot_take_is_issued_later() -> None:
    """Half of what comes for 100 s goes at once, so that it takes 200 s, and the last waits for 100."""
    parameters = replace(P, documents_per_order=1, deliveries_per_order=1)
    scenario = Scenario(0, ROOMY)
    arrivals = [10.0] * 100 + [0.0] * (DAY - 100)

    through = pass_workers(parameters, scenario, [Station("any", size=5, of_order=1)], arrivals)

    assert max(through.backlog) == 500
    assert [second for second, waiting in enumerate(through.backlog) if waiting][-1] == 198
    assert through.gone[199] == [(99, 5.0)]


def test_a_day_has_its_orders_and_a_black_friday_ten_times_as_many() -> None:
    day, friday = ordinary_day(P, 100), black_friday(P, 100)

    assert sum(day) == pytest.approx(100 * P.orders_per_shop)
    assert sum(friday) == pytest.approx(sum(day) * P.black_friday)
    assert max(day) == pytest.approx(P.peak_hour * sum(day) / DAY)
    burst = sum(friday[: int(P.burst_seconds)])
    assert burst > P.burst_share * sum(friday)
    assert sum(curve(P)) == pytest.approx(24)


def test_shops_are_the_same_each_time_and_few_of_them_have_most_orders() -> None:
    each = sorted(shares(P, 10_000), reverse=True)

    assert each == sorted(shares(P, 10_000), reverse=True)
    assert sum(each) == pytest.approx(1)
    assert 0.5 < sum(each[:2_000]) < 0.85


def test_an_account_has_left_for_orders_what_the_configs_of_its_shops_leave() -> None:
    parameters = replace(P, account_rate=50, refresh_interval=100, documents_per_order=2)

    assert account_rate(parameters, 1_000) == (50 - 10) / 2
    assert account_rate(parameters, 10_000) == 0


def test_an_account_that_is_too_small_for_the_burst_makes_only_its_own_orders_wait() -> None:
    shared = simulate(P, Scenario(2_000, ROOMY, True, 2_000))
    alone = simulate(P, Scenario(2_000, ROOMY, True))

    assert shared.bottleneck == ACCOUNT
    assert shared.p99 > alone.p99
    assert alone.p99 == pytest.approx((P.delivery_to_worker + P.api_latency) / 1000)
    assert shared.gone_after > P.burst_seconds


def test_as_many_workers_as_are_said_to_be_needed_are_enough_and_one_less_is_not() -> None:
    scenario = Scenario(20_000, Plant(9, 1, postgresql_cores=100), True)
    parameters = replace(P, sweeps_per_refresh=0)

    needed = needed_workers(parameters, scenario)

    assert needed is not None
    assert needed > 1
    base = (P.delivery_to_worker + P.api_latency) / 1000
    enough, too_few = (
        simulate(parameters, replace(scenario, plant=replace(scenario.plant, workers=workers)))
        for workers in (needed, needed - 1)
    )
    assert enough.p99 <= P.bound + base < too_few.p99


def test_no_number_of_workers_is_enough_where_postgresql_is_not() -> None:
    slow = replace(P, postgresql_cpu=60.0)
    assert needed_workers(slow, Scenario(100_000, Plant(9, 1, postgresql_cores=1))) is None


def test_receivers_are_for_the_busiest_second_and_keep_some_room() -> None:
    parameters = replace(P, acknowledgements_postgresql=100, headroom=0.5, deliveries_per_order=2)
    scenario = Scenario(86_400, ROOMY)
    busiest = 86_400 * P.orders_per_shop * P.peak_hour / DAY

    assert needed_receivers(parameters, scenario) == -(-busiest * 2 // 50)


def test_a_sweep_follows_each_config_that_is_fetched() -> None:
    postgresql = stations(P, Plant(1, 1, postgresql_cores=1), 2_700)[-1]

    of_sweeps = (1 / P.sweep_interval + P.sweeps_per_refresh * 2_700 / P.refresh_interval) * (
        P.sweep_postgresql_cpu + P.sweep_postgresql_cpu_of_1000_stores * 2.7
    )
    assert postgresql.constant == pytest.approx(of_sweeps + P.postgresql_cpu * 2_700 / P.refresh_interval)


def test_the_document_shows_what_the_simulation_finds() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    found = tables(P)

    assert all(f"<!-- table: {name} -->" in document for name in found)
    assert replaced(document, found) == document, "type: python -m bench.scaling --into docs/scaling.md"


def test_every_parameter_says_where_it_comes_from() -> None:
    for name, entry in entries().items():
        assert entry.keys() == {"value", "unit", "what", "status", "source"}, name
        assert entry["status"] in {"measured", "provisional", "counted", "setting", "assumed"}, name
        assert entry["what"], name
        assert entry["source"], name
