"""Questions over the calls that were taken down, on both databases."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gateway_call import record
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.postgres import Postgres
from mohist.gateway.address import Address, file_address, home_address
from mohist.gateway.budget import day_of
from mohist.gateway.call import Principal
from mohist.gateway.errors import StoreError
from mohist.gateway.listing import DIMENSIONS, PAGE, Filter, calls, cursor, totals
from mohist.gateway.store import Store
from mohist.gateway.usage import UsageRow, flat
from mohist.provider.message import Usage

NOVEMBER_MS = int(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp() * 1000)
ANN, BOB = Principal("key-1", "ann", "shop", "core"), Principal("key-2", "bob")


def put(store: Store, call_id: str, who: Principal | None = ANN, **changes: Any) -> None:
    made = record(call_id, **{"started_at_ms": NOVEMBER_MS, **changes})
    store.add_usage([flat(UsageRow(made, who, day_of(made.started_at_ms)))])


def fill(store: Store) -> Store:
    put(store, "a", usage=Usage(100, 20, 30, 50, 10), cost_microusd=700, list_cost_microusd=900, region="eu")
    put(store, "b", BOB, model_asked="opus", model_served="claude-opus", cost_microusd=None, unpriced="model")
    put(store, "c", started_at_ms=NOVEMBER_MS + 1_000, session_id="s-2", cost_microusd=50, unpriced="web_search")
    put(store, "d", None, status=401, verdict="auth", upstream="", usage=Usage(), cost_microusd=0, model_served="")
    put(store, "e", BOB, status=502, cost_microusd=0, usage=Usage(), client="100%_sure")
    return store


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Five calls, which nobody adds to."""
    home = tmp_path_factory.mktemp("listing")
    address = file_address(home / "gateway.db")
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("running_postgres")
        name = server.new_database(request.getfixturevalue("filled_template"))
        address = home_address(home, {}, server.url(name))
    with Store(address) as store:
        yield fill(store)


def ids(store: Store, **asked: Any) -> str:
    return "".join(row["call_id"] for row in calls(store, Filter(**asked)))


def test_calls_come_oldest_first_or_newest_first(store: Store) -> None:
    assert ids(store) == "abdec"
    assert [row["call_id"] for row in calls(store, Filter(), newest_first=True)] == list("cedba")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"user": ["ann"]}, "ac"),
        ({"user": ["ann", "bob"]}, "abec"),
        ({"user": [""]}, "d"),
        ({"key": ["key-2"]}, "be"),
        ({"project": ["shop"], "session": ["s-2"]}, "c"),
        ({"model": ["opus"]}, "b"),
        ({"model": ["claude-opus"]}, "b"),
        ({"model": ["claude-*"]}, "abec"),
        ({"model": ["CLAUDE-*"]}, ""),
        ({"client": ["claude-cli/*"]}, "abdc"),
        ({"client": ["100%_*"]}, "e"),
        ({"client": ["100*"]}, "e"),
        ({"verdict": ["auth"]}, "d"),
        ({"upstream": ["nobody' OR 1=1"]}, ""),
        ({"region": ["eu"]}, "a"),
    ],
)
def test_calls_are_found_by_what_they_are(store: Store, asked: dict[str, list[str]], found: str) -> None:
    assert ids(store, names=asked) == found


@pytest.mark.parametrize(
    ("statuses", "found"), [(["401"], "d"), (["4xx"], "d"), (["4XX", "5xx"], "de"), (["200"], "abc")]
)
def test_calls_are_found_by_status_and_class_of_status(store: Store, statuses: list[str], found: str) -> None:
    assert ids(store, statuses=statuses) == found


@pytest.mark.parametrize("status", ["40", "teapot", "4x", "xxx", "4000"])
def test_what_is_no_status_is_refused(store: Store, status: str) -> None:
    with pytest.raises(StoreError, match="no HTTP status"):
        ids(store, statuses=[status])


def test_a_time_span_holds_its_first_moment_and_not_its_last(store: Store) -> None:
    assert ids(store, since_ms=NOVEMBER_MS + 1_000) == "c"
    assert ids(store, until_ms=NOVEMBER_MS + 1_000) == "abde"
    assert ids(store, since_ms=NOVEMBER_MS, until_ms=NOVEMBER_MS) == ""


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_put_together_are_the_whole(store: Store, limit: int, newest_first: bool) -> None:
    whole = list(calls(store, Filter(), newest_first=newest_first))
    found: list[dict[str, Any]] = []
    while page := list(
        calls(store, Filter(), newest_first=newest_first, limit=limit, after=cursor(found[-1]) if found else "")
    ):
        found += page
    assert found == whole


def test_more_calls_than_a_page_holds_come_all_and_once(address: Address) -> None:
    with Store(address) as store:
        rows = [
            flat(UsageRow(record(f"{number:05}", started_at_ms=NOVEMBER_MS + number // 100), ANN))
            for number in range(2 * PAGE + 1)
        ]
        store.add_usage(rows)
        assert [row["call_id"] for row in calls(store, Filter())] == [row["call_id"] for row in rows]


@pytest.mark.parametrize("place", ["nonsense", "12:", ":a", "-1:a"])
def test_what_is_no_place_in_a_listing_is_refused(store: Store, place: str) -> None:
    with pytest.raises(StoreError, match="no place"):
        list(calls(store, Filter(), after=place))


def test_sums_tell_refused_failed_and_unpriced_calls_apart(store: Store) -> None:
    (whole,) = totals(store, ["dialect"], Filter())
    assert (whole.calls, whole.refused, whole.failed, whole.unpriced) == (5, 1, 1, 2)
    assert (whole.cost_microusd, whole.list_cost_microusd) == (750, 950)
    assert whole.cache_write_1h_tokens == 10
    assert whole.prompt_tokens == 3 * 150
    assert whole.cache_share == pytest.approx(60 / 450)


def test_sums_by_two_things_come_dearest_first(store: Store) -> None:
    found = totals(store, ["user", "model"], Filter())
    assert [(total.names, total.calls) for total in found] == [
        (("ann", "claude-sonnet"), 2),
        (("", ""), 1),
        (("bob", "claude-opus"), 1),
        (("bob", "claude-sonnet"), 1),
    ]


def test_sums_by_day_and_month_come_oldest_first_and_in_utc(address: Address) -> None:
    with Store(address) as store:
        check_days(fill(store))


def check_days(store: Store) -> None:
    put(store, "f", started_at_ms=NOVEMBER_MS - 86_400_000)
    days = totals(store, ["day"], Filter())
    assert [(total.names, total.calls) for total in days] == [
        (("2026-11-29",), 1),
        (("2026-11-30",), 4),
        (("2026-12-01",), 1),
    ]
    months = totals(store, ["month", "user"], Filter(names={"user": ["ann"]}))
    assert [(total.names, total.calls) for total in months] == [(("2026-11", "ann"), 2), (("2026-12", "ann"), 1)]
    assert months[0].cost_microusd == 700 + 700


def test_a_call_that_was_cut_midway_lacks_its_price_in_the_sums_too(tmp_path: Path) -> None:
    with Store(file_address(tmp_path / "gateway.db")) as store:
        put(store, "cut", verdict="auth", cost_microusd=None, unpriced="model")
        (total,) = totals(store, ["model"], Filter())
    assert (total.refused, total.unpriced) == (1, 1)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_whatever_usage_is_summed_by_no_call_is_lost(store: Store, dimension: str) -> None:
    assert sum(total.calls for total in totals(store, [dimension], Filter())) == 5


@given(st.text(max_size=20).filter(lambda text: "\0" not in text and text.encode("utf-8", "ignore").decode() == text))
@settings(max_examples=40)
def test_a_name_is_found_as_it_was_kept(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    with Store(tmp_path_factory.getbasetemp() / "names.db") as store:
        session_id = secrets.token_hex(8)
        put(store, f"{session_id}-a", client=name, session_id=session_id)
        put(store, f"{session_id}-b", client=f"{name}!", session_id=session_id)
        here = {"session": [session_id]}
        if not name.endswith("*"):
            assert ids(store, names={"client": [name], **here}) == f"{session_id}-a"
        assert ids(store, names={"client": [f"{name}*"], **here}) == f"{session_id}-a{session_id}-b"
