"""Budgets, usage, events, routes, prices, rules and health by the admin API."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fakes.admin import LISTED, Site, opened, until
from mohist.base import SystemClock
from mohist.cli.main import main
from mohist.gateway.budget import day_of
from mohist.gateway.call import CallRecord, Principal, Refusal
from mohist.gateway.store import Store
from mohist.gateway.usage import UsageRow, flat
from mohist.provider.message import Usage

RECORD = CallRecord(
    call_id="call-1",
    started_at_ms=0,
    dialect="openai-chat",
    client="codex/1.0",
    session_id="s",
    model_asked="m",
    model_served="m",
    upstream="far",
    status=200,
    verdict="allowed",
    usage=Usage(100, 20, 30, 50),
    cost_microusd=700,
    price_row="list 2026-01-01",
    duration_ms=1_200,
    first_byte_ms=300,
    attempts=1,
)


def add_calls(site: Site, count: int, user: str = "ann", **changes: Any) -> int:
    """Calls that were made just now; the moment of the first."""
    now_ms = SystemClock().now_ms()
    who = Principal("key-caller", user, team="core")
    rows = [
        UsageRow(
            replace(RECORD, call_id=f"call-{user}-{n:03}", started_at_ms=now_ms + n, **changes),
            who,
            day_of(now_ms),
            700,
            200,
        )
        for n in range(count)
    ]
    with Store(site.address) as store:
        store.add_usage(flat(row) for row in rows)
    return now_ms


# Budgets


async def test_a_budget_is_kept_by_the_running_gateway_and_shows_what_is_spent(site: Site) -> None:
    add_calls(site, 3)
    made = await site.ask("PUT", "/budgets/team/month/core", value={"limit_microusd": 5_000})
    assert made.status == 200
    shown = (await site.ask("GET", "/budgets/team/month/core", key="auditor")).json
    assert (shown["spent_microusd"], shown["spent_tokens"]) == (2_100, 600)
    renews = datetime.fromisoformat(shown["renews_at"])
    assert renews > datetime.now(UTC)
    assert (renews.day, renews.hour) == (1, 0)
    assert (await site.ask("GET", "/budgets?subject=team")).json["data"] == [shown]
    refused = await site.ask("PUT", "/budgets/user/day/caller", value={"limit_tokens": 0})
    assert refused.status == 200

    def full() -> bool:
        who = site.keeper.identify(site.keys["caller"])
        assert isinstance(who, Principal)
        answer = site.keeper.reserve(who, "openai-chat", "m", "", 1, 1)
        return isinstance(answer, Refusal) and answer.kind == "budget"

    until(full)


async def test_what_was_spent_before_the_period_does_not_count(site: Site) -> None:
    add_calls(site, 1)
    with Store(site.address) as store:
        old = UsageRow(replace(RECORD, call_id="old"), Principal("key-caller", "ann", team="core"), 3, 9_000, 9_000)
        store.add_usage([flat(old)])
    for period, spent in (("day", 700), ("month", 700), ("total", 9_700)):
        await site.ask("PUT", f"/budgets/team/{period}/core", value={"limit_tokens": 1})
        assert (await site.ask("GET", f"/budgets/team/{period}/core")).json["spent_microusd"] == spent


async def test_a_budget_is_taken_away_once(site: Site) -> None:
    await site.ask("PUT", "/budgets/user/day/ann", value={"limit_tokens": 1})
    assert [(await site.ask("DELETE", "/budgets/user/day/ann")).status for _ in range(2)] == [204, 404]
    assert (await site.ask("GET", "/budgets/user/day/ann")).status == 404


@pytest.mark.parametrize("name", ["a/b c", "Jörg", "王", "50%", "x?y#z", ".."])
async def test_names_of_any_script_and_with_slashes_are_names(small: Site, name: str) -> None:
    from urllib.parse import quote

    path = f"/budgets/project/total/{quote(name, safe='')}"
    assert (await small.ask("PUT", path, value={"limit_tokens": 1})).json["name"] == name
    found = (await small.ask("GET", f"/budgets?name={quote(name, safe='')}")).json["data"]
    assert [one["name"] for one in found] == [name]


async def test_a_budget_of_a_key_needs_the_key(site: Site) -> None:
    refused = await site.ask("PUT", "/budgets/key/day/key-nobody", value={"limit_tokens": 1})
    assert refused.status == 404
    assert (await site.ask("GET", "/budgets")).json["data"] == []


async def test_of_two_who_set_a_budget_at_once_the_second_is_told(site: Site) -> None:
    made = await site.ask("PUT", "/budgets/user/day/ann", value={"limit_tokens": 1})
    read = {"if-match": made.headers["etag"]}
    both = [
        (await site.ask("PUT", "/budgets/user/day/ann", value={"limit_tokens": n}, headers=read)).status for n in (2, 3)
    ]
    assert both == [200, 412]
    gone = await site.ask("DELETE", "/budgets/user/day/ann", headers=read)
    assert gone.status == 412
    assert (await site.ask("GET", "/budgets/user/day/ann")).json["limit_tokens"] == 2


async def test_pages_of_budgets_hold_each_once(site: Site) -> None:
    for n in range(5):
        await site.ask("PUT", f"/budgets/user/day/u:{n}", value={"limit_tokens": n})
    seen, after = [], ""
    while after is not None:
        page = (await site.ask("GET", f"/budgets?limit=2&after={after}")).json
        seen += [one["name"] for one in page["data"]]
        after = page["next"]
    assert seen == [f"u:{n}" for n in range(5)]


# Usage


async def test_usage_is_summed_by_what_is_asked(site: Site) -> None:
    add_calls(site, 3)
    add_calls(site, 1, "bob", status=500)
    rows = (await site.ask("GET", "/usage?by=user&by=client", key="auditor")).json["data"]
    assert [(row["names"], row["calls"], row["failed"], row["cost_microusd"]) for row in rows] == [
        ({"user": "ann", "client": "codex/1.0"}, 3, 0, 2_100),
        ({"user": "bob", "client": "codex/1.0"}, 1, 1, 700),
    ]
    only = (await site.ask("GET", "/usage?by=user&user=b*&status=5xx")).json["data"]
    assert [row["names"]["user"] for row in only] == ["bob"]
    table = await site.ask("GET", "/usage?by=user", headers={"accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert [row["user"] for row in csv.DictReader(io.StringIO(table.body.decode()))] == ["ann", "bob"]


async def test_calls_come_in_pages_as_json_and_as_csv(site: Site) -> None:
    add_calls(site, 5)
    for accept in ("application/json", "text/csv"):
        seen: list[str] = []
        path = "/admin/v1/calls?limit=2&user=ann&order=oldest"
        while path:
            page = await site.ask("GET", path, headers={"accept": accept})
            text = page.body.decode()
            rows = page.json["data"] if accept.endswith("json") else list(csv.DictReader(io.StringIO(text)))
            seen += [row["call_id"] for row in rows]
            path = page.headers.get("link", "").partition(">")[0].removeprefix("<")
        assert seen == [f"call-ann-{n:03}" for n in range(5)]


async def test_days_are_meant_whole(site: Site) -> None:
    today = f"{datetime.fromtimestamp(add_calls(site, 1) / 1000, UTC):%Y-%m-%d}"
    assert len((await site.ask("GET", f"/calls?since={today}&until={today}")).json["data"]) == 1
    assert (await site.ask("GET", "/calls?until=2026-01-01")).json["data"] == []


async def test_a_form_that_there_is_not_is_refused(small: Site) -> None:
    assert (await small.ask("GET", "/calls", headers={"accept": "application/xml"})).status == 406


# Events


async def test_every_change_is_an_event_that_names_who_made_it(site: Site) -> None:
    made = await site.ask("POST", "/keys", value={"user": "ann"})
    key_id = made.json["key_id"]
    await site.ask("PATCH", f"/keys/{key_id}", value={"requests_per_minute": 5})
    await site.ask("POST", f"/keys/{key_id}/rotate", key="both", value={})
    await site.ask("POST", f"/keys/{key_id}/revoke")
    await site.ask("PUT", "/budgets/team/day/core", value={"limit_tokens": 5})
    await site.ask("DELETE", "/budgets/team/day/core")
    events = (await site.ask("GET", "/events?limit=6", key="auditor")).json["data"]
    assert [(event["action"], event["name"], event["key_id"], event["door"]) for event in events[::-1]] == [
        ("key.create", key_id, "key-admin", "api"),
        ("key.change", key_id, "key-admin", "api"),
        ("key.rotate", key_id, "key-both", "api"),
        ("key.revoke", key_id, "key-admin", "api"),
        ("budget.set", "core", "key-admin", "api"),
        ("budget.remove", "core", "key-admin", "api"),
    ]
    assert events[4]["detail"] == {"requests_per_minute": [None, 5]}
    assert [event["number"] for event in events] == sorted({event["number"] for event in events}, reverse=True)


async def test_what_fails_or_changes_nothing_is_no_event(site: Site) -> None:
    await site.ask("PUT", "/budgets/team/day/core", value={"limit_tokens": 5})
    before = (await site.ask("GET", "/events")).json
    await site.ask("PUT", "/budgets/team/day/core", value={"limit_tokens": 5})
    await site.ask("PATCH", "/keys/key-both", value={})
    await site.ask("PATCH", "/keys/key-both", value={"requests_per_minute": 1}, headers={"if-match": '"x"'})
    await site.ask("POST", "/keys/key-revoked/revoke")
    await site.ask("POST", "/keys/key-revoked/rotate", value={})
    await site.ask("DELETE", "/budgets/team/month/core")
    assert (await site.ask("GET", "/events")).json == before


async def test_events_can_be_followed_from_the_oldest_on(site: Site) -> None:
    seen: list[int] = []
    after: str | None = ""
    while after is not None:
        page = (await site.ask("GET", f"/events?limit=2&order=oldest&after={after}")).json
        seen += [event["number"] for event in page["data"]]
        after = page["next"]
    assert seen == sorted(set(seen))
    assert len(seen) == 7  # six keys, of which one was revoked
    only = (await site.ask("GET", "/events?subject=key&name=key-revoked")).json["data"]
    assert [event["action"] for event in only] == ["key.revoke", "key.create"]


async def test_what_the_command_line_does_is_an_event_too(small: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert small.address.path is not None
    monkeypatch.setenv("MOHIST_HOME", str(small.address.path.parent))
    monkeypatch.setenv("LOGNAME", "operator")
    assert main(["keys", "revoke", "key-both"]) == 0
    [event, *_] = (await small.ask("GET", "/events")).json["data"]
    assert (event["action"], event["door"], event["user"], event["key_id"]) == ("key.revoke", "command", "operator", "")


# Routes, prices, rules, health


async def test_routes_show_the_health_of_their_upstreams_and_no_secret(small: Site) -> None:
    route = small.router.table.find("m")
    assert route is not None
    for _ in range(3):
        small.router.failed(route.upstreams[0])
    [shown] = (await small.ask("GET", "/routes?model=m")).json["data"]
    assert [(end["name"], end["state"], end["address"]) for end in shown["upstreams"]] == [
        ("far", "open", "https://models.example.com/v1"),
        ("near", "closed", "https://eu.example.com/v1"),
    ]
    assert (await small.ask("GET", "/health")).json["upstreams_away"] == ["far"]
    assert [one["model"] for one in (await small.ask("GET", "/routes")).json["data"]] == ["m", "other-*"]
    assert (await small.ask("GET", "/routes?limit=1&after=1")).json["data"][0]["model"] == "other-*"


async def test_prices_say_which_row_holds(small: Site) -> None:
    far, near = (await small.ask("GET", "/prices?model=m")).json["data"]
    assert far["in_force"] == "contract A-1 2026-01-01"
    assert far["contracts"][0]["tiers"][0]["input"] == 500_000
    assert (near["model"], near["in_force"]) == ("m-eu", LISTED.label)
    assert near["listed"]["tiers"][0]["output"] == 4_000_000
    assert (await small.ask("GET", "/prices?model=nobody's")).status == 404
    assert (await small.ask("GET", "/prices")).json["error"]["field"] == "query.model"


async def test_the_rules_in_force_are_shown_with_their_digest(small: Site) -> None:
    shown = (await small.ask("GET", "/policy")).json
    book = small.warden.rulebook
    assert book is not None
    assert (shown["digest"], shown["in_force"], shown["trouble"]) == (book.digest, True, "")
    assert [rule["id"] for rule in shown["rules"]] == ["no-abroad"]
    assert shown["since"] is not None
    small.warden.trouble = "a rule is wrong"
    assert (await small.ask("GET", "/policy")).json["trouble"] == "a rule is wrong"
    assert (await small.ask("GET", "/health")).json["status"] == "degraded"


async def test_a_described_call_is_decided_for_each_upstream_of_its_route(small: Site) -> None:
    told = (await small.ask("POST", "/policy/explain", key="auditor", value={"team": "core", "model": "m"})).json
    assert told["decision"] == "allow"
    assert [(one["upstream"], one["decision"]) for one in told["upstreams"]] == [("far", "deny"), ("near", "allow")]
    assert told["upstreams"][0]["rules"] == ["no-abroad"]
    there = {"team": "core", "model": "m", "upstream": {"region": "us"}}
    assert (await small.ask("POST", "/policy/explain", value=there)).json["decision"] == "deny"


async def test_a_change_is_seen_by_every_process_on_the_database(site: Site) -> None:
    with opened(site.address, site.keys) as other:
        made = await site.ask("POST", "/keys", value={"user": "ann"})
        until(lambda: isinstance(other.keeper.identify(made.json["secret"]), Principal))
        assert (await other.ask("GET", made.headers["location"])).json["user"] == "ann"
        await other.ask("POST", f"/keys/{made.json['key_id']}/revoke")
        until(lambda: isinstance(site.keeper.identify(made.json["secret"]), Refusal), 1.0)


async def test_changes_that_come_at_once_are_all_made_and_numbered_each_for_itself(site: Site) -> None:
    import anyio

    async with anyio.create_task_group() as group:
        for n in range(12):
            group.start_soon(lambda n=n: site.ask("POST", "/keys", value={"user": f"many-{n}"}))
    events = (await site.ask("GET", "/events?limit=12")).json["data"]
    assert {event["detail"]["user"] for event in events} == {f"many-{n}" for n in range(12)}
    assert len({event["number"] for event in events}) == 12
