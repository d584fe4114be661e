"""Metrics as a scrape finds them: each value by its name and labels."""

from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families


class Scraped:
    """What a process told of itself at one time."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The value under exactly these labels; None if there is none."""
        return self._values.get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """The sum of all values whose labels include these."""
        wanted = labels.items()
        return sum(
            value for (found, given), value in self._values.items() if found == name and wanted <= given
        )


def scrape(url: str) -> Scraped:
    """Ask for the metrics of the process at this address."""
    answer = requests.get(f"{url}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Scraped(answer.text)
