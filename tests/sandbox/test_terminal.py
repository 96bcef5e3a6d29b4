"""A tree with a terminal of its own: what full-screen programs, shells and people at them need."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from sandbox_room import PYTHON, TOOLCHAIN

from mohist.sandbox import Bubblewrap, Landlock, Process, Profile, RefusedError, run


class Screen:
    """The other end of the tree's terminal."""

    def __init__(self) -> None:
        self.near, self.far = pty.openpty()
        os.set_blocking(self.near, False)
        self.said = b""
        self.resize(30, 100)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.near, text)

    async def until(self, text: bytes) -> bytes:
        """Waits for `text`; what came before it."""
        with anyio.move_on_after(60):
            while text not in self.said:
                await anyio.wait_readable(self.near)
                self.said += os.read(self.near, 65536)
        assert text in self.said, self.said
        before, _, self.said = self.said.partition(text)
        return before

    async def until_in_front(self, other_than: int) -> None:
        """Waits until other processes than the shell are in front: it starts them first, and then hands the terminal over."""
        with anyio.fail_after(60):
            while self.front == other_than:
                await anyio.lowlevel.checkpoint()

    @property
    def front(self) -> int:
        return os.tcgetpgrp(self.near)

    def close(self) -> None:
        os.close(self.near)
        os.close(self.far)


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


@pytest.fixture
def profile(workspace: Path, screen: Screen) -> Profile:
    return Profile(workspace, extra_readable=TOOLCHAIN, terminal=screen.far, env={"PS1": "$ ", "ENV": ""})


async def shell(sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen) -> Process:
    process = await sandbox.launch(["bash", "--norc", "--noprofile", "-i"], cwd=workspace, profile=profile)
    await screen.until(b"$ ")
    screen.type(b"bind 'set enable-bracketed-paste off' 2>/dev/null; stty -echo\n")
    await screen.until(b"$ ")
    return process


async def test_all_three_streams_are_the_controlling_terminal(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    code = "import os; print([os.isatty(n) for n in range(3)], os.getsid(0) == os.getpid(), os.tcgetpgrp(0) == os.getpgrp(), os.ttyname(0), flush=True); os.write(os.open('/dev/tty', os.O_RDWR), b'by name\\n'); print(sorted(os.listdir('/proc/self/fd')))"
    async with await sandbox.launch([PYTHON, "-I", "-S", "-c", code], cwd=workspace, profile=profile) as process:
        assert (await process.wait()).code == 0
        said = await screen.until(b"by name\r\n")
        assert said == b"[True, True, True] True True /dev/console\r\n"
        assert await screen.until(b"\r\n") == b"['0', '1', '2', '3', '4']"  # 3 is /dev/tty, 4 the listing's own
        assert [chunk async for chunk in process.output()] == []


async def test_a_size_is_seen_and_a_change_of_it_is_told(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    async with await shell(sandbox, workspace, profile, screen):
        screen.type(b"trap 'echo CHANGED' WINCH; stty size; sleep 0.01\n")
        await screen.until(b"30 100\r\n")
        await screen.until(b"$ ")
        screen.resize(44, 88)
        await screen.until(b"CHANGED")
        screen.type(b"stty size\n")
        await screen.until(b"44 88\r\n")


async def test_an_interrupt_reaches_what_is_in_front_alone(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    async with await shell(sandbox, workspace, profile, screen) as process:
        shells = screen.front
        screen.type(b"sh -c 'echo up; exec sleep 600'\n")
        await screen.until(b"up\r\n")
        await screen.until_in_front(shells)
        screen.type(b"\x03")
        await screen.until(b"$ ")
        screen.type(b"echo was $?\n")
        await screen.until(b"was 130\r\n")
        screen.type(b"exit 5\n")
        assert (await process.wait()).code == 5


async def test_an_interrupt_works_where_mohist_ignores_it(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    """As a shell starts what it puts into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        async with await shell(sandbox, workspace, profile, screen):
            shells = screen.front
            screen.type(b"sh -c 'echo up; exec sleep 600'\n")
            await screen.until(b"up\r\n")
            await screen.until_in_front(shells)
            screen.type(b"\x03")
            await screen.until(b"$ ")
    finally:
        signal.signal(signal.SIGINT, before)


async def test_jobs_are_stopped_and_taken_up_again(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    async with await shell(sandbox, workspace, profile, screen):
        shells = screen.front
        screen.type(b"sh -c 'echo up; exec sleep 600'\n")
        await screen.until(b"up\r\n")
        await screen.until_in_front(shells)
        screen.type(b"\x1a")
        await screen.until(b"Stopped")
        await screen.until(b"$ ")
        screen.type(b"fg\n")
        await screen.until(b"sleep 600'\r\n")
        await screen.until_in_front(shells)
        screen.type(b"\x03")
        await screen.until(b"$ ")
        screen.type(b"echo was $?\n")
        await screen.until(b"was 130\r\n")


async def test_a_terminal_that_is_hung_up_ends_the_tree(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    async with await shell(sandbox, workspace, profile, screen) as process:
        near = os.dup(screen.far)  # keeps the number taken
        os.close(screen.near)
        with anyio.fail_after(60):
            await process.wait()
        screen.near = near


async def test_raw_mode_and_keys_pass(sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen) -> None:
    code = "import os, termios, tty; tty.setraw(0); os.write(1, b'ready'); print(os.read(0, 4), end='', flush=True)"
    async with await sandbox.launch([PYTHON, "-I", "-c", code], cwd=workspace, profile=profile):
        await screen.until(b"ready")
        screen.type(b"\x03\x1a\x1b[")
        await screen.until(b"b'\\x03\\x1a\\x1b['")


async def test_nothing_can_be_typed_for_the_person(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    code = """
import fcntl, termios
for request in (termios.TIOCSTI, termios.TIOCSTI | 1 << 40, 0x541C):
    try: fcntl.ioctl(0, request & 0xFFFFFFFF, b"x"); print("typed")
    except PermissionError: print("refused")
"""
    async with await sandbox.launch([PYTHON, "-I", "-c", code], cwd=workspace, profile=profile) as process:
        await process.wait()
        await screen.until(b"refused\r\nrefused\r\nrefused\r\n")


async def test_a_person_is_no_build_machine(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, screen: Screen
) -> None:
    async with await sandbox.launch(["env"], cwd=workspace, profile=profile) as process:
        await process.wait()
        said = await screen.until(b"TERM=xterm-256color\r\n") + screen.said
        assert b"CI=" not in said
        assert b"NO_COLOR=" not in said


async def test_what_is_no_terminal_is_refused(sandbox: Bubblewrap, workspace: Path) -> None:
    read, write = os.pipe()
    try:
        with pytest.raises(RefusedError, match="none"):
            await run(sandbox, ["true"], cwd=workspace, profile=Profile(workspace, terminal=write))
    finally:
        os.close(read)
        os.close(write)


async def test_landlock_alone_refuses_a_terminal(workspace: Path, profile: Profile) -> None:
    with pytest.raises(RefusedError, match="no terminals"):
        await Landlock(accepted="landlock")._launch(["true"], workspace, profile)


async def test_a_home_of_ones_own_stays(sandbox: Bubblewrap, workspace: Path, tmp_path: Path) -> None:
    home = tmp_path / "chosen"
    home.mkdir()
    (home / "settings").write_text("old\n", encoding="utf-8")
    profile = Profile(workspace, home=home)
    done = await run(
        sandbox, ["sh", "-c", "cat ~/settings; echo new > ~/settings; mkdir ~/.config; echo $HOME; ls /home"],
        cwd=workspace, profile=profile,
    )  # fmt: skip
    assert done.output == b"old\n/home/agent\nagent\n"
    assert (home / "settings").read_text(encoding="utf-8") == "new\n"
    assert (home / ".config").stat().st_uid == home.stat().st_uid


async def test_the_users_own_home_is_no_home_to_give(
    sandbox: Bubblewrap, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("HOME", str(own))
    for home in (own, tmp_path, Path("/usr")):
        with pytest.raises(RefusedError, match="home or a system folder"):
            await run(sandbox, ["true"], cwd=workspace, profile=Profile(workspace, home=home))
    with pytest.raises(RefusedError, match="shown already"):
        await run(sandbox, ["true"], cwd=workspace, profile=Profile(workspace, home=workspace))
