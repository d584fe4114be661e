"""The stations that an order passes, how much of each it takes, and what is left of them for the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.scaling.parameters import Parameters

RECEIVER, WORKER, THREADS, REDIS = "receiver", "worker", "worker threads", "Redis"
POSTGRESQL, HOST, ACCOUNT = "PostgreSQL", "host", "account"


@dataclass(frozen=True, slots=True)
class Plant:
    """What runs: receivers on two cores each, worker processes, and cores for PostgreSQL.

    On `one_host`, all of it shares so many cores, and PostgreSQL has none of its own.
    """

    receivers: int
    workers: int
    postgresql_cores: int = 0
    one_host: int = 0

    @property
    def processes(self) -> int:
        """Of Python: each receiver is gunicorn and its two."""
        return 3 * self.receivers + self.workers


@dataclass(frozen=True, slots=True)
class Station:
    """`size` is what it can give in a second, in any unit; all else is what is taken of it, in the same.

    `constant` is taken in each second whatever comes; so is what the deliveries of that second take. What is
    then left is the workers', for orders that may wait.
    """

    name: str
    size: float
    constant: float = 0.0
    of_delivery: float = 0.0
    of_order: float = 0.0

    def utilisation(self, orders: float, deliveries: float) -> float:
        """The share taken of it at so many a second; above 1, more comes than it can take."""
        return (self.constant + deliveries * self.of_delivery + orders * self.of_order) / self.size

    def left(self, deliveries: float) -> float:
        """Orders a second that workers can bring through it beside so many deliveries."""
        if not self.of_order:
            return float("inf")
        return max(0.0, self.size - self.constant - deliveries * self.of_delivery) / self.of_order


def refreshes(parameters: Parameters, stores: int) -> float:
    """Store configs fetched in a second, as many as sweeps ask for."""
    return min(
        stores / parameters.refresh_interval, parameters.refreshes_per_sweep / parameters.sweep_interval
    )


def sweeps(parameters: Parameters, stores: int) -> float:
    """Sweeps in a second: those at intervals, and those that follow a config."""
    return 1 / parameters.sweep_interval + parameters.sweeps_per_refresh * refreshes(parameters, stores)


def sweep_cpu(parameters: Parameters, stores: int) -> float:
    """Milliseconds that one sweep takes of PostgreSQL."""
    return parameters.sweep_postgresql_cpu + parameters.sweep_postgresql_cpu_of_1000_stores * stores / 1000


def stations(parameters: Parameters, plant: Plant, stores: int) -> Sequence[Station]:
    """All but the accounts. Times are in milliseconds, and an order's work is that of its rows.

    The benchmark's order is one row and one document; a shop's has more rows, and each is charged as a whole
    order of the benchmark. A fetched config is charged as one, too.
    """
    p = parameters
    fetched, swept = refreshes(p, stores), sweeps(p, stores)
    worker = p.worker_cpu * fetched + p.sweep_worker_cpu * swept
    postgresql = p.postgresql_cpu * fetched + sweep_cpu(p, stores) * swept
    redis = p.redis_cpu * fetched
    found = [
        Station(RECEIVER, plant.receivers * p.acknowledgements_postgresql, of_delivery=1.0),
        Station(
            WORKER,
            plant.workers * 1000,
            constant=worker,
            of_order=p.rows_per_order * 1000 / p.worker_orders,
        ),
        Station(
            THREADS,
            plant.workers * p.worker_threads * 1000,
            constant=fetched * p.api_latency,
            of_order=p.documents_per_order * p.api_latency,
        ),
        Station(REDIS, 1000, constant=redis, of_order=p.rows_per_order * p.redis_cpu),
    ]
    if plant.one_host:
        cpu = p.worker_cpu + p.postgresql_cpu + p.redis_cpu
        of_delivery = p.receiver_cpu + p.postgresql_cpu_of_delivery
        constant = worker + postgresql + redis
        size = plant.one_host * 1000
        return [*found, Station(HOST, size, constant, of_delivery, p.rows_per_order * cpu)]
    size = plant.postgresql_cores * 1000
    of_order = p.rows_per_order * p.postgresql_cpu
    return [*found, Station(POSTGRESQL, size, postgresql, p.postgresql_cpu_of_delivery, of_order)]
