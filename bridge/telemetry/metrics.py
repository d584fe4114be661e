"""Metrics: what the processes have counted, and what ledger and broker say when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bridge import __version__
from bridge.ledger.backlog import Backlog
from bridge.telemetry import counts, shared
from bridge.telemetry.question import Question

# Under the ten seconds after which Prometheus gives up.
LEDGER_WITHIN, BROKER_WITHIN = 5.0, 1.0


def render(backlog: Question[Backlog], queue: Question[int]) -> bytes:
    """All that there is to tell, in Prometheus' text format.

    What the ledger (`backlog`) or the broker (`queue`: its messages) does not say in time is left out.
    """
    registry = counted()
    registry.register(_Broker(queue.answer(within=BROKER_WITHIN)))
    registry.register(_Ledger(backlog.answer(within=LEDGER_WITHIN)))
    return generate_latest(registry)


def counted() -> CollectorRegistry:
    """What this process has counted, and those that it shares a folder with."""
    registry = CollectorRegistry()
    registry.register(_Info())
    folder = shared.folder()
    if folder is None:
        registry.register(counts.REGISTRY)
    else:
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry


class _Info(Collector):
    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("spacebridge_info", "Which version runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info


class _Broker(Collector):
    def __init__(self, messages: int | None) -> None:
        self._messages = messages

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "spacebridge_broker_up", "Whether the broker takes messages.", int(self._messages is not None)
        )
        if self._messages is not None:
            yield GaugeMetricFamily(
                "spacebridge_queue_messages", "Messages that no worker has taken yet.", self._messages
            )


class _Ledger(Collector):
    def __init__(self, found: Backlog | None) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "spacebridge_ledger_up", "Whether the ledger can be read.", int(self._found is not None)
        )
        if self._found is not None:
            yield from _of_backlog(self._found)


def _of_backlog(found: Backlog) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "spacebridge_deliveries_unprocessed",
        "Deliveries that were acknowledged and are not processed yet.",
        found.unprocessed,
    )
    yield GaugeMetricFamily(
        "spacebridge_oldest_unprocessed_seconds",
        "Age of the oldest delivery that is not processed yet.",
        found.oldest_unprocessed_seconds,
    )
    yield GaugeMetricFamily(
        "spacebridge_deliveries_failed",
        "Deliveries that could not be processed, and wait for an operator.",
        found.failed_deliveries,
    )
    issuances = GaugeMetricFamily(
        "spacebridge_issuances_open",
        "Issuances that are not settled, or wait for an operator, by state.",
        labels=["state"],
    )
    for state, number in found.open_issuances.items():
        issuances.add_metric([state], number)
    yield issuances
    yield GaugeMetricFamily(
        "spacebridge_oldest_due_seconds",
        "How long the issuance that is due longest has been due.",
        found.oldest_due_seconds,
    )
    yield GaugeMetricFamily(
        "spacebridge_stores_paused", "Stores that are not forwarded.", found.stores_paused
    )
    yield GaugeMetricFamily(
        "spacebridge_stores_without_config",
        "Stores whose config was never fetched, so that nothing of theirs is issued.",
        found.stores_without_config,
    )
