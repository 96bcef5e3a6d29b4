"""Which row a call is billed by, where a contract was agreed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mohist.provider.message import Usage
from mohist.provider.price import PriceRow, Terms, Tier
from mohist.provider.tariff import Contract, Tariff, tariff

USD = 1_000_000
LISTED = PriceRow(
    (Tier(0, input=10 * USD, cache_write_5m=12 * USD, cache_write_1h=20 * USD, output=50 * USD),),
    "a list",
    "2026-01-01",
)
ONE = Usage(input_tokens=1)


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def contract(usd: int, from_day: str, until_day: str = "", *, model: str = "m", region: str = "") -> Contract:
    row = PriceRow((Tier(0, input=usd * USD),), f"contract {usd}", from_day, "contract")
    return Contract(row, "vendor", model, from_day, until_day, region)


def rows(*contracts: Contract, model: str = "m", region: str = "") -> Tariff:
    return tariff(LISTED, contracts, provider="vendor", model=model, region=region)


@pytest.mark.parametrize(
    ("day", "row", "cost"),
    [
        ("2026-02-28", "a list 2026-01-01", 10),
        ("2026-03-01", "contract 4 2026-03-01", 4),
        ("2026-06-30", "contract 4 2026-03-01", 4),
        ("2026-07-01", "a list 2026-01-01", 10),
    ],
)
def test_a_contract_wins_from_its_first_day_to_its_last(day: str, row: str, cost: int) -> None:
    bill = rows(contract(4, "2026-03-01", "2026-06-30")).bill(ONE, at_ms=at(day))
    assert (bill.row, bill.cost_microusd) == (row, cost)
    assert bill.list_cost_microusd == 10


def test_the_contract_of_the_region_and_the_model_wins_and_among_equals_the_later_one() -> None:
    given = (
        contract(1, "2026-01-01", model="*"),
        contract(2, "2026-01-01"),
        contract(3, "2026-02-01"),
        contract(4, "2026-01-01", region="eu"),
    )
    march = at("2026-03-01")
    assert rows(*given).bill(ONE, at_ms=march).cost_microusd == 3
    assert rows(*given).bill(ONE, at_ms=at("2026-01-02")).cost_microusd == 2
    assert rows(*given, region="eu").bill(ONE, at_ms=march).cost_microusd == 4
    assert rows(*given, model="another").bill(ONE, at_ms=march).cost_microusd == 1
    assert tariff(LISTED, given, provider="else", model="m").bill(ONE, at_ms=march).cost_microusd == 10


def test_without_any_row_the_model_itself_is_what_has_no_price() -> None:
    bill = Tariff().bill(ONE, at_ms=0)
    assert (bill.cost_microusd, bill.row, bill.unpriced) == (None, "", ("model",))
    assert Tariff().dearest_microusd(ONE, at_ms=0) is None


def test_the_answer_s_own_region_counts_before_the_upstream_s() -> None:
    row = PriceRow((Tier(0, input=10 * USD),), "a list", "", region_ppm={"us": 1_100_000, "eu": 1_200_000})
    here = Tariff(row, region="eu")
    assert here.bill(ONE, at_ms=0).cost_microusd == 12
    assert here.bill(ONE, at_ms=0, terms=Terms(region="us")).cost_microusd == 11
    assert here.bill(ONE, at_ms=0, terms=Terms(region="global")).cost_microusd == 12
    assert here.dearest_microusd(ONE, at_ms=0) == 12


def test_a_hold_takes_a_written_prefix_for_one_that_is_kept_for_an_hour() -> None:
    assert rows().dearest_microusd(Usage(cache_write_tokens=1), at_ms=0) == 20
