"""Usage as other programs read it: each form is pinned, since somebody's import hangs on it."""

from __future__ import annotations

import csv
import io
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from gateway_call import record

from mohist.gateway.budget import day_of
from mohist.gateway.call import Principal
from mohist.gateway.errors import StoreError
from mohist.gateway.export import EXPORTED, shown, write_csv, write_json, write_parquet
from mohist.gateway.focus import COLUMNS, focus_rows
from mohist.gateway.listing import Filter, calls
from mohist.gateway.store import Store
from mohist.gateway.usage import UsageRow, flat
from mohist.provider.message import Usage

GOLDEN = Path(__file__).parent.parent / "golden" / "gateway"
AT_MS = int(datetime(2026, 11, 30, 23, 59, 59, 123_000, tzinfo=UTC).timestamp() * 1000)
ANN = Principal("key-1", "ann", "shop", "core")

# https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec/tree/v1.2/specification/columns: feature level "Mandatory"
MANDATORY = {
    *(
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
    ),
    *("ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost"),
    *(
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
    ),
    *("ServiceCategory", "ServiceName"),
}
NEVER_NULL = MANDATORY - {"BillingAccountName", "ChargeClass"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = [
        (record("a", started_at_ms=AT_MS, usage=Usage(100, 20, 30, 50, 10), region="eu", provider="anthropic", rule="r-1",
                price_row="contract ACME 2026-01-01", list_cost_microusd=900, service_tier="standard", web_searches=2), ANN),
        (record("b", started_at_ms=AT_MS, client="=cmd()", cost_microusd=None, usage=None, unpriced="model", cancelled=True), Principal("key-2", "bob")),
        (record("c", started_at_ms=AT_MS + 1_000, cost_microusd=1_500_000, provider="anthropic", unpriced="web_search"), ANN),
        (record("d", started_at_ms=AT_MS, status=402, verdict="budget", upstream="", usage=Usage(), cost_microusd=0,
                model_served="", price_row="", first_byte_ms=None), ANN),
    ]  # fmt: skip
    with Store(tmp_path / "gateway.db") as store:
        store.add_usage([flat(UsageRow(done, who, day_of(done.started_at_ms))) for done, who in made])
        yield store


@pytest.fixture
def pinned(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    def check(name: str, text: str) -> None:
        if request.config.getoption("--renew-pins"):
            (GOLDEN / name).write_text(text, encoding="utf-8")
        assert text == (GOLDEN / name).read_text(encoding="utf-8")

    return check


def listed(store: Store) -> list[dict[str, Any]]:
    return [shown(row) for row in calls(store, Filter())]


def focus(store: Store) -> list[dict[str, Any]]:
    return list(focus_rows(store, Filter(), str.title))


def test_calls_as_csv(store: Store, pinned: Callable[[str, str], None]) -> None:
    file = io.StringIO()
    write_csv(listed(store), EXPORTED, file)
    pinned("calls.csv", file.getvalue())
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert rows[0]["started_at"] == "2026-11-30T23:59:59.123Z"
    assert rows[0]["cache_share"] == "0.1333"
    assert rows[1]["client"] == "'=cmd()", "a spreadsheet must not run what a client calls itself"
    assert rows[1]["cost_microusd"] == "", "what is not known is not 0"


def test_calls_as_json(store: Store, pinned: Callable[[str, str], None]) -> None:
    file = io.StringIO()
    write_json(listed(store), file)
    pinned("calls.json", file.getvalue())
    rows = json.loads(file.getvalue())
    assert [row["call_id"] for row in rows] == ["a", "b", "d", "c"]
    assert rows[1]["cost_microusd"] is None
    assert rows[1]["client"] == "=cmd()"
    assert rows[1]["cancelled"] is True


def test_no_calls_are_an_empty_array_and_a_head_line() -> None:
    file = io.StringIO()
    write_json([], file)
    assert json.loads(file.getvalue()) == []
    file = io.StringIO()
    write_csv([], EXPORTED, file)
    assert file.getvalue() == ",".join(EXPORTED) + "\n"


def test_calls_as_parquet_read_back_as_they_were(store: Store, pinned: Callable[[str, str], None]) -> None:
    file = io.BytesIO()
    write_parquet(listed(store), file)
    table = parquet.read_table(file)
    pinned("calls.parquet-schema.txt", "\n".join(f"{field.name}: {field.type}" for field in table.schema) + "\n")
    rows = table.to_pylist()
    for read, was in zip(rows, listed(store), strict=True):
        assert read["started_at"] == datetime.fromtimestamp(was["started_at_ms"] / 1000, UTC)
        assert read["day"] == date.fromisoformat(was["day"])
        same = set(EXPORTED) - {"started_at", "day"}
        assert {name: read[name] for name in same} == {name: was[name] for name in same}


def test_without_the_library_parquet_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StoreError, match=r"mohist\[parquet\]"):
        write_parquet([], io.BytesIO())


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_long_export_is_never_held_whole(store: Store, form: str) -> None:
    one = listed(store)[0]

    class Sink(io.RawIOBase):
        def write(self, data: Any, /) -> int:
            return len(data)

        def writable(self) -> bool:
            return True

    class Lines(io.TextIOBase):
        def write(self, text: str, /) -> int:
            return len(text)

    def run(count: int) -> int:
        rows = (dict(one) for _ in range(count))
        tracemalloc.start()
        try:
            if form == "parquet":
                write_parquet(rows, Sink())  # type: ignore[arg-type]
            elif form == "csv":
                write_csv(rows, EXPORTED, Lines())  # type: ignore[arg-type]
            else:
                write_json(rows, Lines())  # type: ignore[arg-type]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    batch = 10_000 if form == "parquet" else 100
    run(1)
    small, large = run(batch), run(3 * batch)
    assert large < small * 2, "three times the rows take no more memory"


def test_focus_rows_are_pinned(store: Store, pinned: Callable[[str, str], None]) -> None:
    file = io.StringIO()
    write_csv(focus(store), COLUMNS, file)
    pinned("focus.csv", file.getvalue())


def test_focus_has_its_mandatory_columns_and_leaves_none_empty_that_may_not_be(store: Store) -> None:
    assert set(COLUMNS) >= MANDATORY
    assert [name for name in COLUMNS if not name.startswith("x_")] == sorted(
        n for n in COLUMNS if not n.startswith("x_")
    )
    for row in focus(store):
        assert set(row) == set(COLUMNS)
        assert all(row[name] not in (None, "") for name in NEVER_NULL)
        assert "" not in row.values(), "what has no value is null, not an empty text"
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert all(not isinstance(value, dict | list) for value in json.loads(row["Tags"]).values())


def test_focus_sums_what_was_billed_and_says_what_was_not(store: Store) -> None:
    unknown: list[int] = []
    rows = list(focus_rows(store, Filter(), str.title, unknown.append))
    assert unknown == [1, 1]
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("1.5007")
    assert [row["x_UnpricedCalls"] for row in rows] == [0, 1]
    assert all(row["x_Calls"] == 1 for row in rows), "a call that was not made is no charge"
    contract = next(row for row in rows if row["SkuPriceId"] == "contract ACME 2026-01-01")
    assert (contract["BilledCost"], contract["ListCost"]) == ("0.0007", "0.0009")
    assert (contract["ProviderName"], contract["RegionId"]) == ("Anthropic", "eu")
    assert contract["BillingPeriodEnd"] == "2026-12-01T00:00:00Z"
    assert {row["ChargePeriodStart"] for row in rows} == {"2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"}
