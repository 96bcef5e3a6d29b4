"""A person's terminal is lent to a client and is afterwards as it was, whatever ended it."""

# ruff: noqa: ASYNC240 - tests look at the disk between awaits

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.app.govern.restore import packed, unpacked
from mohist.app.govern.terminal import Modes, Terminal

PATIENCE_S = 60.0


@pytest.fixture
def screen() -> Iterator[tuple[int, int]]:
    """What the person sees and types on, and the terminal that Mohist has."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    yield master, slave
    os.close(master)
    os.close(slave)


def size(fd: int) -> tuple[int, int]:
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


async def read_until(fd: int, wanted: bytes) -> bytes:
    data = b""
    with anyio.fail_after(PATIENCE_S):
        while wanted not in data:
            await anyio.wait_readable(fd)
            data += os.read(fd, 65536)
    return data


async def test_keys_go_in_and_output_comes_out_untouched(screen: tuple[int, int]) -> None:
    person, lent = screen
    with Terminal(lent, lent) as terminal:
        client = os.dup(terminal.slave)
        tty.setraw(client)
        terminal.lent()
        terminal.raw()
        async with anyio.create_task_group() as group:
            group.start_soon(terminal.carry)
            os.write(person, b"a\x03\x1a\x04\x1b[A")  # Ctrl-C, Ctrl-Z and Ctrl-D are the client's
            assert await read_until(client, b"\x1b[A") == b"a\x03\x1a\x04\x1b[A"
            os.write(client, b"\x1b[2Jscreen\r\n")
            assert await read_until(person, b"screen") == b"\x1b[2Jscreen\r\n"
            os.close(client)  # and with the last one who has it, carrying ends


async def test_the_size_is_the_terminals_and_follows_it(screen: tuple[int, int]) -> None:
    person, lent = screen
    with Terminal(lent, lent) as terminal:
        client = os.dup(terminal.slave)
        terminal.lent()
        assert size(client) == (40, 120)
        async with anyio.create_task_group() as group:
            group.start_soon(terminal.carry)
            fcntl.ioctl(person, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
            with anyio.fail_after(PATIENCE_S):
                while size(client) != (30, 100):
                    os.kill(os.getpid(), signal.SIGWINCH)  # as the kernel tells a terminal's own processes
                    await anyio.lowlevel.checkpoint()
            os.close(client)


async def test_everything_is_restored_when_it_is_left(screen: tuple[int, int]) -> None:
    person, lent = screen
    before = termios.tcgetattr(lent)

    async def broken_off() -> None:
        with Terminal(lent, lent) as terminal:
            client = os.dup(terminal.slave)
            terminal.lent()
            terminal.raw()
            assert termios.tcgetattr(lent) != before
            async with anyio.create_task_group() as group:
                group.start_soon(terminal.carry)
                os.write(client, b"\x1b[?1049h\x1b[?1000;1006h\x1b[?25l\x1b[>1u\x1b[?2004h\x1b[?2004lrest")
                await read_until(person, b"rest")
                os.close(client)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await broken_off()
    assert termios.tcgetattr(lent) == before
    assert os.read(person, 200) == b"\x1b[<u\x1b[?25h\x1b[?1006l\x1b[?1000l\x1b[?1049l\x1b[0m"


async def test_a_client_that_cleans_up_is_not_cleaned_up_after(screen: tuple[int, int]) -> None:
    person, lent = screen
    with Terminal(lent, lent) as terminal:
        client = os.dup(terminal.slave)
        terminal.lent()
        async with anyio.create_task_group() as group:
            group.start_soon(terminal.carry)
            os.write(client, b"\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049lbye")
            await read_until(person, b"bye")
            os.close(client)
    os.set_blocking(person, False)
    with pytest.raises(BlockingIOError):
        os.read(person, 200)


_PIECES = st.sampled_from(
    [b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?1000;1006h", b"text", b"\x1b", b"\x1b[>7u"]
)


@given(st.lists(_PIECES, max_size=20), st.integers(1, 9))
def test_modes_are_seen_however_the_output_is_cut(pieces: list[bytes], step: int) -> None:
    data = b"".join(pieces)
    whole, cut = Modes(), Modes()
    whole.see(data)
    for start in range(0, len(data), step):
        cut.see(data[start : start + step])
    assert cut.undo() == whole.undo()


def test_attributes_of_a_terminal_survive_an_argument_list(screen: tuple[int, int]) -> None:
    _, lent = screen
    before = termios.tcgetattr(lent)
    tty.setraw(lent)
    left = termios.tcgetattr(lent)
    assert packed(unpacked(packed(left))) == packed(left)
    termios.tcsetattr(lent, termios.TCSANOW, unpacked(packed(before)))  # type: ignore[arg-type]
    assert termios.tcgetattr(lent) == before


_KILLED = """
import os, sys, time
from functools import partial
from pathlib import Path
from mohist.app.govern.terminal import Terminal
from mohist.sandbox import start_detached
guard = partial(start_detached, "mohist.app.govern.restore", env=dict(os.environ), log=Path(sys.argv[1]))
with Terminal(0, 1, guard) as terminal:
    terminal.raw()
    os.write(1, b"\\x1b[?1000hready")
    time.sleep(60)
"""


def started(command: list[str], terminal: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE)


@pytest.mark.parametrize("touched", [False, True])
async def test_a_killed_mohist_leaves_no_raw_terminal_and_a_shell_that_was_faster_is_let_be(
    screen: tuple[int, int], tmp_path: Path, touched: bool
) -> None:
    person, lent = screen
    before = termios.tcgetattr(lent)
    script = [sys.executable, "-c", _KILLED, str(tmp_path / "log")]
    with started(script, lent) as child:
        await read_until(person, b"ready")
        assert termios.tcgetattr(lent) != before
        if touched:
            own = termios.tcgetattr(lent)
            own[6][termios.VINTR] = b"\x07"
            termios.tcsetattr(lent, termios.TCSANOW, own)
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text("ascii").split()
        child.kill()
    assert len(children) == 1
    with anyio.fail_after(PATIENCE_S):
        while Path(f"/proc/{children[0]}").exists() and not touched and termios.tcgetattr(lent) != before:
            await anyio.lowlevel.checkpoint()
        if touched:
            while _runs(int(children[0])):
                await anyio.lowlevel.checkpoint()
    assert (termios.tcgetattr(lent) == before) is not touched
    if not touched:
        assert b"\x1b[?1000l" in await read_until(person, b"\x1b[0m")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").split()[2] != "Z"
    except OSError:
        return False


def test_what_waits_for_the_kill_ends_with_a_run_that_ends_well(screen: tuple[int, int], tmp_path: Path) -> None:
    _, lent = screen
    script = _KILLED.replace("time.sleep(60)", "")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")],
        stdin=lent,
        stdout=lent,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    deadline_s = time.monotonic() + PATIENCE_S
    while _waiting() and time.monotonic() < deadline_s:
        os.sched_yield()
    assert _waiting() == []


def _waiting() -> list[str]:
    """The waiters whose Mohist was this process's child."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"mohist.app.govern.restore" in words and not Path(f"/proc/{words[-5].decode()}").exists():
            found.append(str(path))
    return found
