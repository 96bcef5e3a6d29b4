"""A recorded run that fixes a bug in a real package: its commands, edits and checks happen again, for real."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from real_package import (
    DATA,
    LIMIT_S,
    RECORDING,
    User,
    changed,
    checkout,
    ended,
    fingerprints,
    git,
    published,
    recorded_answers,
    run_words,
)

from fakes.upstream import Reply, Upstream
from mohist.agent.log import read_log
from mohist.agent.record import Outcome

pytestmark = pytest.mark.skipif(
    sys.version_info[:3] == (3, 12, 1),
    reason="unittest of this Python leaves skipped tests out of its count (gh-106584)",
)

PARSER, TESTS = "pycparser/c_parser.py", "tests/test_c_parser.py"
FIXED_TESTS = "be128ddb625083a793fe4ad6ff23e4b0f5a23aee16586f876534f160de220394"
"""sha256 of the test file as the recorded run left it. Its parser is the published one, byte for byte."""
STAT = [f"{PARSER} +1 -0", f"{TESTS} +26 -0"]
REPLAY = run_words(f"replay:{RECORDING}")


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(checkout(tmp_path), tmp_path / "state")


def fixed(user: User) -> dict[str, str]:
    """The files as the recorded run leaves them, by the user's present ones."""
    parser = hashlib.sha256(published()[PARSER]).hexdigest()
    return fingerprints(user.repo) | {PARSER: parser, TESTS: FIXED_TESTS}


def test_the_recorded_run_fixes_the_package_again_and_undo_takes_it_back(user: User) -> None:
    before, expected = fingerprints(user.repo), fixed(user)

    said = user.mohist(*REPLAY)

    assert said.code == 0, said
    result = said.json
    assert (result["status"], result["turns"], result["network"]) == ("done", 9, "none")
    assert result["diff_stat"] == STAT
    assert [(proof["exit_code"], proof["where"]) for proof in result["evidence"]] == [(0, "clean copy")] * 2
    assert [call.split()[2:4] for call in result["denied"]] == [["git", "stash"], ["rm", "-rf"]]
    # Every other file is untouched, and so are HEAD, references, objects and what is staged.
    assert fingerprints(user.repo) == expected
    assert changed(before, expected) == {PARSER, TESTS}
    assert git(user.repo, "diff", "--cached") == ""
    _holds_every_way_a_tool_answers(user)

    shown = user.mohist("runs", "show", "last")
    assert shown.code == 0
    assert result["run_id"] in shown.out
    assert "sub-agent 1: done" in shown.out
    exported = user.mohist("runs", "export", "last")
    assert [json.loads(line) for line in exported.out.splitlines()] == user.records()
    assert user.records()[-1]["status"] == "done"

    undone = user.mohist("runs", "undo", "last")
    assert (undone.code, undone.out) == (0, f"restored  {PARSER}\nrestored  {TESTS}\n")
    assert fingerprints(user.repo) == before


def test_a_package_without_the_bug_does_not_fit_the_recording_and_is_left_alone(user: User) -> None:
    git(user.repo, "apply", "-R", str(DATA / "bug.patch"))
    git(user.repo, "commit", "-q", "-a", "-m", "There is no bug")
    before = fingerprints(user.repo)

    said = user.mohist(*REPLAY)

    assert said.code == 1
    assert said.json["status"] == "failed"
    detail = said.json["detail"]
    assert "the request does not fit the recording: turn 2 differs in message 4 (tool), text, line 1, column" in detail
    assert fingerprints(user.repo) == before


@pytest.mark.enable_socket
async def test_a_run_killed_while_it_waits_for_the_model_goes_on_from_there(user: User) -> None:
    expected = fixed(user)
    replies = recorded_answers(RECORDING)[:7]
    async with Upstream([*replies, Reply(stall_at=0)]) as upstream:
        child = user.start(*run_words(f"{upstream.url}/v1#engineer"))
        # All edits are made; the model has been asked what comes next and says nothing.
        await _until(lambda: len(upstream.requests) == len(replies) + 1, child)
        child.kill()
        child.communicate(timeout=LIMIT_S)
        with anyio.fail_after(LIMIT_S):
            await upstream.hung_up.wait()
    assert user.records()[-1]["kind"] == "outcome"
    assert fingerprints(user.repo) == expected

    said = user.mohist("runs", "resume", "last", "--model", f"replay:{RECORDING}", "--output", "json")

    assert said.code == 0, said
    assert said.json["status"] == "done"
    assert said.json["diff_stat"] == STAT
    assert [proof["exit_code"] for proof in said.json["evidence"]] == [0, 0]
    assert fingerprints(user.repo) == expected


async def test_a_run_killed_within_a_command_tells_so_and_the_recording_says_that_it_does_not_fit(user: User) -> None:
    before, expected = fingerprints(user.repo), fixed(user)
    child = user.start(*REPLAY)
    await _until(lambda: any(map(_is_the_command, user.records())), child)
    child.kill()
    child.communicate(timeout=LIMIT_S)
    # However fast the machine is, the log ends where the command began.
    lines = user.log().read_bytes().splitlines(keepends=True)
    last = next(number for number, line in enumerate(lines) if _is_the_command(json.loads(line)))
    user.log().write_bytes(b"".join(lines[: last + 1]))

    said = user.mohist("runs", "resume", "last", "--output", "json")

    assert said.code == 1
    assert "1 call(s) may have taken effect when the run was stopped" in said.err
    assert "the request does not fit the recording: turn 9 differs in message" in said.json["detail"]
    (told,) = [record for record in user.records() if record.get("status") == "unknown"]
    assert told["text"].startswith("Unknown whether this ran")
    assert fingerprints(user.repo) == expected
    # Nothing is lost: what the run had changed can be taken back.
    assert user.mohist("runs", "undo", "last").code == 0
    assert fingerprints(user.repo) == before


def test_the_recording_holds_nothing_of_the_machine_it_was_made_on() -> None:
    text = RECORDING.read_text("utf-8")
    for word in ("/home/", "/root", "/work", "/tmp/pytest", "/usr/", str(Path.home())):
        assert word not in text
    assert "${WORKSPACE}" in text


def _holds_every_way_a_tool_answers(user: User) -> None:
    """That the recorded run is worth its name: a refusal, a failed edit, cut output, calls side by side, a sub-agent."""
    outcomes = [record for record in user.records() if record["kind"] == "outcome"]
    tools = {record["tool"] for record in outcomes}
    assert tools == {"done", "edit", "plan", "read", "search", "shell", "symbols", "task"}
    assert [record["tool"] for record in outcomes if record["status"] == "denied"] == ["shell", "shell"]
    (mistake,) = [record for record in outcomes if record["status"] == "failed"]
    assert "'old' stands at 2 places: lines 6688, 6708" in mistake["text"]
    (cut,) = [record for record in outcomes if record["spilled"]]
    assert "[lines 157-316 of 462 left out; all " in cut["text"]
    (child,) = user.log().parent.glob("sub/*")
    asked = [entry.record.tool for entry in read_log(child) if isinstance(entry.record, Outcome)]
    assert sorted(asked) == ["read", "search", "search"]


def _is_the_command(record: dict[str, Any]) -> bool:
    return bool(record["kind"] == "intent" and record["command"] == "python3 -m unittest -v")


async def _until(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    """Looks until `condition` holds; fails at once when the command has ended before."""
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert child.poll() is None, ended(child)
        assert time.monotonic() < deadline_s, f"waited {LIMIT_S} s"
        await anyio.sleep(0.005)
