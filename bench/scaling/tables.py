"""The tables of docs/scaling.md, as the simulation finds them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from bench.scaling.parameters import Parameters, entries
from bench.scaling.shops import DAY, black_friday, curve
from bench.scaling.simulation import Found, Scenario, needed_receivers, needed_workers, simulate
from bench.scaling.stations import (
    ACCOUNT,
    HOST,
    POSTGRESQL,
    RECEIVER,
    REDIS,
    THREADS,
    WORKER,
    Plant,
    refreshes,
    stations,
    sweep_cpu,
    sweeps,
)

SMALL = Plant(1, 1, one_host=2)
CELL = Plant(1, 3, postgresql_cores=2)
LARGE = Plant(8, 30, postgresql_cores=40)
SETUPS: Mapping[int, tuple[str, Plant]] = {
    10: ("one host, 2 cores", SMALL),
    1_000: ("the same", SMALL),
    5_000: ("a cell: 1 receiver, 3 workers, PostgreSQL on 2 cores", CELL),
    100_000: ("8 receivers, 30 workers, PostgreSQL on 40 cores", LARGE),
}
ACCOUNTS = (100, 500, 750, 1_000, 2_000)  # shops in one
SWEPT = (1_000, 5_000, 10_000, 20_000, 50_000)  # shops

Row = Sequence[str]


def tables(parameters: Parameters) -> Mapping[str, str]:
    """Each table of the document by its name, as Markdown."""
    return {
        "one of each": _one_of_each(parameters),
        "scenarios": _scenarios(parameters),
        "accounts": _accounts(parameters),
        "ledger": _ledger(parameters),
        "sweeps": _sweeps(parameters),
        "parameters": _parameters(),
    }


def replaced(document: str, found: Mapping[str, str]) -> str:
    """The document with these tables in it, each between `<!-- table: name -->` and `<!-- end -->`.

    Raises KeyError for a table that the document names and that is not among them.
    """

    def table(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n\n{found[match[1]]}\n\n<!-- end -->"

    return re.sub(r"<!-- table: ([a-z ]+) -->\n.*?<!-- end -->", table, document, flags=re.DOTALL)


def _one_of_each(p: Parameters) -> str:
    hour = max(curve(p)) / DAY * p.orders_per_shop
    loads = (hour, hour * p.black_friday * (1 - p.burst_share), max(black_friday(p, 1)))
    on_sqlite = replace(p, acknowledgements_postgresql=p.acknowledgements_sqlite)
    one = Plant(1, 1, postgresql_cores=1)
    ones: Sequence[tuple[str, Parameters, str, Plant]] = (
        ("receiver on two cores, PostgreSQL", p, RECEIVER, one),
        ("receiver on two cores, SQLite", on_sqlite, RECEIVER, one),
        ("worker process: its threads", p, THREADS, one),
        ("worker process: its core", p, WORKER, one),
        ("core of PostgreSQL", p, POSTGRESQL, one),
        ("Redis", p, REDIS, one),
        ("host of two cores with all of it", p, HOST, SMALL),
    )
    rows = [
        [what, _figure(_orders(of, plant, name)), *(_shops(of, plant, name, load) for load in loads)]
        for what, of, name, plant in ones
    ]
    for what, rate in (("account", p.account_rate), ("account, at its limit", p.account_limit)):
        most, own = p.headroom * rate, p.documents_per_order
        rows.append(
            [
                f"{what} of {rate:.0f} requests/s",
                _figure(most / own),
                *(_figure(most / (load * own + 1 / p.refresh_interval)) for load in loads),
            ]
        )
    header = ("one", "orders/s", "shops, busiest hour", "Black Friday's busiest hour", "its midnight")
    return _table(header, rows)


def _orders(p: Parameters, plant: Plant, name: str) -> float:
    """Orders a second that use up what is planned with of a station that has nothing else to do."""
    one = next(one for one in stations(p, plant, 0) if one.name == name)
    return (p.headroom * one.size - one.constant) / (one.of_order + p.deliveries_per_order * one.of_delivery)


def _shops(p: Parameters, plant: Plant, name: str, load: float) -> str:
    """Shops of so many orders a second each that do, with their configs and sweeps."""

    def fits(shops: int) -> bool:
        one = next(one for one in stations(p, plant, shops) if one.name == name)
        return one.utilisation(shops * load, shops * load * p.deliveries_per_order) <= p.headroom

    low, high = 0, 1
    while fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return _figure(low)


def _scenarios(p: Parameters) -> str:
    rows = []
    for shops, (runs, plant) in SETUPS.items():
        for is_black_friday in (False, True):
            scenario = Scenario(shops, plant, is_black_friday)
            found = simulate(p, scenario)
            workers = needed_workers(p, scenario)
            rows.append(
                [
                    f"{shops:,}" if not is_black_friday else "Black Friday",
                    runs if not is_black_friday else "",
                    _figure(found.busiest),
                    *(_share(found.utilisation.get(name)) for name in (RECEIVER, THREADS)),
                    _share(found.utilisation.get(POSTGRESQL, found.utilisation.get(HOST))),
                    *(_share(found.utilisation[name]) for name in (REDIS, ACCOUNT)),
                    found.bottleneck,
                    *_waiting(found),
                    f"{needed_receivers(p, scenario)}, {'-' if workers is None else workers}",
                ]
            )
    return _table(
        (
            *("shops", "what runs", "orders/s", "receivers", "workers", "PostgreSQL or host", "Redis"),
            *("account", "next bottleneck", "p50, p99", "backlog", "gone after", "needed"),
        ),
        rows,
    )


def _accounts(p: Parameters) -> str:
    rows = []
    for shops in ACCOUNTS:
        found = simulate(p, Scenario(shops, Plant(4, 16, 16), is_black_friday=True, shops_per_account=shops))
        rows.append([f"{shops:,}", _share(found.utilisation[ACCOUNT]), *_waiting(found)])
    return _table(
        ("shops in one account", "its rate, at midnight", "p50, p99", "backlog", "gone after"), rows
    )


def _ledger(p: Parameters) -> str:
    per_order = {
        "PostgreSQL": (p.delivery_bytes_postgresql, p.order_bytes_postgresql, p.document_bytes_postgresql),
        "SQLite": (p.delivery_bytes_sqlite, p.order_bytes_sqlite, p.document_bytes_sqlite),
    }
    rows = []
    for shops, (_, plant) in SETUPS.items():
        month = shops * p.orders_per_shop * 30
        sizes = [
            month * (p.rows_per_order * delivery + order + p.documents_per_order * document)
            for delivery, order, document in per_order.values()
        ]
        bodies = month * p.rows_per_order * p.body_bytes
        busiest = [max(Scenario(shops, plant, day).arrivals(p)) for day in (False, True)]
        commits = (
            p.deliveries_per_order * p.commits_per_delivery
            + p.rows_per_order * p.commits_per_row
            + p.documents_per_order * p.commits_per_document
        )
        fixed = refreshes(p, shops) * p.commits_per_refresh
        rows.append(
            [
                f"{shops:,}",
                _figure(month),
                *(_size(size) for size in sizes),
                _size(12 * (sizes[0] - bodies) + 3 * bodies),
                ", ".join(_figure(rate * p.messages_per_order + refreshes(p, shops)) for rate in busiest),
                ", ".join(_figure(rate * commits + fixed) for rate in busiest),
                f"{p.memory * plant.processes / 1000:.1f} GB",
            ]
        )
    header = (
        *("shops", "orders a month", "PostgreSQL grows by", "SQLite by", "PostgreSQL after a year"),
        *("messages/s", "commits/s", "memory"),
    )
    return _table(header, rows)


def _sweeps(p: Parameters) -> str:
    rows = []
    for shops in SWEPT:
        fetched, swept, cost = refreshes(p, shops), sweeps(p, shops), sweep_cpu(p, shops)
        rows.append(
            [
                f"{shops:,}",
                _figure(fetched),
                _figure(swept),
                f"{cost:.0f} ms",
                _figure(swept * cost / 1000),
                f"{shops / fetched:.0f} s",
            ]
        )
    header = (
        *("shops", "configs/s", "sweeps/s", "PostgreSQL for one", "cores that sweeps take"),
        "a store's config is fetched every",
    )
    return _table(header, rows)


def _parameters() -> str:
    rows = [
        [entry["what"], f"{entry['value']:,} {entry['unit']}".rstrip(), entry["status"], entry["source"]]
        for entry in entries().values()
    ]
    return _table(("what", "value", "", "from"), rows)


def _waiting(found: Found) -> Row:
    backlog = _figure(found.backlog) if found.backlog >= 1 else "none"
    gone = "never" if found.gone_after == inf else f"{found.gone_after:,.0f} s" if found.gone_after else ""
    return [f"{_seconds(found.p50)}, {_seconds(found.p99)}", backlog, gone]


def _table(header: Sequence[str], rows: Sequence[Row]) -> str:
    def line_under(column: int) -> str:
        is_number = column and all(re.match(r"[\d.,]+", row[column]) for row in rows)
        return "---:" if is_number else "---"

    lines = [header, [line_under(column) for column in range(len(header))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(value: float | None) -> str:
    if value is None:
        return ""
    return "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def _seconds(value: float) -> str:
    return "never" if value == inf else f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"


def _figure(value: float) -> str:
    """With two digits that count."""
    if value < 10:
        return f"{value:.1f}" if value >= 1 else f"{value:.2g}"
    digits = 10 ** (len(str(int(value))) - 2)
    return f"{round(value / digits) * digits:,}"


def _size(value: float) -> str:
    digits, units = value / 1000, ["kB", "MB", "GB", "TB"]
    while digits >= 1000 and len(units) > 1:
        digits /= 1000
        units.pop(0)
    return f"{digits:.0f} {units[0]}" if digits >= 10 else f"{digits:.1f} {units[0]}"
