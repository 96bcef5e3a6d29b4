"""What the guard found is taken down once, off the calls' path, and what was let pass is known soon."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from gateway_call import until
from prometheus_client import CollectorRegistry, generate_latest

from fakes.clock import FakeClock
from mohist.base import MohistError, SystemClock
from mohist.gateway.address import Address, file_address
from mohist.gateway.errors import ConflictError, NotThereError, StoreError
from mohist.gateway.screen.archive import Archive, Release
from mohist.gateway.screen.book import MAX_OF_KEY, MAX_WAITING, TURN_S, Book
from mohist.gateway.screen.metric import GuardMetrics
from mohist.gateway.screen.note import Noted

NOW_MS = SystemClock().now_ms()
NOTED = Noted(
    call_id="call-1",
    at_ms=NOW_MS,
    direction="out",
    mode="enforce",
    action="block",
    ruling="secret",
    released="",
    alarm=False,
    detector="secret",
    rule="betterleaks.github-pat",
    data_class="secret.token",
    confidence=0.97,
    digest="ab" * 16,
    place="the result of tool Read, message 3, line 4",
    via="base64",
    dialect="anthropic-messages",
    client="claude-cli/2",
    session_id="s1",
    model="m",
    key_id="key-1",
    user="ann",
    project="shop",
    team="core",
    upstream="main",
    vendor="acme",
    region="us",
    self_hosted=False,
)
RELEASE = Release("release-1", "", "", NOW_MS, None, "bob", "no secret")


def noted(**changes: object) -> Noted:
    return dataclasses.replace(NOTED, **changes)  # type: ignore[arg-type]


@pytest.fixture
def book(address: Address) -> Iterator[Book]:
    one = Book(partial(Archive, address), SystemClock(), poll_s=0.02)
    one.start()
    yield one
    one.stop()


def rows(address: Address) -> list[dict[str, object]]:
    with Archive(address) as archive:
        return [dict(row) for row in archive.list(0, 1_000)]


def test_a_finding_is_taken_down_with_all_that_is_known_but_the_thing(book: Book, address: Address) -> None:
    book.take([NOTED])
    assert book.flush(10)
    [row] = rows(address)
    for field in dataclasses.fields(NOTED):
        if field.name not in ("confidence", "alarm", "self_hosted"):
            assert row[field.name] == getattr(NOTED, field.name)
    assert (row["confidence_percent"], row["alarm"], row["self_hosted"]) == (97, 0, 0)


def test_a_session_s_findings_are_taken_down_once_and_a_stopped_call_each_time(book: Book, address: Address) -> None:
    again = [noted(action="note"), noted(call_id="call-2", action="note"), noted(call_id="call-3", action="mask")]
    book.take([*again, noted(action="note", session_id="s2"), noted(action="note", upstream="second")])
    book.take([NOTED, noted(call_id="call-2")])
    assert book.flush(10)
    assert sorted(str(row["action"]) for row in rows(address)) == ["block", "block", "mask", "note", "note", "note"]
    assert sum(book.counted().values()) == 7


def test_an_alarm_is_logged_once_for_a_session_and_without_the_thing(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    alarm = noted(action="note", alarm=True)
    book.take([alarm])
    book.take([alarm, noted(action="note", session_id="s2")])
    assert len(caplog.messages) == 1
    assert "betterleaks.github-pat in call call-1: the result of tool Read" in caplog.text


def test_a_release_is_known_soon_and_ends_when_it_should(book: Book, address: Address) -> None:
    book.take([NOTED])
    assert book.flush(10)
    assert book.released(NOTED.digest, NOTED.rule) == ""
    with Archive(address) as archive:
        made = archive.release(NOTED.digest[:12], RELEASE)
        assert made.digest == NOTED.digest
        until(lambda: book.released(NOTED.digest, NOTED.rule) == "bob")
        assert book.released("cd" * 16, NOTED.rule) == ""
        archive.end_release("release-1", NOW_MS + 1, "eve")
        until(lambda: book.released(NOTED.digest, NOTED.rule) == "")
        with pytest.raises(NotThereError):
            archive.end_release("release-1", NOW_MS + 2, "eve")
        past = dataclasses.replace(RELEASE, release_id="release-2", until_ms=NOW_MS - 1)
        archive.release(NOTED.digest[:12], past)
        narrow = dataclasses.replace(RELEASE, release_id="release-3", rule="other.rule")
        archive.release(NOTED.digest[:12], narrow)
        until(lambda: book.released(NOTED.digest, "other.rule") == "bob")
        assert book.released(NOTED.digest, NOTED.rule) == ""
        assert [one.release_id for one in archive.releases()] == ["release-1", "release-2", "release-3"]
        assert [one.release_id for one in archive.releases(NOW_MS)] == ["release-3"]
        ended = archive.releases()[0]
        assert (ended.user, ended.because, ended.ended_by) == ("bob", "no secret", "eve")


def test_a_release_is_of_one_value_that_was_found(address: Address) -> None:
    with Archive(address) as archive:
        archive.add([NOTED, noted(digest="ab" * 6 + "0" * 20)])
        for strange in ("ffffffffffff", "", "ab", "abababz", "%%%%%%%"):
            with pytest.raises(NotThereError):
                archive.release(strange, RELEASE)
        with pytest.raises(ConflictError):
            archive.release("ab" * 6, RELEASE)
        assert archive.release("ab" * 7, RELEASE).digest == NOTED.digest


def test_the_report_counts_by_what_is_asked(address: Address) -> None:
    with Archive(address) as archive:
        archive.add([NOTED, noted(call_id="c2"), noted(call_id="c3", session_id="", digest="cd" * 16)])
        archive.add([noted(mode="observe", team="web"), noted(action="note", at_ms=NOW_MS - 10_000)])
        teams = archive.counts("team", NOW_MS - 5_000)
        assert [(row.name, row.action, row.mode, row.findings, row.values, row.sessions) for row in teams] == [
            ("core", "block", "enforce", 3, 2, 2),
            ("web", "block", "observe", 1, 1, 1),
        ]
        assert {row.action for row in archive.counts("rule", 0)} == {"block", "note"}
        values = archive.values(0, 10)
        assert [(value.digest[:2], value.findings) for value in values] == [("ab", 3), ("cd", 1)]
        assert archive.forget(NOW_MS - 5_000) == 1
        page = archive.list(0, 2)
        last = page[-1]
        rest = archive.list(0, 10, (int(str(last["at_ms"])), str(last["finding_id"])))
        assert len(page) + len(rest) == 4


def test_old_findings_are_forgotten(address: Address) -> None:
    with Archive(address) as archive:
        archive.add([noted(at_ms=NOW_MS - 8 * 86_400_000), NOTED])
    one = Book(partial(Archive, address), SystemClock(), keep_days=7, poll_s=0.02)
    one.start()
    until(lambda: len(rows(address)) == 1)
    one.stop()


def test_what_the_database_can_not_take_waits_and_what_is_too_much_is_counted(tmp_path: Path) -> None:
    away = threading.Event()
    away.set()
    address = file_address(tmp_path / "gateway.db")

    def open_it() -> Archive:
        if away.is_set():
            raise StoreError("The gateway's database is away.")
        return Archive(address)

    one = Book(open_it, SystemClock(), file=tmp_path / "none.db", poll_s=0.01)
    one.start()
    one.take([noted(call_id=str(number), key_id=f"key-{number % 8}") for number in range(MAX_WAITING + 5)])
    until(lambda: bool(one.trouble))
    assert one.lost == 5
    registry = CollectorRegistry()
    registry.register(GuardMetrics(one))
    told = generate_latest(registry).decode()
    assert "mohist_guard_findings_lost_total 5.0" in told
    assert "mohist_guard_trouble 1.0" in told
    labels = 'action="block",alarm="0",data_class="secret.token",direction="out",mode="enforce"'
    assert f"mohist_guard_findings_total{{{labels}}} 20005.0" in told
    away.clear()
    until(lambda: one.flush(0.1), 30)
    one.stop()
    with Archive(address) as archive:
        [count] = archive.counts("rule", 0)
        assert count.findings == MAX_WAITING


def test_what_one_key_brings_too_much_of_is_counted_and_said_once_and_others_are_written_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    one = Book(partial(Archive, file_address(tmp_path / "gateway.db")), clock, poll_s=0.01)
    one.start()
    for call in range(2):
        one.take([noted(call_id=f"{call}-{number}", alarm=True) for number in range(MAX_OF_KEY - 1)])
    one.take([noted(key_id="key-2")])
    assert one.lost == MAX_OF_KEY - 2
    assert sum(one.counted().values()) == 2 * MAX_OF_KEY - 1
    assert caplog.messages.count("more findings of the guard in calls by key key-1 than are written down") == 1
    assert len(caplog.messages) == MAX_OF_KEY + 1
    clock.advance(TURN_S)
    one.take([NOTED])
    assert one.lost == MAX_OF_KEY - 2
    one.stop()
    with Archive(file_address(tmp_path / "gateway.db")) as archive:
        [count] = archive.counts("rule", 0)
    assert count.findings == MAX_OF_KEY + 2


def test_a_process_without_findings_opens_no_database_and_knows_the_releases(tmp_path: Path) -> None:
    file = tmp_path / "gateway.db"

    def never() -> Archive:
        raise MohistError("opened")

    one = Book(never, SystemClock(), file=file)
    one.start()
    assert one.released(NOTED.digest, NOTED.rule) == ""
    one.stop()
    with Archive(file) as archive:
        archive.add([NOTED])
        archive.release(NOTED.digest[:12], RELEASE)
    two = Book(never, SystemClock(), file=file)
    two.start()
    assert two.released(NOTED.digest, NOTED.rule) == "bob"
    two.stop()
