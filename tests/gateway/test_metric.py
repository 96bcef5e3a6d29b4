"""What is counted of calls, and who may read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_call import record
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fakes.clock import FakeClock
from mohist.gateway.call import CallRecord, Principal
from mohist.gateway.metric import MAX_SERIES, OTHER, Metrics
from mohist.gateway.route import Route, Router, RouteTable, Upstream
from mohist.gateway.tally import Call
from mohist.provider.message import Usage

ENDS = [Upstream(name, "anthropic-messages", "http://127.0.0.1:9", str) for name in ("first", "second")]


def counted(metrics: Metrics, *calls: CallRecord, tried: int = 1) -> dict[tuple[str, ...], float]:
    for number, done in enumerate(calls):
        call = Call(f"call-{number}", done.dialect, 0, 0.0, free=False, principal=Principal("key-1", "ada"))
        call.upstreams = [*ENDS[1:tried], ENDS[0]] if tried else []
        metrics.began(call, [])
        metrics.ended(call, done)
    return read(metrics)


def read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Name and sorted label values, as a scraper reads them."""
    text = generate_latest(metrics.registry).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *(v for _, v in sorted(sample.labels.items()))): sample.value for sample in samples}


@pytest.fixture
def router() -> Router:
    return Router(RouteTable([Route("sonnet", tuple(ENDS))]), FakeClock())


def test_a_call_is_counted_with_its_tokens_cost_and_times(router: Router) -> None:
    seen = counted(Metrics(router), record(usage=Usage(100, 20, 30, 50, 10)))
    place = ("anthropic-messages", "claude-sonnet")
    assert seen["mohist_gateway_calls_total", *place, "2xx", "first", "allowed"] == 1
    tokens = {key[1]: value for key, value in seen.items() if key[0] == "mohist_gateway_tokens_total"}
    assert tokens == {"input": 100, "cache_read": 20, "cache_write": 20, "cache_write_1h": 10, "output": 50}
    assert seen["mohist_gateway_cost_usd_total", *place, "first"] == 0.0007
    assert seen["mohist_gateway_unpriced_calls_total", *place, "first"] == 0
    assert seen["mohist_gateway_call_duration_seconds_sum", *place, "first"] == 1.2
    assert (
        seen["mohist_gateway_call_duration_seconds_bucket", "anthropic-messages", "0.64", "claude-sonnet", "first"] == 0
    )
    assert (
        seen["mohist_gateway_call_duration_seconds_bucket", "anthropic-messages", "1.28", "claude-sonnet", "first"] == 1
    )
    assert seen["mohist_gateway_first_byte_seconds_count", *place, "first"] == 1
    assert seen["mohist_gateway_calls_in_flight", "anthropic-messages"] == 0


def test_a_call_without_a_known_price_is_said_and_not_counted_as_free(router: Router) -> None:
    seen = counted(Metrics(router), record(cost_microusd=None, unpriced="model"), record(unpriced="web_search"))
    assert seen["mohist_gateway_unpriced_calls_total", "anthropic-messages", "claude-sonnet", "first"] == 2


def test_the_model_of_a_call_that_reached_no_upstream_is_no_label(router: Router) -> None:
    refused = record(upstream="", model_asked="x" * 50, model_served="", status=402, verdict="budget", usage=Usage())
    seen = counted(Metrics(router), refused, tried=0)
    assert seen["mohist_gateway_calls_total", "anthropic-messages", "", "4xx", "", "budget"] == 1


def test_an_upstream_that_failed_before_another_answered_is_counted(router: Router) -> None:
    seen = counted(Metrics(router), record(), tried=2)
    assert seen["mohist_gateway_attempts_total", "failed", "second"] == 1
    assert seen["mohist_gateway_attempts_total", "answered", "first"] == 1


def test_circuits_backlog_and_trouble_are_shown_as_they_are_when_read(router: Router) -> None:
    waiting = [7]
    metrics = Metrics(router, lambda: waiting[0], lambda: "disk full")
    assert read(metrics)["mohist_gateway_upstream_state", "closed", "first"] == 1
    for _ in range(3):
        router.failed(ENDS[0])
    waiting[0] = 9
    seen = read(metrics)
    assert seen["mohist_gateway_upstream_state", "closed", "first"] == 0
    assert seen["mohist_gateway_upstream_state", "open", "first"] == 1
    assert seen["mohist_gateway_upstream_state", "closed", "second"] == 1
    assert seen["mohist_gateway_journal_backlog",] == 9
    assert seen["mohist_gateway_trouble",] == 1


def test_names_that_clients_choose_fill_no_memory(router: Router) -> None:
    calls = [record(model_served=f"m-{number}") for number in range(MAX_SERIES + 500)]
    seen = counted(Metrics(router), *calls)
    series = [key for key in seen if key[0] == "mohist_gateway_calls_total"]
    assert len(series) == MAX_SERIES + 1
    assert seen["mohist_gateway_calls_total", "anthropic-messages", OTHER, "2xx", "first", "allowed"] == 500


def test_who_called_is_a_label_only_where_it_is_asked_for(router: Router) -> None:
    assert b"ada" not in generate_latest(_with_call(Metrics(router)).registry)
    text = generate_latest(_with_call(Metrics(router, whom=("user", "key"))).registry)
    assert b'user="ada"' in text
    assert b'key="key-1"' in text


def _with_call(metrics: Metrics) -> Metrics:
    counted(metrics, record())
    return metrics


def test_the_guide_names_every_metric(router: Router) -> None:
    guide = (Path(__file__).parent.parent.parent / "docs" / "gateway.md").read_text(encoding="utf-8")
    text = generate_latest(_with_call(Metrics(router)).registry).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE mohist_")}
    assert len(names) == 11
    assert {name for name in names if f"`{name}`" not in guide} == set()
