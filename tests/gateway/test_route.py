"""Routes and health, without a socket."""

from __future__ import annotations

from fakes.clock import FakeClock
from mohist.gateway.home import MAX_SESSIONS
from mohist.gateway.route import OPEN_S, RETRIES_KEPT, Route, Router, RouteTable, Upstream


def _at(name: str, account: str = "", weight: int = 1) -> Upstream:
    return Upstream(name, "openai-chat", "http://x/v1", lambda: "", account=account, weight=weight)


A, B, C = _at("a", "acct-1"), _at("b", "acct-2"), _at("c", "acct-1")
ROUTE = Route("m", (A, B, C))


def _order(router: Router, session: str = "", route: Route = ROUTE) -> list[str]:
    return [upstream.name for upstream in router.order(route, "openai-chat", session)]


def settle(router: Router, upstream: Upstream, session_id: str) -> None:
    router.homes.settle(session_id, upstream.name, upstream.payer, upstream.payer, ())


def test_an_exact_name_wins_over_a_glob_and_an_earlier_glob_over_a_later(clock: FakeClock):
    table = RouteTable([Route("claude-*", (A,)), Route("claude-x", (B,)), Route("*", (C,))])
    assert [table.find(name).upstreams[0].name for name in ("claude-x", "claude-y", "gpt")] == ["b", "a", "c"]
    assert RouteTable([ROUTE]).find("n") is None


def test_the_same_account_comes_before_another_one(clock: FakeClock):
    assert _order(Router(RouteTable([ROUTE]), clock)) == ["a", "c", "b"]


def test_a_session_starts_at_its_upstream_and_then_at_that_ones_account(clock: FakeClock):
    router = Router(RouteTable([ROUTE]), clock)
    settle(router, C, "s")
    assert _order(router, "s") == ["c", "a", "b"]
    assert _order(router, "other") == ["a", "c", "b"]


def test_an_upstream_that_keeps_failing_comes_last_until_one_probe_succeeds(clock: FakeClock):
    router = Router(RouteTable([ROUTE]), clock)
    for _ in range(3):
        router.failed(A)
    assert _order(router) == ["c", "b", "a"]
    clock.advance(OPEN_S)
    assert _order(router)[0] == "a"
    router.began(A)
    assert _order(router)[-1] == "a", "one probe at a time"
    router.failed(A)
    clock.advance(OPEN_S)
    assert _order(router)[-1] == "a", "each time for longer"
    clock.advance(OPEN_S)
    router.began(A)
    router.gave_up(A)
    assert _order(router)[0] == "a"
    router.succeeded(A)
    assert _order(router)[0] == "a"


def test_rest_is_given_as_long_as_asked_for(clock: FakeClock):
    router = Router(RouteTable([ROUTE]), clock)
    router.failed(A, 30)
    assert (router.rest_s(A), _order(router)[-1]) == (30, "a")
    clock.advance(30)
    assert (router.rest_s(A), _order(router)[0]) == (0, "a")


def test_sessions_are_spread_by_weight_and_each_always_to_the_same(clock: FakeClock):
    route = Route("m", (_at("heavy", weight=3), _at("light"), _at("none", weight=0)), spread=True)
    router = Router(RouteTable([route]), clock)
    firsts = [_order(router, f"s{number}", route)[0] for number in range(400)]
    assert firsts == [_order(router, f"s{number}", route)[0] for number in range(400)]
    assert 240 < firsts.count("heavy") < 360
    assert "none" not in firsts


def test_the_table_of_sessions_and_the_budget_of_retries_are_bounded(clock: FakeClock):
    router = Router(RouteTable([ROUTE]), clock)
    settle(router, B, "first")
    for number in range(MAX_SESSIONS):
        settle(router, C, f"s{number}")
    assert _order(router, "first")[0] == "a"
    assert _order(router, "s0")[0] == "c"
    assert sum(router.may_retry() for _ in range(int(RETRIES_KEPT) + 50)) == int(RETRIES_KEPT)
