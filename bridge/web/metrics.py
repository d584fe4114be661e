"""Metrics: what the processes have counted, and what the ledger and the broker hold at this moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bridge import __version__
from bridge.ledger.backlog import Backlog
from bridge.ledger.silence import Silence
from bridge.telemetry import counts, multiprocess
from bridge.telemetry.single_flight import SingleFlight

# Together under the ten seconds after which Prometheus gives up. Later silences are in the next scrape.
LEDGER_WITHIN, BROKER_WITHIN, SILENCES_WITHIN = 5.0, 1.0, 2.0

Silences = Mapping[str, Sequence[Silence]]  # by the stores' names


class _Gauges(Collector):
    """Gauges with the values that they have now."""

    def __init__(self, gauges: Iterable[Metric]) -> None:
        self._gauges = list(gauges)

    def collect(self) -> Iterable[Metric]:
        return self._gauges


def render(
    backlog: SingleFlight[Backlog], queue: SingleFlight[int], silences: SingleFlight[Silences], now: datetime
) -> bytes:
    """All metrics, in Prometheus' text format.

    Those of the ledger (`backlog`, `silences`) or of the broker (`queue`: its messages) are left out if it is
    too slow.
    """
    registry = counted()
    messages = queue.result(timeout=BROKER_WITHIN)
    measured = backlog.result(timeout=LEDGER_WITHIN)
    registry.register(_Gauges(_of_servers(messages, measured)))
    if measured is not None and (silent := silences.result(timeout=SILENCES_WITHIN)) is not None:
        registry.register(_Gauges([_of_silences(silent, now)]))
    return generate_latest(registry)


def counted() -> CollectorRegistry:
    """What this process has counted, and the processes that it shares a folder with."""
    registry = CollectorRegistry()
    registry.register(
        _Gauges([_by_label("spacebridge_info", "Which version runs.", "version", {__version__: 1})])
    )
    folder = multiprocess.folder()
    if folder is None:
        registry.register(counts.REGISTRY)
    else:
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry


def _of_servers(messages: int | None, backlog: Backlog | None) -> Iterator[Metric]:
    is_up = int(messages is not None)
    yield GaugeMetricFamily("spacebridge_broker_up", "Whether the broker takes messages.", is_up)
    if messages is not None:
        yield GaugeMetricFamily(
            "spacebridge_queue_messages", "Messages that no worker has taken yet.", messages
        )
    is_readable = int(backlog is not None)
    yield GaugeMetricFamily("spacebridge_ledger_up", "Whether the ledger can be read.", is_readable)
    if backlog is not None:
        yield from _of_backlog(backlog)


def _of_backlog(backlog: Backlog) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "spacebridge_deliveries_unprocessed",
        "Deliveries that were acknowledged and are not processed yet.",
        backlog.unprocessed,
    )
    yield GaugeMetricFamily(
        "spacebridge_oldest_unprocessed_seconds",
        "Age of the oldest delivery that is not processed yet.",
        backlog.oldest_unprocessed_seconds,
    )
    yield _by_label(
        "spacebridge_deliveries_kept",
        "Deliveries that wait for an operator, by state.",
        "state",
        backlog.kept_deliveries,
    )
    yield _by_label(
        "spacebridge_issuances_open",
        "Issuances that are not settled, or wait for an operator, by state.",
        "state",
        backlog.open_issuances,
    )
    yield GaugeMetricFamily(
        "spacebridge_oldest_due_seconds",
        "How long a document has waited that nothing but the bridge keeps from being sent. "
        "Of stores that are not paused, the longest.",
        backlog.oldest_due_seconds,
    )
    yield _by_label(
        "spacebridge_late_seconds",
        "Since when the store's oldest document that is not issued yet has been due. "
        "Stores that are not paused, and have one that is late.",
        "store",
        backlog.late_seconds,
    )
    yield from _of_orders(backlog)
    yield GaugeMetricFamily(
        "spacebridge_stores_paused", "Stores that are not forwarded.", backlog.stores_paused
    )
    yield GaugeMetricFamily(
        "spacebridge_stores_without_config",
        "Stores whose config was never fetched, so that nothing of theirs is issued.",
        backlog.stores_without_config,
    )
    yield _by_label(
        "spacebridge_last_refused_timestamp_seconds",
        "When a request was refused last for its signature (401). Stores for which one was, within a day.",
        "store",
        {store: at.timestamp() for store, at in backlog.last_refused_at.items()},
    )
    yield _by_label(
        "spacebridge_shop_failing_seconds",
        "Since when a connected shop cannot be asked for its orders. Stores whose shop cannot.",
        "store",
        backlog.shops_failing_seconds,
    )
    yield _by_label(
        "spacebridge_absences",
        "Times in which no receiver was up or had the ledger, until they are compared with the store's shop.",
        "store",
        backlog.absences,
    )
    off = GaugeMetricFamily(
        "spacebridge_webhook_off",
        "1 for each topic of which a connected shop tells nothing: it is disabled, paused or deleted there.",
        labels=["store", "topic", "status"],
    )
    for of_webhook, number in backlog.webhooks_off.items():
        off.add_metric(of_webhook, number)
    yield off
    found = GaugeMetricFamily(
        "spacebridge_orders_found",
        "Orders of which no webhook told, found in the shop within the last day, by why none did.",
        labels=["store", "reason"],
    )
    for labels, number in backlog.found.items():
        found.add_metric(labels, number)
    yield found


def _of_orders(backlog: Backlog) -> Iterator[Metric]:
    yield _by_label(
        "spacebridge_orders_waiting",
        "Orders that wait for too long for a payment, or for their status to be mapped, by why.",
        "reason",
        backlog.orders_waiting,
    )
    yield GaugeMetricFamily(
        "spacebridge_orders_attention",
        "Orders that need a person, without those whose documents are held or failed.",
        backlog.orders_attention,
    )
    yield GaugeMetricFamily(
        "spacebridge_orders_attention_recent",
        "Those of them that have needed one for less than a day.",
        backlog.orders_attention_recent,
    )
    yield _by_label(
        "spacebridge_inactive_store_orders",
        "Orders that came in for a store since it has been inactive, and that nothing is issued for.",
        "store",
        backlog.inactive_orders,
    )


def _of_silences(silences: Silences, now: datetime) -> Metric:
    gauge = GaugeMetricFamily(
        "spacebridge_silent_seconds",
        "Since when nothing of a topic has come, where the store's rhythm does not explain that. "
        "Stores whose shop is not connected.",
        labels=["store", "topic"],
    )
    for store, of_store in silences.items():
        for silence in of_store:
            gauge.add_metric([store, silence.topic], (now - silence.since).total_seconds())
    return gauge


def _by_label(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    """A gauge with a value for each of these values of its label."""
    gauge = GaugeMetricFamily(name, documentation, labels=[label])
    for value, number in values.items():
        gauge.add_metric([value], number)
    return gauge
