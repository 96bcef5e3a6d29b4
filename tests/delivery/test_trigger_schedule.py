"""A due time is neither missed nor doubled, whatever clocks and zones do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.delivery.trigger.schedule import Schedule

EXPRESSIONS = ("30 2 * * *", "*/30 * * * *", "0 */2 * * *", "30 1-3 * * *", "15 2 * * 0", "0 0 * * *", "* * * * *")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "UTC")


def ms(text: str, zone: str = "Europe/Berlin") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def days(schedule: Schedule, start: str, count: int) -> list[str]:
    at_ms, found = ms(start), []
    for _ in range(count):
        at_ms = schedule.next(at_ms)
        found.append(datetime.fromtimestamp(at_ms / 1000, ZoneInfo("Europe/Berlin")).isoformat())
    return found


def test_what_falls_into_the_hour_that_is_left_out_is_due_when_it_ends() -> None:
    assert days(Schedule("30 2 * * *", "Europe/Berlin"), "2027-03-27T12:00", 2) == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]


def test_a_fixed_time_in_the_hour_that_comes_twice_is_due_once() -> None:
    assert days(Schedule("30 2 * * *", "Europe/Berlin"), "2027-10-30T12:00", 2) == [
        "2027-10-31T02:30:00+02:00",
        "2027-11-01T02:30:00+01:00",
    ]
    assert len(set(days(Schedule("0 * * * *", "Europe/Berlin"), "2027-10-31T00:30", 4))) == 4, "each hour, both times"


@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(ZONES),
    month=st.sampled_from([3, 4, 10, 11]),
    minutes=st.integers(0, 31 * 1440),
    looks_s=st.lists(st.integers(1, 5_000), min_size=1, max_size=60),
)
def test_whoever_looks_now_and_then_sees_each_due_time_but_the_overtaken_once(
    expression: str, zone: str, month: int, minutes: int, looks_s: list[int]
) -> None:
    schedule = Schedule(expression, zone)
    began = datetime(2027, month, 1, tzinfo=UTC) + timedelta(minutes=minutes, seconds=17)
    at_ms = began_ms = round(began.timestamp() * 1000)
    seen: list[int] = []
    for look_s in looks_s:
        now_ms = at_ms + look_s * 1000
        due_ms = schedule.newest(at_ms, now_ms)
        following_ms = schedule.next(at_ms)
        assert (due_ms is None) == (following_ms > now_ms)
        if due_ms is not None:
            seen.append(due_ms)
            assert schedule.next(due_ms) > now_ms, "it is the newest"
        at_ms = now_ms
    every, due_ms = [], schedule.next(began_ms)
    while due_ms <= at_ms:
        every.append(due_ms)
        due_ms = schedule.next(due_ms)
    assert seen == sorted(set(seen))
    assert set(seen) <= set(every)


def test_a_due_time_counts_in_its_own_millisecond_and_not_before() -> None:
    schedule, due_ms = Schedule("30 2 * * *"), ms("2027-01-02T02:30", "UTC")
    assert schedule.newest(due_ms - 5_000, due_ms - 1) is None
    assert schedule.newest(due_ms - 1, due_ms) == due_ms
    assert schedule.newest(due_ms, due_ms + 86_000_000) is None


@pytest.mark.parametrize("bad", ["", "* * * *", "a b c d e", "60 * * * *", "0 0 31 2 *", "* * * * * *"])
def test_what_is_no_schedule_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="schedule"):
        Schedule(bad)


@pytest.mark.parametrize("bad", ["Nowhere/City", "../../etc/passwd", "/etc/passwd", ""])
def test_what_is_no_zone_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        Schedule("* * * * *", bad)
