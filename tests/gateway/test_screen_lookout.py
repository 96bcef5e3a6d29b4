"""What a client's own texts say beside their words, over many sessions: counted once a session, kept, told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from mohist.gateway.call import Principal
from mohist.gateway.guard import Destination, Outbound
from mohist.gateway.screen import Screen, ScreenSettings
from mohist.gateway.screen import lookout as lookouts
from mohist.gateway.screen.lookout import RULE, Lookout, client_of, kept
from mohist.gateway.screen.note import Noted
from mohist.guard import Block, GuardDataError, Request, Scanner, keyed
from mohist.guard.matcher.fallback import Re2Matcher
from mohist.guard.placeholder import Mint
from mohist.guard.ruling import Mode, Rulebook

TEXT = "\n".join(f"- Rule {at}: don't touch what is the user's own." for at in range(20))
TO = Destination("main", "acme", "us", "", False)


def request(asker: str, session: str, text: str) -> Outbound:
    body = {"model": "m", "system": text, "messages": [{"role": "user", "content": "hello"}]}
    who = Principal(f"key-{asker}", asker)
    return Outbound(
        "call", who, "agent-cli/1.2 (external)", "anthropic-messages", session, "m", TO, json.dumps(body).encode()
    )


def shown(watch: Lookout, asker: str, session: str, *, marked: bool) -> None:
    text = TEXT.replace("don't", "don\u2019t") if marked else TEXT
    call = request(asker, session, text)
    watch.see(call, Request(call.body, call.dialect).blocks)


def watched(file: Path, told: list[Noted]) -> Lookout:
    made = Lookout(file, keyed(b"k" * 32), FakeClock(), "enforce", told.extend)
    made.start()
    return made


def test_a_mark_that_goes_with_the_asker_is_told_once_and_as_a_note(tmp_path: Path) -> None:
    told: list[Noted] = []
    for part in range(4):  # what waits is bounded, so they come in parts, as over days
        watch = watched(tmp_path / "clients.json", told if part == 3 else [])
        for number in range(part * 20, part * 20 + 20):
            shown(watch, f"a{number % 4}", f"s{number}", marked=number % 4 == 0)
        watch.stop()
        assert watch.trouble == ""
        assert watch.passed_by == 0
    assert told
    assert {(one.rule, one.data_class, one.action, one.detector) for one in told} == {(RULE, RULE, "note", "covert")}
    assert len({one.place for one in told}) == len(told)
    assert "system" in told[0].place
    (suspicion, *_) = kept(tmp_path / "clients.json").suspicions()
    assert (suspicion.client, suspicion.version) == ("agent-cli", "1.2")


def test_an_honest_client_is_not_told(tmp_path: Path) -> None:
    told: list[Noted] = []
    watch = watched(tmp_path / "clients.json", told)
    for number in range(60):
        shown(watch, f"a{number % 4}", f"s{number}", marked=False)
    watch.stop()
    assert told == []
    assert kept(tmp_path / "clients.json").suspicions() == []


def test_a_session_is_counted_once_also_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "clients.json"
    for _ in range(2):
        watch = watched(file, [])
        for _ in range(3):
            shown(watch, "ann", "one", marked=False)
        watch.stop()
    sessions = json.loads(file.read_bytes())["sessions"]
    assert len(sessions) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"ann" not in file.read_bytes()


def test_what_waits_is_bounded_and_a_call_without_a_session_is_not_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookouts, "MAX_WAITING", 2)
    watch = Lookout(tmp_path / "clients.json", keyed(b"k" * 32), FakeClock(), "enforce", lambda _noted: None)
    watch.see(request("ann", "", TEXT), [Block(TEXT, "system")])
    for number in range(5):
        watch.see(request("ann", f"s{number}", TEXT), [Block(TEXT, "system"), Block("x", "user")])
    assert watch.passed_by == 3
    watch.start()
    watch.stop()
    assert len(json.loads((tmp_path / "clients.json").read_bytes())["sessions"]) == 2


def test_a_damaged_file_is_begun_anew_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "clients.json"
    file.write_bytes(b"{")
    with pytest.raises(GuardDataError):
        kept(file)
    watch = watched(file, [])
    shown(watch, "ann", "one", marked=False)
    watch.stop()
    assert "given up" in caplog.text


@pytest.mark.parametrize(("mode", "count"), [("enforce", 1), ("observe", 1), ("off", 0)])
def test_the_screen_shows_what_goes_out_unless_it_is_off(mode: Mode, count: int) -> None:
    seen: list[str] = []
    key = keyed(b"k" * 32)
    screen = Screen(
        Scanner([], Re2Matcher([], 100), key),
        Rulebook((), ()),
        Mint(b"k" * 32),
        key,
        FakeClock(),
        ScreenSettings(mode=mode),
        watch=lambda call, blocks: seen.extend(f"{call.session_id} {block.source}" for block in blocks),
    )
    screen.outbound(request("ann", "one", TEXT))
    assert seen.count("one system") == count


@pytest.mark.parametrize(
    ("said", "read"),
    [("claude-cli/2.1 (external)", ("claude-cli", "2.1")), ("curl", ("curl", "")), ("", ("", "")), ("a/1/2", ("a", "1/2"))],
)  # fmt: skip
def test_a_client_is_known_by_name_and_version(said: str, read: tuple[str, str]) -> None:
    assert client_of(said) == read
