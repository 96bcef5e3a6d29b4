"""What a call cost, and what must never be taken for free."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from mohist.provider.catalogue import catalogue
from mohist.provider.message import Usage
from mohist.provider.price import Bill, PriceRow, Terms, Tier, cost_microusd, meter

USD = 1_000_000
ROW = PriceRow(
    tiers=(
        Tier(0, input=2 * USD, cache_read=USD // 5, cache_write_5m=2_500_000, cache_write_1h=4 * USD, output=10 * USD),
        Tier(200_000, input=4 * USD, cache_read=2 * USD // 5, cache_write_5m=5 * USD, output=15 * USD),
    ),
    source="a list",
    date="2026-11-01",
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_each_class_of_tokens_has_its_own_price() -> None:
    usage = Usage(input_tokens=1000, cache_read_tokens=10_000, cache_write_tokens=2000, output_tokens=300)
    assert cost_microusd(usage, ROW) == 2000 + 2000 + 5000 + 3000


def test_a_prefix_kept_for_an_hour_costs_its_own_price_where_there_is_one() -> None:
    assert cost_microusd(Usage(cache_write_tokens=1000), ROW) == 2500
    assert cost_microusd(Usage(cache_write_tokens=1000, cache_write_1h_tokens=400), ROW) == 1500 + 1600
    assert cost_microusd(Usage(cache_write_tokens=300_000, cache_write_1h_tokens=300_000), ROW) == 1_500_000


@pytest.mark.parametrize(("prompt", "cost"), [(200_000, 400_000), (200_001, 800_004)])
def test_a_prompt_beyond_the_threshold_is_billed_whole_at_the_dearer_tier(prompt: int, cost: int) -> None:
    assert cost_microusd(Usage(input_tokens=prompt), ROW) == cost


def test_cached_tokens_count_towards_the_tier() -> None:
    usage = Usage(input_tokens=1000, cache_read_tokens=200_000)
    assert cost_microusd(usage, ROW) == 4000 + 80_000


def test_an_unknown_price_of_a_class_that_was_used_makes_the_cost_unknown() -> None:
    row = PriceRow(tiers=(Tier(0, input=USD, output=USD),), source="a list", date="2026-11-01")
    assert cost_microusd(Usage(input_tokens=5, cache_read_tokens=1), row) is None
    assert cost_microusd(Usage(input_tokens=5), row) == 5


def test_without_a_row_the_cost_is_unknown_and_a_free_model_is_free() -> None:
    free = PriceRow(tiers=(Tier(0, input=0, cache_read=0, output=0),), source="a list", date="2026-11-01")
    assert cost_microusd(Usage(input_tokens=1), None) is None
    assert cost_microusd(Usage(input_tokens=1, output_tokens=9), free) == 0


def test_a_fraction_is_rounded_up() -> None:
    cheap = PriceRow(tiers=(Tier(0, input=1, output=1),), source="a list", date="2026-11-01")
    assert cost_microusd(Usage(input_tokens=1), cheap) == 1


def test_peak_hours_and_announced_changes_are_billed_when_they_hold() -> None:
    row = PriceRow(
        tiers=(Tier(0, input=1 * USD, output=USD),),
        source="a list",
        date="2026-11-01",
        later=(("2026-12-01", (Tier(0, input=3 * USD, output=USD),)),),
        peak_windows_utc=(("23:00", "02:00"),),
        peak_tiers=(Tier(0, input=2 * USD, output=USD),),
    )
    usage = Usage(input_tokens=10)
    assert cost_microusd(usage, row, at_ms=at("2026-11-20T12:00")) == 10
    assert cost_microusd(usage, row, at_ms=at("2026-11-20T23:00")) == 20
    assert cost_microusd(usage, row, at_ms=at("2026-11-20T01:59")) == 20
    assert cost_microusd(usage, row, at_ms=at("2026-11-20T02:00")) == 10
    assert cost_microusd(usage, row, at_ms=at("2026-12-01T00:00")) == 30
    assert cost_microusd(usage, row) == 30, "when nobody says when, a budget must hold on the dearest day"


def test_a_meter_prices_at_the_clock_s_time() -> None:
    row = PriceRow(
        tiers=(Tier(0, input=USD, output=USD),),
        source="a list",
        date="2026-11-01",
        later=(("2026-12-01", (Tier(0, input=5 * USD, output=USD),)),),
    )
    clock = FakeClock(at("2026-11-30T23:59"))
    price = meter(row, clock)
    assert price(Usage(input_tokens=1)) == 1
    clock.advance(60)
    assert price(Usage(input_tokens=1)) == 5


NOON = at("2026-11-20T12:00")


def test_a_bill_names_its_row_and_what_has_no_price() -> None:
    row = PriceRow(tiers=(Tier(0, input=USD, output=USD),), source="a list", date="2026-11-01")
    assert row.bill(Usage(input_tokens=5), at_ms=NOON) == Bill(5, "a list 2026-11-01", (), 5)
    assert row.bill(Usage(5, 1, 2, 0), at_ms=NOON) == Bill(None, "a list 2026-11-01", ("cache_read", "cache_write"))


def test_a_region_and_a_service_tier_are_factors_on_all_tokens() -> None:
    row = replace(ROW, region_ppm={"us": 1_100_000}, service_ppm={"flex": 500_000})
    usage = Usage(input_tokens=1000, output_tokens=100)
    assert row.bill(usage, at_ms=NOON, terms=Terms(region="us")).cost_microusd == 3300
    assert row.bill(usage, at_ms=NOON, terms=Terms(region="eu")).cost_microusd == 3000
    assert row.bill(usage, at_ms=NOON, terms=Terms(service="flex", region="us")).cost_microusd == 1650
    assert row.bill(usage, at_ms=NOON, terms=Terms(service="default", region="global")).cost_microusd == 3000


def test_a_service_tier_without_a_price_makes_the_cost_unknown_and_is_named() -> None:
    bill = ROW.bill(Usage(input_tokens=1000), at_ms=NOON, terms=Terms(service="priority"))
    assert bill == Bill(None, "a list 2026-11-01", ("service:priority",))


def test_searches_are_billed_beside_the_tokens_or_named_as_unpriced() -> None:
    searched = Terms(web_searches=3)
    assert ROW.bill(Usage(input_tokens=1000), at_ms=NOON, terms=searched) == Bill(
        2000, "a list 2026-11-01", ("web_search",), 2000
    )
    row = replace(ROW, web_search_microusd=10_000)
    assert row.bill(Usage(input_tokens=1000), at_ms=NOON, terms=searched) == Bill(
        32_000, "a list 2026-11-01", (), 32_000
    )


tokens = st.integers(0, 2_000_000)
usages = st.builds(Usage, tokens, tokens, tokens, tokens)


@given(usages, st.sampled_from(catalogue().model_names))
def test_a_cost_is_never_negative_and_never_none_for_input_and_output(usage: Usage, name: str) -> None:
    entry = catalogue().model(name)
    assert entry is not None
    if entry.price is None:
        return
    plain = Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    cost = entry.price.cost_microusd(plain)
    assert cost is not None
    assert cost >= 0
    more = Usage(input_tokens=usage.input_tokens + 1000, output_tokens=usage.output_tokens)
    dearer = entry.price.cost_microusd(more)
    assert dearer is not None
    assert dearer >= cost
