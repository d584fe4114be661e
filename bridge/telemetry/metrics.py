"""Metrics, read from the ledger when they are asked for: right however many processes there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.ledger import Ledger, backlog


def render(ledger: Ledger, now: datetime) -> bytes:
    """The metrics in Prometheus' text format; raises LedgerUnavailableError."""
    with ledger.read() as connection:
        found = backlog.measure(connection, now)
    registry = CollectorRegistry()
    registry.register(_Backlog(found))
    return generate_latest(registry)


class _Backlog(Collector):
    def __init__(self, found: backlog.Backlog) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "spacebridge_deliveries_unprocessed",
            "Deliveries that were acknowledged and are not processed yet.",
            self._found.unprocessed,
        )
        yield GaugeMetricFamily(
            "spacebridge_oldest_unprocessed_seconds",
            "Age of the oldest delivery that is not processed yet.",
            self._found.oldest_unprocessed_seconds,
        )
        issuances = GaugeMetricFamily(
            "spacebridge_issuances_open",
            "Issuances that are not settled, or wait for an operator, by state.",
            labels=["state"],
        )
        for state, count in self._found.open_issuances.items():
            issuances.add_metric([state], count)
        yield issuances
        yield GaugeMetricFamily(
            "spacebridge_oldest_due_seconds",
            "How long the issuance that is due longest has been due.",
            self._found.oldest_due_seconds,
        )
        yield GaugeMetricFamily(
            "spacebridge_stores_paused", "Stores that are not forwarded.", self._found.stores_paused
        )
