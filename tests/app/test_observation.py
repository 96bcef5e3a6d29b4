"""What may be watched of a gateway, and by whom."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from mohist.app.errors import ConfigError
from mohist.app.observation import TOKEN_VARIABLE, Observation, Watch
from mohist.gateway.keeper import Keeper
from mohist.gateway.route import Router, RouteTable


def watch(
    tmp_path: Path, asked: Observation, env: dict[str, str] | None = None, said: list[str] | None = None
) -> Watch:
    clock = FakeClock()
    keeper = Keeper(tmp_path, lambda _model, _usage: 0, clock)
    tell = (said if said is not None else []).append
    return Watch(asked, env or {}, Router(RouteTable([]), clock), keeper, tell)


def test_by_default_metrics_are_kept_and_nobody_may_read_them_but_through_the_own_machine(tmp_path: Path) -> None:
    shut = watch(tmp_path, Observation())
    assert shut.exposition is not None
    assert not shut.exposition.open_here
    assert len(shut.observers) == 1
    here = watch(tmp_path, Observation(open_here=True))
    assert here.exposition is not None
    assert here.exposition.open_here


def test_with_a_port_of_their_own_metrics_are_not_beside_the_calls(tmp_path: Path) -> None:
    assert watch(tmp_path, Observation(open_here=True, metrics_port=0)).exposition is None


def test_beyond_this_machine_metrics_need_a_token(tmp_path: Path) -> None:
    asked = Observation(metrics_host="0.0.0.0", metrics_port=0)
    with pytest.raises(ConfigError, match="could read"):
        watch(tmp_path, asked)
    watch(tmp_path, asked, {TOKEN_VARIABLE: secrets.token_hex(16)})


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shorter") as refused:
        watch(tmp_path, Observation(), {TOKEN_VARIABLE: "abc"})
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "env", "traced"),
    [
        ("", {}, False),
        ("http://127.0.0.1:9", {}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, False),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_made_only_where_a_collector_is_named(
    tmp_path: Path, asked: str, env: dict[str, str], traced: bool
) -> None:
    assert len(watch(tmp_path, Observation(otlp_endpoint=asked), env).observers) == 1 + traced


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address"):
        watch(tmp_path, Observation(otlp_endpoint="collector"))


def test_without_the_library_traces_that_were_asked_for_are_refused_and_others_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mohist.app.observation.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"mohist\[otel\]"):
        watch(tmp_path, Observation(otlp_endpoint="http://127.0.0.1:9"))
    said: list[str] = []
    watch(tmp_path, Observation(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, said)
    assert "mohist[otel]" in said[0]
