"""The shell and job tools, on a sandbox that does as it is told and on the real one."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from fakes.clock import FakeClock
from fakes.process import FakeProcess, FakeSandbox
from mohist.agent.tool import FileLedger, Result, SpillStore, ToolContext, ToolError
from mohist.agent.tool.job import HEAD_BYTES, OUTPUT_BYTES, TAIL_BYTES, Job, Jobs
from mohist.agent.tool.shell import JobTool, ShellTool, readable
from mohist.sandbox import Bubblewrap, Profile, Sandbox, SandboxError

SOON = 0.001
LONG = 60


class Bench:
    """Both tools over one sandbox, in a task group as the session has it."""

    def __init__(self, folder: Path, sandbox: Sandbox, group: anyio.abc.TaskGroup, hard_s: float = 600) -> None:
        root = (folder / "work").resolve()
        root.mkdir(exist_ok=True)
        self.spill = SpillStore(folder / "spill")
        self.ctx = ToolContext(root, root, sandbox, Profile(root, git_writable=False), FileLedger(), self.spill)
        self.clock = FakeClock()
        self.jobs = Jobs(group, sandbox, self.spill, self.clock, hard_s)
        self.shell = ShellTool(
            lambda: self.jobs,
            self.clock,
            LONG,
            "/bin/sh",
            lambda command: command == "ls",
            lambda command: "git add" in command,
        )
        self.job = JobTool(lambda: self.jobs, self.clock)
        self.said: list[str] = []

    async def run(self, command: str, **more: Any) -> Result:
        return await self._call(self.shell, command=command, **more)

    async def poll(self, job_id: str = "j1", **more: Any) -> Result:
        return await self._call(self.job, id=job_id, **more)

    async def _call(self, tool: Any, **arguments: Any) -> Result:
        args = tool.parse(json.dumps(arguments))
        tool.access(args, self.ctx)
        with anyio.fail_after(30):
            result: Result = await tool.run(args, self.ctx, self.said.append)
        return result


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with anyio.create_task_group() as group:
        yield Bench(tmp_path, FakeSandbox(), group)
        group.cancel_scope.cancel()


def newest(bench: Bench) -> FakeProcess:
    assert isinstance(bench.ctx.sandbox, FakeSandbox)
    return bench.ctx.sandbox.processes[-1]


async def begun(bench: Bench, command: str = "make") -> FakeProcess:
    """A command past its soft time-out."""
    args = bench.shell.parse(json.dumps({"command": command}))
    job = await bench.jobs.start(["/bin/sh", "-c", args.command], command, bench.ctx.workspace, Profile(bench.ctx.workspace))  # fmt: skip
    assert job.job_id
    return newest(bench)


async def seen(bench: Bench, size_bytes: int, job_id: str = "j1") -> Job:
    """Waits until the run has taken in so much output."""
    job = bench.jobs.get(job_id)
    assert job is not None
    with anyio.fail_after(60):
        while job.size_bytes < size_bytes:
            await anyio.lowlevel.checkpoint()
    return job


async def test_a_command_that_goes_on_gives_a_handle_and_then_only_what_is_new(bench: Bench) -> None:
    process = await begun(bench)
    process.say(b"first\n")
    await seen(bench, 6)
    result = await bench.poll(wait_s=0)
    assert (result.text.splitlines()[0], "job j1" in result.text) == ("first", True)
    process.say(b"second\n")
    await seen(bench, 13)
    assert (await bench.poll(wait_s=0)).text.splitlines()[0] == "second"
    process.say(b"third\n")
    process.end(3)
    assert (await bench.poll()).text == "third\n[exit code 3]"
    assert (await bench.poll()).text == "[exit code 3]"


async def test_a_killed_job_says_so_and_keeps_its_last_words(bench: Bench) -> None:
    process = await begun(bench)
    process.say(b"words\n")
    result = await bench.poll(action="kill")
    assert result.text == "words\n[exit code 143; killed as asked]"
    assert process.killed >= 1
    assert bench.jobs.running() == []


async def test_an_unknown_job_is_answered_with_the_running_ones(bench: Bench) -> None:
    await begun(bench)
    with pytest.raises(ToolError, match="running: j1"):
        await bench.poll("j9")


async def test_a_command_past_its_hard_limit_is_killed_and_says_so(tmp_path: Path) -> None:
    async with anyio.create_task_group() as group:
        bench = Bench(tmp_path, FakeSandbox(), group, hard_s=SOON)
        result = await bench.run("sleep 9999")
        assert "ran longer than shell_hard_timeout_s" in result.text


async def test_a_flood_is_stopped_and_memory_stays_bounded(bench: Bench) -> None:
    process = await begun(bench)
    piece = b"y" * (8 * 1024**2)
    for _ in range(OUTPUT_BYTES // len(piece) + 1):
        process.say(piece)
    result = await bench.poll()
    assert "wrote more than any reader needs" in result.text
    assert len(result.text) < 100_000
    job = bench.jobs.get("j1")
    assert job is not None
    assert len(job._head) + len(job._tail) <= HEAD_BYTES + 2 * TAIL_BYTES


async def test_long_output_is_shown_by_head_and_tail_and_its_spill_holds_all_of_it(bench: Bench) -> None:
    process = await begun(bench)
    whole = b"".join(b"line %d\n" % number for number in range(200_000))
    for start in range(0, len(whole), 65536):
        process.say(whole[start : start + 65536])
    process.end()
    result = await bench.poll()
    (name,) = result.spilled
    path = bench.spill.path(name)
    assert path is not None
    assert path.read_bytes() == whole
    assert name in result.text
    assert result.text.startswith("line 0\n")
    assert "line 199999\n[exit code 0]" in result.text


async def test_a_cancelled_wait_kills_the_command_it_began(bench: Bench) -> None:
    with anyio.move_on_after(10) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(bench.run, "sleep 9999")
            while not getattr(bench.ctx.sandbox, "processes", []):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert newest(bench).killed >= 1
    assert bench.jobs.running() == []


async def test_a_cancelled_look_leaves_the_job_running(bench: Bench) -> None:
    process = await begun(bench)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.poll)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert process.killed == 0
    assert len(bench.jobs.running()) == 1


async def test_leaving_the_run_kills_what_still_runs(tmp_path: Path) -> None:
    async with anyio.create_task_group() as group:
        bench = Bench(tmp_path, FakeSandbox(), group)
        process = await begun(bench)
        group.cancel_scope.cancel()
    assert process.killed == 1


async def test_a_process_whose_end_nobody_sees_ends_its_call_not_the_run(bench: Bench) -> None:
    process = await begun(bench)
    process.failure = SandboxError("the sandbox was lost")
    process.end()
    assert "the sandbox was lost" in (await bench.poll()).text


async def test_a_full_disk_ends_the_spill_not_the_command(bench: Bench) -> None:
    bench.spill.folder.parent.mkdir(exist_ok=True)
    bench.spill.folder.write_text("a file in the place of the folder", encoding="utf-8")
    process = await begun(bench)
    process.say(b"words\n")
    process.end()
    assert (await bench.poll()).text == "words\n[exit code 0]"


async def test_a_refused_launch_is_told(bench: Bench) -> None:
    assert isinstance(bench.ctx.sandbox, FakeSandbox)
    bench.ctx.sandbox.refusal = SandboxError("no namespaces here")
    with pytest.raises(SandboxError, match="no namespaces"):
        await bench.run("ls")


async def test_what_the_sandbox_refused_is_told(bench: Bench) -> None:
    (await begun(bench)).end(1, "a system call that the sandbox does not allow")
    assert "the sandbox refused: a system call" in (await bench.poll()).text


async def test_without_a_sandbox_nothing_runs(bench: Bench) -> None:
    bench.ctx = replace(bench.ctx, profile=None)
    with pytest.raises(ToolError, match="no sandbox"):
        await bench.run("ls")


@pytest.mark.parametrize("command", ["", "  \n", "a\0b", "echo \ud800"])
def test_a_command_that_no_shell_can_be_given_is_refused(tmp_path: Path, command: str) -> None:
    tool = ShellTool(lambda: None, FakeClock(), 1, "/bin/sh", lambda _: False, lambda _: False)  # type: ignore[arg-type,return-value]
    with pytest.raises(ToolError):
        tool.parse(json.dumps({"command": command}))


async def test_a_command_that_only_looks_takes_no_lock(bench: Bench) -> None:
    def access(command: str) -> Any:
        return bench.shell.access(bench.shell.parse(json.dumps({"command": command})), bench.ctx)

    assert not access("ls").exclusive
    assert access("make").exclusive
    assert access("make").writes == {bench.ctx.workspace}


def test_escapes_and_direction_marks_are_neutralised() -> None:
    text = readable(
        b"\x1b[31mred\x1b]0;t\x07\r\nx\xc2\x9b2Jy \xe2\x80\xaeevil\xe2\x81\xa6 a\rb \x00 \xff \xe4\xbd\xa0\xe5\xa5\xbd\ttab\n"
    )
    assert text == "�[31mred�]0;t�\nx�2Jy �evil� a�b � � 你好\ttab\n"


@pytest.mark.parametrize("size", [10, HEAD_BYTES, HEAD_BYTES + TAIL_BYTES, HEAD_BYTES + TAIL_BYTES + 1, 2_000_000])
@pytest.mark.parametrize("piece", [7_001, 65536])
def test_output_is_whole_or_says_what_is_missing(size: int, piece: int) -> None:
    whole = bytes(number * 7 % 251 for number in range(size))
    job = Job("j", "", FakeProcess(), 0)
    for start in range(0, size, piece):
        job.take(whole[start : start + piece])
    for start in (0, size // 3, max(0, size - 100), size):
        shown = job.output_from(start)
        head, mark, tail = shown.partition(b" bytes left out]\n")
        if not mark:
            assert shown == whole[start:]
            continue
        head, _, missing = head.rpartition(b"\n[")
        assert whole[start:].startswith(head)
        assert whole.endswith(tail)
        assert len(head) + int(missing) + len(tail) == size - start


@pytest.fixture(scope="session")
def bubblewrap() -> Iterator[Bubblewrap]:
    sandbox = Bubblewrap(grace_s=0.2)
    yield sandbox
    sandbox.close()


@pytest.fixture
async def real(tmp_path: Path, bubblewrap: Bubblewrap) -> AsyncIterator[Bench]:
    async with anyio.create_task_group() as group:
        yield Bench(tmp_path, bubblewrap, group)
        group.cancel_scope.cancel()


async def test_a_real_command_writes_into_the_workspace_and_its_streams_come_in_order(real: Bench) -> None:
    result = await real.run("echo out; echo err >&2; echo made > made.txt; exit 7")
    assert result.text == "out\nerr\n[exit code 7]"
    assert (real.ctx.workspace / "made.txt").read_text(encoding="utf-8") == "made\n"


async def test_each_real_command_starts_afresh_where_it_is_told(real: Bench) -> None:
    (real.ctx.workspace / "sub").mkdir()
    assert (await real.run("cd /; x=1; export x; pwd")).text.startswith("/\n")
    assert (await real.run('pwd; echo "x=$x"', cwd="sub")).text.startswith(f"{real.ctx.workspace}/sub\nx=\n")
    with pytest.raises(ToolError):
        await real.run("pwd", cwd="/etc")


async def test_a_real_command_that_waits_for_input_gets_none(real: Bench) -> None:
    assert "[exit code 1]" in (await real.run("read line")).text


async def test_a_real_command_that_ignores_term_and_forks_is_gone_after_a_kill(real: Bench) -> None:
    result = await real.run("trap '' TERM; (trap '' TERM; sleep 1000) & echo up; sleep 1000; sleep 1000", timeout_s=1)
    assert "still running as job j1" in result.text
    job = real.jobs.get("j1")
    assert job is not None
    await real.poll(action="kill")
    with pytest.raises(ProcessLookupError):
        os.kill(job.process.pid, 0)


async def test_only_a_command_that_says_so_may_change_the_repository(bench: Bench) -> None:
    sandbox = bench.ctx.sandbox
    assert isinstance(sandbox, FakeSandbox)
    async with anyio.create_task_group() as group:
        for number, command in enumerate(("git add a.txt", "python commit.py")):
            group.start_soon(bench.run, command)
            with anyio.fail_after(60):
                while len(sandbox.processes) <= number:
                    await anyio.lowlevel.checkpoint()
            newest(bench).end(0)
    assert [profile.git_writable for _, _, profile in sandbox.launched] == [True, False]
