"""What a start leaves behind when Mohist, or bwrap, ends in the midst of it."""

# ruff: noqa: ASYNC110 - tests look at processes between awaits

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest

from mohist.sandbox import Bubblewrap, Profile, SandboxError, run

_TRIES = 40
_SPINS = 400_000
"""About as long as a start takes."""

# Forks for each line it reads, since Python's own start would take longer than all else; each fork tells its pid and
# then starts one sandbox after the other.
_STARTER = """
import os, sys
from pathlib import Path
import anyio, anyio._backends._asyncio
from mohist.sandbox import Bubblewrap, Profile, run
folder, state, mark = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3][::-1]
async def main():
    sandbox = Bubblewrap(state=state, grace_s=0)
    print(os.getpid(), flush=True)
    while True:
        await run(sandbox, ["sleep", mark], cwd=folder, profile=Profile(folder), timeout_s=0.001)
for line in sys.stdin:
    child = os.fork()
    if not child:
        anyio.run(main)
    os.waitpid(child, 0)
"""

# Answers signals itself, and tells how each start went.
_ANSWERER = """
import signal, sys
from pathlib import Path
import anyio
from mohist.sandbox import Bubblewrap, Profile, run
folder, state = Path(sys.argv[1]), Path(sys.argv[2])
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
async def main():
    sandbox = Bubblewrap(state=state)
    for _ in range(15):
        print("starts", flush=True)
        done = await run(sandbox, ["echo", "ok"], cwd=folder, profile=Profile(folder))
        print(done.exit.code, done.output, flush=True)
anyio.run(main)
"""


def marked(mark: str) -> list[int]:
    """Processes whose command line holds `mark`, but for those of bwrap that have not taken the filter.

    bwrap takes it right before the gate inside: a process without it has started nothing, and where its other half is
    dead it waits for it for ever (docs/threats/sandbox.md says so).
    """
    return [pid for pid, waits in _found(mark).items() if not waits]


def _found(mark: str) -> dict[int, bool]:
    """Processes whose command line holds `mark`, and whether each is bwrap before its filter."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes()
                if mark.encode() in line:
                    unfiltered = "Seccomp:\t0" in (folder / "status").read_text(encoding="utf-8")
                    is_bwrap = os.path.basename(line.split(b"\0")[0]) == b"bwrap"  # noqa: PTH119 - bytes
                    found[int(folder.name)] = is_bwrap and unfiltered
    return found


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.01)


@contextmanager
def program(code: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.fixture
def proven(sandbox: Bubblewrap, profile: Profile, workspace: Path) -> None:
    """The self-test is remembered, so that a start is nothing but a start."""
    anyio.run(lambda: run(sandbox, ["true"], cwd=workspace, profile=profile))


async def test_killing_mohist_at_any_moment_of_a_start_leaves_no_command(
    proven: None, workspace: Path, state: Path
) -> None:
    mark = f"600.{os.getpid()}71"
    chance = random.Random(7)
    with program(_STARTER, str(workspace), str(state), mark[::-1]) as starter:
        assert starter.stdin
        assert starter.stdout
        try:
            for _ in range(_TRIES):
                starter.stdin.write("\n")
                starter.stdin.flush()
                pid = int(starter.stdout.readline())
                if chance.random() < 0.5:
                    await until(lambda: _found(mark) != {})
                for _ in range(chance.randrange(_SPINS)):
                    pass
                os.kill(pid, signal.SIGKILL)
                await until(lambda: marked(mark) == [])
        finally:
            for pid in _found(mark):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_a_signal_to_the_terminals_processes_does_not_reach_a_start(proven: None, workspace: Path, state: Path) -> None:
    chance = random.Random(7)
    with program(_ANSWERER, str(workspace), str(state)) as answerer:
        assert answerer.stdout
        told = []
        for line in answerer.stdout:
            if line != "starts\n":
                told.append(line)
                continue
            for number in (signal.SIGINT, signal.SIGHUP):
                for _ in range(chance.randrange(_SPINS // 4)):
                    pass
                os.killpg(answerer.pid, number)
        assert told == ["0 b'ok\\n'\n"] * 15


async def test_a_start_that_loses_bwrap_fails_at_once(
    sandbox: Bubblewrap, profile: Profile, workspace: Path, proven: None
) -> None:
    mark = f"600.{os.getpid()}72"
    errors = []
    with anyio.fail_after(60):
        for _ in range(10):
            async with anyio.create_task_group() as group:

                async def launch() -> None:
                    try:
                        await run(sandbox, ["sleep", mark], cwd=workspace, profile=profile)
                    except SandboxError as error:
                        errors.append(error)

                group.start_soon(launch)
                while not (found := _found(mark)):
                    await anyio.lowlevel.checkpoint()
                os.kill(min(found), signal.SIGKILL)
    assert errors
    assert marked(mark) == []
