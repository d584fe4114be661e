"""The figures that the simulation works with, from `parameters.json`, each with where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("parameters.json")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What `parameters.json` says; there is what each means, its unit, and how it was found.

    An "order of the benchmark" is one delivery and one document.
    """

    acknowledgements_postgresql: float
    acknowledgements_sqlite: float
    receiver_cpu: float
    postgresql_cpu_of_delivery: float
    worker_orders: float
    worker_cpu: float
    postgresql_cpu: float
    redis_cpu: float
    worker_threads: float
    delivery_to_worker: float
    memory: float
    account_rate: float
    account_limit: float
    deliveries_per_order: float
    rows_per_order: float
    documents_per_order: float
    messages_per_order: float
    body_bytes: float
    delivery_bytes_postgresql: float
    delivery_bytes_sqlite: float
    order_bytes_postgresql: float
    order_bytes_sqlite: float
    document_bytes_postgresql: float
    document_bytes_sqlite: float
    commits_per_delivery: float
    commits_per_row: float
    commits_per_document: float
    commits_per_refresh: float
    sweep_interval: float
    sweep_worker_cpu: float
    sweep_postgresql_cpu: float
    sweep_postgresql_cpu_of_1000_stores: float
    sweeps_per_refresh: float
    refresh_interval: float
    refreshes_per_sweep: float
    api_latency: float
    orders_per_shop: float
    peak_hour: float
    black_friday: float
    burst_share: float
    burst_seconds: float
    pareto: float
    largest_shop: float
    seed: float
    headroom: float
    bound: float


def entries() -> Mapping[str, Mapping[str, Any]]:
    """Each parameter by its name: `value`, `unit`, `what`, `status` and `source`."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def load() -> Parameters:
    """The parameters' values; raises TypeError if one is missing, or is not one."""
    return Parameters(**{name: float(entry["value"]) for name, entry in entries().items()})
