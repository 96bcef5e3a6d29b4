"""A tree ends as a whole: by itself, by limit, by kill, by cancellation, and with whoever started it."""

# ruff: noqa: ASYNC110, ASYNC240 - tests look at the disk and start plain processes between awaits

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from sandbox_room import PYTHON, TOOLCHAIN

from mohist.sandbox import Bubblewrap, Limits, Profile, SandboxError, run


def pids_of(mark: str) -> list[int]:
    """Processes on the host whose command line holds `mark`, zombies aside."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in line:
                found.append(int(folder.name))
    return found


def zombies() -> list[str]:
    """Ended children of ours that nobody has waited for."""
    children = [
        pid
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text(encoding="utf-8").split()
    ]
    return [pid for pid in children if "State:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")]


async def until(condition) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.01)


async def collect(process) -> bytes:
    return b"".join([chunk async for chunk in process.output()])


async def test_output_and_exit_code_come_back(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    done = await run(sandbox, ["sh", "-c", "echo out; echo err >&2; exit 3"], cwd=workspace, profile=profile)
    assert done.exit.code == 3
    assert done.output == b"out\nerr\n"
    assert not done.timed_out
    assert not done.truncated


async def test_stdin_is_empty(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    done = await run(sandbox, ["cat"], cwd=workspace, profile=profile, timeout_s=20)
    assert (done.exit.code, done.output, done.timed_out) == (0, b"", False)


async def test_files_made_inside_belong_to_the_workspaces_owner(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    done = await run(sandbox, ["sh", "-c", "mkdir d && echo x > d/f && rm a.txt"], cwd=workspace, profile=profile)
    assert done.exit.code == 0, done.output
    made = (workspace / "d" / "f").stat()
    assert (made.st_uid, made.st_gid) == (workspace.stat().st_uid, workspace.stat().st_gid)
    assert not (workspace / "a.txt").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_root_works_as_the_owner_of_somebody_elses_workspace(sandbox: Bubblewrap, workspace: Path) -> None:
    for path in (workspace, *workspace.rglob("*")):
        os.chown(path, 4321, 4322)
    done = await run(sandbox, ["sh", "-c", "echo x > f; stat -c %u ."], cwd=workspace, profile=Profile(workspace))
    assert done.output == b"1000\n"
    assert ((workspace / "f").stat().st_uid, (workspace / "f").stat().st_gid) == (4321, 4322)


async def test_the_outside_sees_an_unprivileged_user(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    async with await sandbox.launch(["sleep", "600"], cwd=workspace, profile=profile) as process:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert set(uids) == {uids[0]}
        assert uids[0] != "0"


async def test_a_read_only_workspace_can_be_read_and_not_written(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    closed = Profile(workspace, writable=False)
    done = await run(sandbox, ["sh", "-c", "cat a.txt; echo x > b"], cwd=workspace, profile=closed)
    assert done.output.startswith(b"one\n")
    assert done.exit.code != 0
    assert not (workspace / "b").exists()


async def test_an_unknown_program_is_told_like_a_shell_does(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    done = await run(sandbox, ["no-such-program"], cwd=workspace, profile=profile)
    assert done.exit.code == 127
    assert b"no-such-program" in done.output


async def test_a_grandchild_that_holds_the_pipe_does_not_hang_the_wait(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    with anyio.fail_after(60):
        done = await run(sandbox, ["sh", "-c", "sleep 600 & echo started"], cwd=workspace, profile=profile)
    assert done.output == b"started\n"
    assert done.exit.code == 0


async def test_a_daemon_that_left_its_session_dies_with_the_main_process(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    mark = f"600.{os.getpid()}1"
    script = f"setsid setsid sh -c 'trap \"\" TERM HUP; sleep {mark}' >/dev/null 2>&1 & while ! pgrep -f 'slee[p] {mark}' >/dev/null; do :; done"
    done = await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=profile, timeout_s=30)
    assert done.exit.code == 0, done.output
    assert pids_of(mark) == []


async def test_a_time_limit_ends_a_tree_that_is_deaf_to_term(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    mark = f"600.{os.getpid()}2"
    script = f"trap '' TERM INT HUP; (trap '' TERM; sleep {mark}) & (trap '' TERM; setsid sleep {mark}) & echo up; wait; wait; sleep {mark}"
    done = await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=profile, timeout_s=1)
    assert done.timed_out
    assert done.exit.code == 128 + signal.SIGKILL
    assert done.output == b"up\n"
    assert pids_of(mark) == []


async def test_term_lets_a_polite_program_clean_up(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    script = "trap 'echo bye > cleaned; exit 7' TERM; echo up; while :; do sleep 0.05; done"
    process = await sandbox.launch(["sh", "-c", script], cwd=workspace, profile=profile)
    async with process:
        async for _ in process.output():
            await process.kill()
    assert (workspace / "cleaned").exists()
    assert (await process.wait()).code == 7


async def test_kill_twice_and_wait_after_it_are_harmless(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    process = await sandbox.launch(["sleep", "600"], cwd=workspace, profile=profile)
    async with anyio.create_task_group() as group:
        group.start_soon(process.kill)
        group.start_soon(process.wait)
        group.start_soon(collect, process)
        group.start_soon(process.kill)
    await process.kill()
    assert (await process.wait()).code in (128 + signal.SIGTERM, 128 + signal.SIGKILL)


async def test_cancelling_the_owner_leaves_no_process(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    mark = f"600.{os.getpid()}3"
    async with anyio.create_task_group() as group:

        async def work() -> None:
            script = f"trap '' TERM; sleep {mark} & sleep {mark}"
            await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=profile)

        group.start_soon(work)
        await until(lambda: len(pids_of(mark)) >= 2)
        group.cancel_scope.cancel()
    assert pids_of(mark) == []
    assert [path.name for path in workspace.iterdir() if path.name == ".claude"] == []


async def test_cancelling_while_it_starts_leaves_no_process(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    mark = f"600.{os.getpid()}4"
    await run(sandbox, ["true"], cwd=workspace, profile=profile)
    for checkpoints in (0, 1, 2, 4, 8):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run(sandbox, ["sleep", mark], cwd=workspace, profile=profile))
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert pids_of(mark) == []


def test_the_tree_dies_with_its_starter_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    mark = f"600.{os.getpid()}5"
    folder = tmp_path / "work"
    folder.mkdir()
    code = f"""
import anyio
from pathlib import Path
from mohist.sandbox import Bubblewrap, Profile, run
async def main():
    folder = Path({str(folder)!r})
    await run(Bubblewrap(), ["sh", "-c", "trap '' TERM; echo up > up; sleep {mark}"], cwd=folder, profile=Profile(folder))
anyio.run(main)
"""
    starter = subprocess.Popen([sys.executable, "-c", code])
    try:

        async def scenario() -> None:
            await until(lambda: starter.poll() is not None or (folder / "up").exists())
            starter.kill()
            starter.wait()
            await until(lambda: pids_of(mark) == [])
            assert (folder / ".claude").is_dir()  # nobody was left to remove it
            await run(Bubblewrap(), ["true"], cwd=folder, profile=Profile(folder))
            assert [path.name for path in folder.iterdir()] == ["up"]

        anyio.run(scenario)
    finally:
        starter.kill()
        starter.wait()


@pytest.mark.parametrize(
    ("limits", "code", "denied"),
    [
        (Limits(processes=40), "import os,time\nn=0\ntry:\n  while n < 200:\n    if not os.fork(): time.sleep(600)\n    n+=1\nexcept OSError as e: print('held', n < 45, e.errno)", None),
        (Limits(file_bytes=1 << 20), "import os\nos.write(os.open('big', os.O_CREAT|os.O_WRONLY), b'x'*(1<<20))\ntry: os.write(os.open('big', os.O_APPEND|os.O_WRONLY), b'y')\nexcept OSError: print('held')", None),
        (Limits(memory_bytes=128 << 20), "try: bytearray(256 << 20)\nexcept MemoryError: print('held')", None),
        (Limits(open_files=64), "import os\ntry:\n  while True: os.dup(0)\nexcept OSError: print('held')", None),
        (Limits(cpu_s=1), "print('held', flush=True)\nwhile True: pass", "processor time"),
    ],
    ids=["fork bomb", "huge file", "memory", "descriptors", "processor time"],
)  # fmt: skip
async def test_a_limit_holds(
    sandbox: Bubblewrap, workspace: Path, limits: Limits, code: str, denied: str | None
) -> None:
    profile = Profile(workspace, extra_readable=TOOLCHAIN, limits=limits)
    done = await run(sandbox, [PYTHON, "-I", "-S", "-c", code], cwd=workspace, profile=profile, timeout_s=30)
    assert done.output.startswith(b"held"), done.output
    assert b"False" not in done.output
    assert not done.timed_out
    assert (denied or "") in (done.exit.denied or "")


async def test_a_flood_is_cut_and_killed(
    sandbox: Bubblewrap, profile: Profile, workspace: Path, tmp_path: Path
) -> None:
    done = await run(
        sandbox, ["yes", "0123456789"], cwd=workspace, profile=profile, timeout_s=30,
        output_limit_bytes=10_000, flood_bytes=4 << 20, spill=tmp_path / "spill",
    )  # fmt: skip
    assert not done.timed_out
    assert done.truncated
    assert len(done.output) < 10_100
    assert "output" in (done.exit.denied or "")
    assert (tmp_path / "spill").stat().st_size > 4 << 20


async def test_no_descriptor_comes_along(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    fd = os.open(workspace / "a.txt", os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        done = await run(sandbox, ["ls", "/proc/self/fd"], cwd=workspace, profile=profile)
    finally:
        os.close(fd)
    assert done.output.split() == [b"0", b"1", b"2", b"3"]  # 3 is ls's own


async def test_no_zombie_is_left_to_a_system_that_does_not_reap(
    sandbox: Bubblewrap, profile: Profile, workspace: Path
) -> None:
    before = set(zombies())
    for argv in (["true"], ["sh", "-c", "sleep 600 & setsid sleep 600 & exit 1"], ["sh", "-c", "kill -9 $$"]):
        await run(sandbox, argv, cwd=workspace, profile=profile)
    slow = await run(sandbox, ["sleep", "600"], cwd=workspace, profile=profile, timeout_s=0.1)
    assert slow.timed_out
    assert set(zombies()) - before == set()


async def test_many_at_once_in_one_workspace(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    codes = []

    async def one(number: int) -> None:
        script = f"test -d .claude && ! touch .claude/x 2>/dev/null && exit {number}"
        codes.append((await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=profile)).exit.code)

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(one, number)
    assert sorted(codes) == list(range(12))
    assert not (workspace / ".claude").exists()


async def test_descriptors_are_given_back(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    await run(sandbox, ["true"], cwd=workspace, profile=profile)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for argv in (["true"], ["no-such-program"], ["sh", "-c", "kill -9 $$"]):
        await run(sandbox, argv, cwd=workspace, profile=profile)
    with pytest.raises(SandboxError):
        await run(sandbox, ["true"], cwd=workspace.parent, profile=profile)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
