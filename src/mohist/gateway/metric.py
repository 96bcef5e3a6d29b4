"""What the gateway counts of its calls, for Prometheus.

A finished call costs a dictionary look-up and a few additions; the library's own counters, with a lock and a string for
every label, would cost ten times that. They are put in its words when somebody reads them. Updates and readings happen
on the server's own thread.

Who called is no label unless it is asked for: every user and session would be a series for as long as the server runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mohist.gateway.call import CallRecord
from mohist.gateway.request import Headers
from mohist.gateway.route import Router
from mohist.gateway.tally import Call

Whom = Literal["key", "user", "project", "team"]
WHOM: Final[tuple[Whom, ...]] = get_args(Whom)

MAX_SERIES: Final = 2_000
"""Combinations of labels; what comes after is counted as `other`, since clients choose the names behind a glob."""
OTHER: Final = "other"
_LABEL_CHARS: Final = 128
_CLASSES: Final = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
_STATES: Final = ("closed", "open", "resting", "probing")

# From the 5 ms of a refusal to the ten minutes of a long answer; the middle as in
# https://github.com/open-telemetry/semantic-conventions-genai (gen_ai.client.operation.duration).
DURATION_S: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 600.0)  # fmt: skip
FIRST_BYTE_S: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 120.0)


class _Histogram:
    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, value_s: float) -> None:
        self.counts[bisect_left(self.bounds_s, value_s)] += 1
        self.sum_s += value_s

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds_s), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class _Series:
    """What is counted under one combination of labels."""

    __slots__ = ("cost_microusd", "duration", "ends", "first_byte", "tokens", "unpriced")

    def __init__(self) -> None:
        self.ends: dict[tuple[str, str], int] = {}
        """Calls by class of status and verdict."""
        self.tokens = [0] * len(_CLASSES)
        self.cost_microusd = 0
        self.unpriced = 0
        self.duration = _Histogram(DURATION_S)
        self.first_byte = _Histogram(FIRST_BYTE_S)


class Metrics(Collector):
    """Counts calls, and tells a registry of its own.

    Args:
        router: whose circuits are shown.
        backlog: finished calls that wait to be written down.
        trouble: what fails at present; empty when all is well.
        whom: labels that say who called, beside the others. Each value is a series of its own.
    """

    def __init__(
        self,
        router: Router,
        backlog: Callable[[], int] = lambda: 0,
        trouble: Callable[[], str] = str,
        whom: Sequence[Whom] = (),
    ) -> None:
        self._router = router
        self._backlog = backlog
        self._trouble = trouble
        self._whom = tuple(whom)
        self._labels = ("model", "upstream", "dialect", *self._whom)
        self._series: dict[tuple[str, ...], _Series] = {}
        self._in_flight: dict[str, int] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def began(self, call: Call, _headers: Headers) -> None:
        """A call is under way."""
        self._in_flight[call.dialect] = self._in_flight.get(call.dialect, 0) + 1

    def ended(self, call: Call, record: CallRecord) -> None:
        """A call is over."""
        self._in_flight[record.dialect] -= 1
        # The model of a call that reached no upstream is whatever somebody wrote into a request.
        model = (record.model_served or record.model_asked) if call.upstreams else ""
        place: tuple[str, ...] = (model, record.upstream, record.dialect)
        if self._whom:
            place += tuple(_whom(call, name) for name in self._whom)
        series = self._series.get(place) or self._new(place)
        end = (f"{record.status // 100}xx", record.verdict)
        series.ends[end] = series.ends.get(end, 0) + 1
        series.duration.add(record.duration_ms / 1000)
        if record.first_byte_ms is not None:
            series.first_byte.add(record.first_byte_ms / 1000)
        usage = record.usage
        if usage is not None:
            tokens = series.tokens
            tokens[0] += usage.input_tokens
            tokens[1] += usage.cache_read_tokens
            tokens[2] += usage.cache_write_tokens - usage.cache_write_1h_tokens
            tokens[3] += usage.cache_write_1h_tokens
            tokens[4] += usage.output_tokens
        if record.cost_microusd is not None:
            series.cost_microusd += record.cost_microusd
        if record.unpriced or (record.cost_microusd is None and record.upstream and record.status < 400):
            series.unpriced += 1
        for upstream in call.upstreams:
            result = "answered" if upstream.name == record.upstream else "failed"
            self._attempts[upstream.name, result] = self._attempts.get((upstream.name, result), 0) + 1

    def collect(self) -> Iterator[Metric]:
        """All that was counted, as of now."""
        yield from self._calls()
        flight = GaugeMetricFamily("mohist_gateway_calls_in_flight", "Calls under way.", labels=("dialect",))
        for dialect, count in self._in_flight.items():
            flight.add_metric((dialect,), count)
        yield flight
        attempts = CounterMetricFamily(
            "mohist_gateway_attempts",
            "Calls tried at an upstream, by whether it was the one that answered; `failed` are failovers and give-ups.",
            labels=("upstream", "result"),
        )
        for place, count in self._attempts.items():
            attempts.add_metric(place, count)
        yield attempts
        states = GaugeMetricFamily(
            "mohist_gateway_upstream_state",
            "1 for the state that the upstream's circuit is in.",
            labels=("upstream", "state"),
        )
        names = {end.name for route in self._router.table.routes for end in route.upstreams}
        for name in sorted(names):
            now = self._router.state(name)
            for state in _STATES:
                states.add_metric((name, state), float(state == now))
        yield states
        yield GaugeMetricFamily(
            "mohist_gateway_journal_backlog", "Finished calls that are not in the database yet.", self._backlog()
        )
        yield GaugeMetricFamily(
            "mohist_gateway_trouble", "1 while keys or usage can't be kept.", float(bool(self._trouble()))
        )

    def _calls(self) -> Iterable[Metric]:
        labels = self._labels
        calls = CounterMetricFamily(
            "mohist_gateway_calls", "Finished calls.", labels=(*labels, "status_class", "verdict")
        )
        tokens = CounterMetricFamily(
            "mohist_gateway_tokens", "Tokens by class; the classes do not overlap.", labels=(*labels, "class")
        )
        cost = CounterMetricFamily(
            "mohist_gateway_cost_usd", "Cost of the calls whose price is known, in US dollars.", labels=labels
        )
        unpriced = CounterMetricFamily(
            "mohist_gateway_unpriced_calls", "Calls that were made and whose cost is not wholly known.", labels=labels
        )
        duration = HistogramMetricFamily(
            "mohist_gateway_call_duration_seconds", "From a call's head to its end.", labels=labels
        )
        first = HistogramMetricFamily(
            "mohist_gateway_first_byte_seconds", "From a call's head to the first byte for the client.", labels=labels
        )
        for place, series in self._series.items():
            for end, count in series.ends.items():
                calls.add_metric((*place, *end), count)
            for name, count in zip(_CLASSES, series.tokens, strict=True):
                tokens.add_metric((*place, name), count)
            cost.add_metric(place, series.cost_microusd / 1_000_000)
            unpriced.add_metric(place, series.unpriced)
            duration.add_metric(place, series.duration.buckets(), series.duration.sum_s)
            first.add_metric(place, series.first_byte.buckets(), series.first_byte.sum_s)
        return calls, tokens, cost, unpriced, duration, first

    def _new(self, place: tuple[str, ...]) -> _Series:
        """The series of labels that are new: shortened, and one for all once there are many."""
        named = tuple(value[:_LABEL_CHARS].encode("utf-8", "replace").decode() for value in place)
        if named not in self._series and len(self._series) >= MAX_SERIES:
            named = (OTHER, *named[1:3], *(OTHER for _ in self._whom))
        return self._series.setdefault(named, _Series())


def _whom(call: Call, name: Whom) -> str:
    who = call.principal
    if who is None:
        return ""
    return who.key_id if name == "key" else str(getattr(who, name))
