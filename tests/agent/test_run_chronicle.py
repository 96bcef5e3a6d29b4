"""A run in the ledger: asked, about to, done, and which lines it wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from fakes.ledger import Ledger, opened
from mohist.agent.attribution import bare_hash, blob_id, line_hash, written_lines
from mohist.agent.chronicle import RunChronicle
from mohist.agent.log import RunLog
from mohist.agent.record import Check, Ended, FileChange, Grant, Header, Intent, Outcome, PreImage, User
from mohist.base import sha256_hex
from mohist.ledger import Draft, LedgerError

BEFORE = b"def f():\n    return 1\n\n\ndef g():\n    return 2\n"
AFTER = b"def f():\n    return 10\n\n\ndef g():\n    return 2\n\n\ndef h():\n    return 3\n"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as made:
        yield made


def header(workspace: Path) -> Header:
    return Header(
        run_id="run-1", task="mend f", model="m", mode="auto", workspace=str(workspace), cwd=str(workspace),
        base_commit="0" * 40, system="", tools=(), sandbox="bubblewrap", network="none",
    )  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    (tmp_path / "work").mkdir()
    with RunLog.create(tmp_path / "run", header(tmp_path / "work"), FakeClock()) as made:
        yield made


def told(ledger: Ledger, log: RunLog) -> RunChronicle:
    return RunChronicle(ledger, ledger.names.pseudonym, log, person="ada lovelace", keep=True)


def worked(log: RunLog, workspace: Path) -> None:
    path = workspace / "f.py"
    log.append(User("mend f"))
    log.append(Intent("c1", "edit", "f.py", "local", None, (PreImage(str(path), log.save_blob(BEFORE), 0o644),)))
    path.write_bytes(AFTER)
    change = FileChange(str(path), sha256_hex(BEFORE), sha256_hex(AFTER), 0o644)
    log.append(Outcome("c1", "edit", "done", "edited", written=(change,), duration_ms=5, rule_id="edit"))
    log.append(Outcome("c2", "shell", "denied", "no"))
    log.append(Grant("shell", "pytest"))
    log.append(Check("pytest -q", 0, "a" * 64, "ok", 9, "a clean copy", "b" * 64))
    log.append(Ended("done", "mended"))


def test_a_run_is_entered_from_its_opening_to_its_end(ledger: Ledger, log: RunLog, tmp_path: Path) -> None:
    told(ledger, log)
    worked(log, tmp_path / "work")
    entries = ledger.entries()
    assert [entry["kind"] for entry in entries] == [
        "run.open", "run.prompt", "tool.intent", "tool.result", "attribution", "verdict", "approval", "verdict", "run.close",
        "stream.close",
    ]  # fmt: skip
    assert {entry["stream"] for entry in entries} == {"run:run-1"}
    assert [entry["seq"] for entry in entries] == list(range(10))
    assert entries[9]["data"] == {"entries": 9}
    assert entries[3]["about"]["intent"] == entries[2]["key"]
    assert ledger.content(entries[1]) == b"mend f"
    assert b"lovelace" not in b"".join(json.dumps(entry).encode() for entry in entries)
    assert {ledger.names.name(entry["for"]) for entry in entries} == {"ada lovelace"}


def test_a_run_names_the_settings_and_rules_in_force_and_again_where_they_are_others(
    ledger: Ledger, log: RunLog, tmp_path: Path
) -> None:
    for settings in ("s1", "s1", "s2"):
        name = ledger.names.pseudonym
        RunChronicle(ledger, name, log, person="ada", keep=True, configuration={"settings": settings, "rules": "r"})
    ledger.append(Draft("heartbeat", "log", "system:test"))
    entries = [entry for entry in ledger.entries() if entry["kind"] == "configuration"]
    assert [entry["data"] for entry in entries] == [{"settings": "s1", "rules": "r"}, {"settings": "s2", "rules": "r"}]
    assert {entry["stream"] for entry in entries} == {"run:run-1"}


def test_an_attribution_names_the_lines_the_prompt_and_both_blobs(ledger: Ledger, log: RunLog, tmp_path: Path) -> None:
    told(ledger, log)
    worked(log, tmp_path / "work")
    entry = ledger.entries()[4]
    assert entry["about"]["prompt"] == "1"
    assert entry["data"] == {
        "path": "f.py", "model": "m", "tool": "edit", "before": blob_id(BEFORE), "after": blob_id(AFTER),
        "lines": 5, "removed": 1, "whole": False, "ranges": [[2, 2], [7, 10]],
    }  # fmt: skip
    trace = json.loads(ledger.content(entry))
    assert trace["version"] == "0.1.0"
    (conversation,) = trace["files"][0]["conversations"]
    assert conversation["ranges"] == [{"start_line": 2, "end_line": 2}, {"start_line": 7, "end_line": 10}]
    assert conversation["contributor"] == {"type": "ai", "model_id": "m"}
    assert trace["metadata"]["dev.mohist"]["lines"][0] == [2, line_hash("    return 10"), bare_hash("return10")]


def test_an_intent_is_durable_before_the_effect(ledger: Ledger, log: RunLog) -> None:
    told(ledger, log)
    log.append(Intent("c1", "shell", "rm x", "local", "rm x"))
    assert ledger.entries()[-1]["kind"] == "tool.intent"
    ledger.refuses = True
    with pytest.raises(LedgerError, match="disk is full"):
        log.append(Intent("c2", "shell", "rm y", "local", "rm y"))


def test_a_result_that_is_not_entered_stops_the_run_at_its_next_record(ledger: Ledger, log: RunLog) -> None:
    told(ledger, log)
    ledger.refuses = True
    log.append(Outcome("c1", "read", "done", "text"))
    ledger.refuses = False
    with pytest.raises(LedgerError, match="disk is full"):
        log.append(User("go on"))


def test_a_run_that_is_resumed_is_entered_once(ledger: Ledger, log: RunLog, tmp_path: Path) -> None:
    told(ledger, log)
    worked(log, tmp_path / "work")
    count = len(ledger.entries())
    told(ledger, log)
    assert len(ledger.entries()) == count
    log.append(User("more"))
    assert [entry["seq"] for entry in ledger.entries()] == list(range(count + 1))


def test_a_run_whose_ledger_was_away_is_entered_when_it_is_resumed(ledger: Ledger, log: RunLog, tmp_path: Path) -> None:
    worked(log, tmp_path / "work")
    told(ledger, log)
    assert len(ledger.entries()) == 10


def test_a_file_whose_content_is_gone_is_attributed_as_a_whole(ledger: Ledger, log: RunLog, tmp_path: Path) -> None:
    told(ledger, log)
    path = str(tmp_path / "work" / "gone.bin")
    log.append(
        Outcome("c1", "shell", "done", "", written=(FileChange(path, None, "f" * 64), FileChange(path, "e" * 64, None)))
    )
    log.append(Ended("done", ""))
    one, two = (entry["data"] for entry in ledger.entries() if entry["kind"] == "attribution")
    assert (one["whole"], one["lines"]) == (True, 0)
    assert two["deleted"] is True


LINES = st.lists(st.sampled_from(["a", "b", "c", "  a", "", "long line of code"]), max_size=30)


@given(LINES, LINES)
def test_what_is_not_written_is_the_old_text_in_its_order(old: list[str], new: list[str]) -> None:
    def content(lines: list[str]) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode()

    lines = written_lines(content(old), content(new))
    kept = [line for number, line in enumerate(new, 1) if number not in lines.text]
    rest = iter(old)
    assert all(line in rest for line in kept)
    assert len(old) - lines.removed == len(kept)
    assert all(new[number - 1] == text for number, text in lines.text.items())
    assert [n for first, last in lines.ranges for n in range(first, last + 1)] == list(lines.numbers)


def test_very_long_and_binary_files_take_no_time() -> None:
    old = "".join(f"line {number}\n" for number in range(9000))
    new = "".join(f"line {number}\n" for number in range(8999, -1, -1)) + "fresh\n"
    lines = written_lines(old.encode(), new.encode())
    assert (lines.numbers, lines.removed) == ((9001,), 0)
    assert written_lines(None, b"\0\1\2").whole
    assert written_lines(None, b"x\n" * 60_000).whole


def test_blobs_are_named_as_git_names_them() -> None:
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
