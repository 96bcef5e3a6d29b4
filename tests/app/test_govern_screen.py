"""A made-up client with a screen, inside the fence, at a person's terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_S = 60.0
PYTHON = str(Path(sys.executable).resolve())
CLIENT = """#!@PYTHON@
import os, signal, sys, termios, tty
out = lambda text: os.write(1, text.encode())
before = termios.tcgetattr(0)
tty.setraw(0)
out("\\x1b[?1049h\\x1b[?25l")
out(f"[{os.ttyname(0)} {os.environ.get('TERM')} {'CI' in os.environ} {os.get_terminal_size(0).lines}]")
signal.signal(signal.SIGWINCH, lambda *_: out(f"[size {os.get_terminal_size(0).columns}x{os.get_terminal_size(0).lines}]"))
open("/dev/tty").close()
while True:
    try:
        key = os.read(0, 1)
    except InterruptedError:
        continue
    if key == b"\\x1a":
        out("[stops]\\x1b[?1049l")
        os.kill(os.getpid(), signal.SIGSTOP)
        out("\\x1b[?1049h[goes on]")
    elif key == b"\\x03":
        out("[ctrl-c]")
    elif key == b"q":
        out("\\x1b[?25h\\x1b[?1049l")
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        sys.exit(3)
    else:
        out(f"[{key!r}]")
"""


class Seat:
    """A person before a terminal in which the client runs."""

    def __init__(self, folder: Path) -> None:
        self.master, self.slave = os.openpty()
        os.set_blocking(self.master, False)
        termios.tcsetwinsize(self.slave, (40, 120))
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        for name in ("bin", "shop", "state"):
            (folder / name).mkdir()
        client = folder / "bin/made-up"
        client.write_text(CLIENT.replace("@PYTHON@", PYTHON), encoding="utf-8")
        client.chmod(0o755)
        route = 'name = "one"\ndialect = "openai-chat"\nurl = "http://127.0.0.1:9/v1"\n'
        text = f'[[routes]]\nmodel = "good-model"\n[[routes.upstreams]]\n{route}'
        (folder / "state/routes.toml").write_text(text, encoding="utf-8")
        env = {"HOME": str(folder), "MOHIST_HOME": str(folder / "state"), "PATH": os.environ["PATH"]}
        env |= {"TERM": "xterm-kitty", "MOHIST_GUARD_MODE": "off", "PYTHONWARNINGS": "error", "CI": "1"}
        command = [sys.executable, "-m", "mohist", "govern", "--dialect", "openai-chat", "--", str(client)]
        # A session of its own, without a shell that could let it go on: there it may not stop either.
        self.child = subprocess.Popen(
            command,
            cwd=folder / "shop",
            env=env,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )

    def until(self, fact: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not fact():
            assert time.monotonic() < deadline_s, self.seen
            try:
                self.seen += os.read(self.master, 65536)
            except BlockingIOError:
                os.sched_yield()

    def sees(self, text: str) -> None:
        """Waits for it, and forgets what came before."""
        self.until(lambda: text.encode() in self.seen)
        self.seen = self.seen.partition(text.encode())[2]

    def types(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def close(self) -> None:
        self.child.kill()
        self.child.wait(PATIENCE_S)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    made = Seat(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_client_has_a_terminal_of_its_own_in_the_persons_size_and_the_keys_are_its(seat: Seat) -> None:
    seat.sees("reaches the gateway alone")
    seat.sees("xterm-kitty False 40]")
    seat.types(b"x\x03\x04")
    seat.sees("[b'x'][ctrl-c][b'\\x04']")
    termios.tcsetwinsize(seat.slave, (24, 80))
    os.kill(seat.child.pid, signal.SIGWINCH)  # the kernel tells those whose controlling terminal it is
    seat.sees("[size 80x24]")
    seat.types(b"q")
    seat.until(lambda: seat.child.poll() is not None)
    seat.sees("the client ended with 3")
    assert seat.child.returncode == 1
    assert termios.tcgetattr(seat.slave) == seat.before


def test_a_client_that_stops_itself_goes_on(seat: Seat) -> None:
    seat.sees("40]")
    seat.types(b"\x1a")
    seat.sees("[stops]")
    seat.sees("[goes on]")
    seat.types(b"y")
    seat.sees("[b'y']")
    assert termios.tcgetattr(seat.slave) != seat.before


def test_a_hang_up_ends_the_client_and_the_terminal_is_as_it_was(seat: Seat) -> None:
    seat.sees("40]")
    seat.child.send_signal(signal.SIGHUP)
    seat.until(lambda: seat.child.poll() is not None)
    seat.sees("\x1b[?25h\x1b[?1049l")
    seat.sees("it tried to reach nothing but the gateway")
    assert seat.child.returncode == 130
    assert termios.tcgetattr(seat.slave) == seat.before


def test_a_client_that_is_killed_leaves_the_terminal_as_it_was(seat: Seat) -> None:
    seat.sees("40]")
    (client,) = [pid for pid in _below(seat.child.pid) if _words(pid)[1].endswith("bin/made-up")]
    os.kill(client, signal.SIGKILL)
    seat.until(lambda: seat.child.poll() is not None)
    seat.sees("\x1b[?25h\x1b[?1049l")
    seat.sees("the client ended with 137")
    assert termios.tcgetattr(seat.slave) == seat.before


def _words(pid: int) -> list[str]:
    return [*Path(f"/proc/{pid}/cmdline").read_text("utf-8").split("\0"), ""]


def _below(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            found += [int(child), *_below(int(child))]
    return found
