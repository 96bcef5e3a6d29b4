"""Health is decided purely: the right version, in a row, and well for the whole bake window."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from mohist.delivery.health import Health, HealthRule, Verdict, right_version, watch
from mohist.delivery.target import Answer

COMMIT, OTHER = "ab" * 20, "cd" * 20
RULE = HealthRule(successes=3, interval_s=1, within_s=10, bake_s=5, error_rate=0.25, failures=3, flaps=2)


def right(latency_ms: float = 10) -> Answer:
    return Answer(ok=True, version=COMMIT, latency_ms=latency_ms)


WRONG = Answer(ok=False, error="it answers 500")
OLD = Answer(ok=True, version=OTHER)


def feed(answers: Iterable[Answer], rule: HealthRule = RULE, **more: float) -> Verdict:
    health = Health(rule, COMMIT, **more)  # type: ignore[arg-type]
    verdict = Verdict("ready")
    for second, answer in enumerate(answers):
        verdict = health.feed(second, answer)
    return verdict


def test_right_answers_in_a_row_and_a_quiet_bake_make_it_healthy() -> None:
    assert feed([right()] * 2).phase == "ready"
    assert feed([right()] * 3).phase == "bake"
    assert feed([right()] * 7).phase == "bake"
    assert feed([right()] * 8).phase == "healthy"


def test_the_old_version_that_still_answers_is_no_success() -> None:
    verdict = feed([OLD] * 11)
    assert verdict.phase == "sick"
    assert f"it names version {OTHER!r}" in verdict.reason


def test_one_wrong_answer_starts_the_row_anew() -> None:
    assert feed([right(), right(), WRONG, right(), right()]).phase == "ready"


def test_what_is_not_ready_in_time_is_sick() -> None:
    assert feed([WRONG] * 10).phase == "ready"
    assert feed([WRONG] * 11).reason.startswith("Not ready within 10 s: it answers 500")


def test_failures_in_a_row_end_the_bake_at_once() -> None:
    assert feed([right()] * 3 + [WRONG] * 2).phase == "bake"
    assert feed([right()] * 3 + [WRONG] * 3).phase == "sick"


@pytest.mark.parametrize("before", [0, 3], ids=["getting ready", "baking"])
def test_flapping_is_sick_and_not_late(before: int) -> None:
    rule = HealthRule(successes=3, within_s=100, bake_s=100, flaps=2, failures=3)
    verdict = feed([right()] * before + [right(), WRONG] * 3, rule)
    assert (verdict.phase, verdict.reason[:9]) == ("sick", "It flaps:")


def test_errors_are_a_share_of_the_whole_window() -> None:
    some = [right(), WRONG, right(), right(), right()]
    assert feed([right()] * 3 + some).phase == "healthy"
    rule = HealthRule(successes=3, bake_s=5, error_rate=0.1, failures=3)
    assert "1 of 5 answers wrong" in feed([right()] * 3 + some, rule).reason


def test_a_release_that_is_much_slower_than_the_one_before_is_sick() -> None:
    rule = HealthRule(successes=1, bake_s=6, latency_ratio=3)
    assert feed([right(100)] * 7, rule, before_ms=10).phase == "sick"
    assert feed([right(25)] * 7, rule, before_ms=10).phase == "healthy"
    assert feed([right(100)] * 7, rule).phase == "healthy"
    assert feed([right(10)] * 7, rule, before_ms=1).phase == "healthy", "the network's noise, not the release's"


def test_after_a_rollback_to_an_unknown_version_the_new_one_must_be_gone() -> None:
    health = Health(HealthRule(successes=1, bake_s=0), "", unwanted=COMMIT)
    assert health.feed(0, right()).phase == "ready"
    assert health.feed(1, OLD).phase == "healthy"


def test_a_commit_may_be_abbreviated_and_not_guessed() -> None:
    assert right_version(COMMIT, COMMIT[:7])
    assert right_version(COMMIT, COMMIT[:12].upper())
    assert not right_version(COMMIT, COMMIT[:6])
    assert not right_version(COMMIT, "")
    assert not right_version("v1.20", "v1.2")
    assert right_version("", "anything")


@given(st.lists(st.sampled_from([right(), WRONG, OLD]), max_size=60))
def test_an_end_is_an_end(answers: list[Answer]) -> None:
    health = Health(RULE, COMMIT)
    ended: Verdict | None = None
    for second, answer in enumerate(answers):
        verdict = health.feed(second, answer)
        assert ended is None or verdict == ended
        ended = verdict if verdict.final else None
        if verdict.phase == "healthy":
            assert second >= 7
            assert verdict.wrong <= verdict.asked * RULE.error_rate


async def test_the_runner_asks_until_the_end_and_waits_between() -> None:
    clock = FakeClock()
    asked: list[float] = []

    async def ask() -> Answer:
        asked.append(clock.monotonic_s())
        return right()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    verdict = await watch(Health(RULE, COMMIT), ask, clock, sleep)
    assert verdict.phase == "healthy"
    assert asked == [float(second) for second in range(8)]
