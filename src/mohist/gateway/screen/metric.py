"""What the guard counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mohist.gateway.screen.book import Book


class GuardMetrics(Collector):
    """Tells what a book counted. Data classes come from detectors, so there are some dozens of them at most."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def collect(self) -> Iterator[Metric]:
        """All that was counted, as of now."""
        findings = CounterMetricFamily(
            "mohist_guard_findings",
            "What was found in calls and answers; in mode `observe` the action is what would have been done.",
            labels=("direction", "data_class", "action", "mode", "alarm"),
        )
        for place, count in self._book.counted().items():
            findings.add_metric(place, count)
        yield findings
        yield CounterMetricFamily(
            "mohist_guard_findings_lost", "Findings that could not be written down.", value=self._book.lost
        )
        yield GaugeMetricFamily(
            "mohist_guard_trouble", "1 while findings can't be written down.", float(bool(self._book.trouble))
        )
