"""The self-test runs once, is remembered only when it held, and stops everything when it fails."""

# ruff: noqa: ASYNC240 - tests look at the disk and start plain processes between awaits

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from mohist.sandbox import Bubblewrap, Completed, Exit, NoSandboxError, Profile, SandboxError, run, selftest
from mohist.sandbox.binary import find_bubblewrap
from mohist.sandbox.selftest import Memory, probe_sandbox


@pytest.fixture
def memory_file(tmp_path: Path) -> Path:
    return tmp_path / "fresh" / "cache" / "sandbox-selftest.json"


def leaky(tmp_path: Path, broken: str) -> Path:
    """A bwrap that loses one protection on the way."""
    real = find_bubblewrap()
    script = tmp_path / "bwrap"
    script.write_text(
        f"""#!{Path(sys.executable).resolve()} -IS
import os, sys
if "--version" in sys.argv:
    print("bubblewrap {real.version_text}"); sys.exit()
at = sys.argv.index("--args") + 1 if "--args" in sys.argv else 0
if at:
    with os.fdopen(int(sys.argv[at]), "rb", closefd=False) as stream:
        options = stream.read().split(b"\\0")[:-1]
    {broken}
    fd = os.memfd_create("x", 0); os.write(fd, b"".join(o + b"\\0" for o in options)); os.lseek(fd, 0, 0)
    os.set_inheritable(fd, True)
    sys.argv[at] = str(fd)
os.execv("{real.path}", ["bwrap", *sys.argv[1:]])
""",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


LEAKS = {
    "network": "options.remove(b'--unshare-net')",
    "kernel_calls": "i = options.index(b'--seccomp'); del options[i:i + 2]",
    "host_processes": "options.remove(b'--unshare-pid')",
    "environment": "i = options.index(b'--clearenv'); options[i + 1:i + 1] = [b'--setenv', b'SOME_PASSWORD', b'x']",
    "protected_files": "options = [b'--bind' if o == b'--ro-bind' and b'.git/hooks' in options[i + 1] else o for i, o in enumerate(options)]",
    "host_files": "i = options.index(b'--remount-ro'); options[i:i] = [b'--bind', b'/tmp', b'/tmp']",
}  # fmt: skip


@pytest.mark.skipif(os.geteuid() == 0, reason="tried in the ordinary user's run, who can start the script")
@pytest.mark.parametrize("leak", LEAKS)
async def test_a_sandbox_that_leaks_runs_nothing_and_is_not_remembered(
    leak: str, workspace: Path, tmp_path: Path, memory_file: Path
) -> None:
    sandbox = Bubblewrap(state=memory_file.parents[1], binary=leaky(tmp_path, LEAKS[leak]))
    with pytest.raises(NoSandboxError, match=f"self-test.*{leak}"):
        await run(sandbox, ["touch", "ran"], cwd=workspace, profile=Profile(workspace))
    assert not (workspace / "ran").exists()
    assert not memory_file.exists()
    held = {item.name: item.holds for item in await sandbox.report()}
    assert held["sandbox"] == "no"
    sandbox.close()


async def test_it_is_remembered_for_this_boot_and_this_bwrap_only(workspace: Path, memory_file: Path) -> None:
    state = memory_file.parents[1]
    sandbox = Bubblewrap(state=state)
    await run(sandbox, ["true"], cwd=workspace, profile=Profile(workspace))
    memory = Memory(state, sandbox.binary)
    assert memory.fresh()
    kept = json.loads(memory_file.read_text(encoding="utf-8"))
    for change in ({"key": "other"}, {"at_s": time.time() - 25 * 3600}, {"at_s": time.time() + 60}):
        memory_file.write_text(json.dumps({**kept, **change}), encoding="utf-8")
        assert not memory.fresh()
    memory_file.write_text("not json", encoding="utf-8")
    assert not memory.fresh()
    sandbox.close()


async def test_every_promise_holds_here(sandbox: Bubblewrap) -> None:
    found = {item.name: item for item in await sandbox.report()}
    assert {name for name, item in found.items() if item.holds == "no"} == set()
    assert {name for name, item in found.items() if item.holds == "weak"} == {"memory", "disk", "names"}
    assert len(found) >= 15


@pytest.mark.enable_socket
async def test_the_fence_holds_here(sandbox: Bubblewrap) -> None:
    assert (await sandbox.report_fence()).holds == "yes"


@pytest.mark.enable_socket
async def test_a_fence_that_does_not_see_every_way_out_is_told(
    sandbox: Bubblewrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "_WAYS_OUT", "import socket; socket.getaddrinfo('a.example', 1)")
    found = await sandbox.report_fence()
    assert found.holds == "no"
    assert "connect, direct, other" in found.detail


async def test_probes_that_do_not_answer_count_as_failed() -> None:
    async def silent(*_: object) -> Completed:
        return Completed(Exit(0), b'{"network": ""}', truncated=False, timed_out=False, duration_ms=1)

    held = {item.name: item.holds for item in await probe_sandbox(silent)}
    assert held.pop("network") == "yes"
    assert set(held.values()) == {"no"}


async def test_a_broken_answer_is_an_error() -> None:
    async def broken(*_: object) -> Completed:
        return Completed(Exit(1), b"Traceback", truncated=False, timed_out=False, duration_ms=1)

    with pytest.raises(SandboxError, match="self-test could not run"):
        await probe_sandbox(broken)


def test_other_systems_are_told_that_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NoSandboxError, match="darwin"):
        find_bubblewrap()


async def test_a_system_interpreter_is_not_asked_for_by_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Profile] = []

    async def runner(_argv: object, _cwd: object, profile: Profile) -> Completed:
        asked.append(profile)
        return Completed(Exit(0), b"{}", truncated=False, timed_out=False, duration_ms=1)

    monkeypatch.setattr(sys, "base_prefix", "/usr")
    await probe_sandbox(runner)
    assert [profile.extra_readable for profile in asked] == [()]
