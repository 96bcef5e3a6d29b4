"""Stopped at any moment: by a person, by the machine, by a full disk. Nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from developer import Developer, Endpoint, Said, Scripted, call, says, shell, until

from fakes.upstream import Reply, chat_wire

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_run_and_commands_and_the_run_can_go_on(
    dev: Developer, upstream: Start, stop: signal.Signals
) -> None:
    endpoint = upstream(
        says("", call("write", path="made.txt", content="made\n")),
        shell(f"echo x >> greet.py; (setsid {dev.sleeper()} &); {dev.sleeper()}"),
        says("All done."),
    )
    child = dev.start("run", "--model", endpoint.model, "do it")
    until(lambda: len(dev.running()) >= 2, "both sleepers")
    os.killpg(child.pid, stop)
    said = dev.ended(child)
    assert said.code == 130, said.err
    assert dev.running() == []
    assert "cancelled" in said.out
    assert dev.records()[-1]["kind"] == "ended"
    assert dev.records()[-1]["status"] == "cancelled"
    assert dev.outcomes()[-1]["status"] == "cancelled"
    resumed = dev.mohist("runs", "resume", "last")
    assert resumed.code == 0, resumed.err
    assert "may have taken effect in part" in endpoint.results()[-1]
    assert dev.mohist("runs", "undo", "last").code == 0
    assert dev.git("status", "--porcelain") == ""


def test_a_signal_while_the_model_speaks_ends_the_run(dev: Developer, upstream: Start) -> None:
    wire = chat_wire("a long story that is never told to its end")
    endpoint = upstream(Reply(wire, stall_at=len(wire) // 2), says("All done."))
    child = dev.start("run", "--model", endpoint.model, "do it")
    until(lambda: endpoint.requests, "the request")
    os.killpg(child.pid, signal.SIGINT)
    assert dev.ended(child).code == 130
    assert dev.kinds()[-1] == "ended"
    until(endpoint.upstream.hung_up.is_set, "the connection to be closed")
    assert dev.mohist("runs", "resume", "last").code == 0


def test_an_effect_interrupted_by_a_kill_is_told_as_unknown_and_not_repeated(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell(f"echo once >> greet.py; {dev.sleeper()}"), says("All done."))
    child = dev.start("run", "--model", endpoint.model, "do it")
    until(dev.running, "the sleeper")
    child.kill()
    child.wait(60)
    until(lambda: not dev.running(), "the orphan to die", 5)
    assert dev.kinds()[-1] == "intent"
    assert "open" in dev.mohist("runs", "list").out
    said = dev.mohist("run", "--resume", "last")
    assert said.code == 0, said.err
    assert "may have taken effect when the run was stopped" in said.err
    assert "Unknown whether this ran" in endpoint.results()[-1]
    assert "greet.py" in endpoint.words().split("Unknown whether this ran")[1]
    assert dev.read("greet.py") == 'print("hello")\nonce\n'
    assert dev.mohist("runs", "undo", "last").code == 0
    assert dev.git("status", "--porcelain") == ""


@pytest.mark.parametrize("first", [1, 2])
def test_a_run_killed_at_any_record_goes_on_and_no_effect_happens_twice(dev: Developer, first: int) -> None:
    """Kills after record 1, 2, 3, …; each append to the tally is a side effect that a repetition would show."""

    def answers() -> list[Scripted]:
        return [
            says("I read.", call("read", path="tally")),
            says("I edit.", call("edit", path="tally", edits=[{"old": "start\n", "new": "start\nedited\n"}])),
            says("I run.", call("shell", command="echo ran >> tally")),
            says("All done."),
        ]

    with Endpoint(answers()) as whole:
        dev.write("tally", "start\n")
        assert dev.run(whole).code == 0
    records = len(dev.records())
    wanted = "start\nedited\nran\n"
    assert dev.read("tally") == wanted
    for count in range(first, records, 2):
        dev.write("tally", "start\n")
        runs = len(dev.logs())
        with Endpoint(answers()) as endpoint:
            child = dev.start("run", "--model", endpoint.model, "do it")
            log = until(lambda runs=runs: dev.logs()[runs:], "the log")[0]
            until(lambda log=log, count=count: log.read_bytes().count(b"\n") >= count, f"{count} records")
            child.kill()
            child.wait(60)
            answered = log.read_bytes().count(b'"kind":"assistant"')
            if b'"kind":"ended"' in log.read_bytes():
                continue
            # The model goes on where it was: what it has answered it does not say again. It reads before it edits.
            with Endpoint([answers()[0], *answers()[answered:]]) as rest:
                said = dev.mohist("runs", "resume", "last", "--model", rest.model)
                assert said.code == 0, (count, said.out + said.err)
                text = "\n".join(r.body.decode() for r in rest.requests)
        lines = dev.read("tally").splitlines()
        assert len(lines) == len(set(lines)), (count, lines)
        unknown = "Unknown whether this ran" in text
        if lines != wanted.split():
            # Something did not happen: then the model was told that it is unknown, or that it did not start.
            assert unknown or "did not start" in text, (count, lines)
        assert dev.kinds()[-1] == "ended"
    assert dev.mohist("runs", "undo", "last").code == 0
    assert dev.read("tally") == "start\n"
    assert not list((dev.home / "runs").glob("*/torn"))


def test_a_run_killed_before_its_first_record_is_listed_and_refused_clearly(dev: Developer, upstream: Start) -> None:
    assert dev.run(upstream(says("fine"))).code == 0
    dev.logs()[0].write_bytes(b"")
    assert dev.mohist("runs", "list").code == 0
    for words in (("resume", "last", "go on"), ("undo", "last")):
        said = dev.mohist("runs", *words)
        assert said.code in (1, 2)
        assert "never started" in said.err
    assert "before its first record" in dev.mohist("runs", "show", "last").err


def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(dev: Developer, upstream: Start) -> None:
    """A bound on file size stands for the full disk: it needs no root, and the kernel refuses at the same place."""
    # The ledger is left out: its own file would be the first to hit the bound, which the next test is about.
    dev.home.mkdir(parents=True, exist_ok=True)
    (dev.home / "mohist.toml").write_text("[ledger]\non = false\n", "utf-8")
    said = _limited(dev, upstream)
    assert said.code == 1, said.out
    assert "Can't write the log of 'run-" in said.err
    assert "Make room, then: mohist runs resume" in said.err
    assert dev.kinds()[-1] in ("outcome", "assistant", "intent")
    made = sorted(path.name for path in dev.repo.glob("f*.txt"))
    assert made
    with Endpoint([says("All done.")]) as rest:
        assert dev.mohist("runs", "resume", "last", "--model", rest.model).code == 0
    assert dev.mohist("runs", "undo", "last").code == 0
    assert dev.git("status", "--porcelain") == ""


def test_a_disk_that_is_full_for_the_ledger_lets_nothing_be_done(dev: Developer, upstream: Start) -> None:
    said = _limited(dev, upstream)
    assert said.code == 1, said.out
    assert "ledger" in said.err
    assert sorted(dev.repo.glob("f*.txt")) == []


def _limited(dev: Developer, upstream: Start) -> Said:
    """A run that writes again and again, under a bound on file size."""
    writes = [says("", call("write", path=f"f{n}.txt", content="y" * 8000)) for n in range(12)]
    endpoint = upstream(*writes)
    limited = (
        "import resource, signal, sys, runpy; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY)); "
        f"sys.argv = ['mohist', 'run', '--model', {endpoint.model!r}, 'do it']; "
        "runpy.run_module('mohist', run_name='__main__')"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", limited],
        cwd=dev.repo,
        env=dev.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    dev.started.append(child)
    return dev.ended(child)


def test_a_damaged_log_is_refused_and_left_as_it_is(dev: Developer, upstream: Start) -> None:
    assert dev.run(upstream(shell("echo 1 > made"), says("fine"))).code == 0
    log = dev.logs()[0]
    rows = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(rows[:3] + rows[4:]))
    damaged = log.read_bytes()
    assert "unreadable" in dev.mohist("runs", "list").out
    for words in (("show", "last"), ("undo", "last"), ("resume", "last", "go on")):
        said = dev.mohist("runs", *words)
        assert said.code == 1
        assert "lines were taken out or put in" in said.err
    assert log.read_bytes() == damaged
    assert dev.read("made") == "1\n"


def test_a_torn_last_line_is_put_aside_and_the_run_goes_on(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("echo 1 > made"), says("fine"), says("All done."))
    assert dev.run(endpoint).code == 0
    log = dev.logs()[0]
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    assert dev.mohist("runs", "show", "last").code == 0
    assert dev.mohist("runs", "resume", "last", "more").code == 0
    assert json.loads(log.read_bytes().splitlines()[-1])["status"] == "done"
    assert [path.read_bytes() for path in log.parent.glob("torn/*")] == [whole.splitlines(keepends=True)[-1][:-20]]
