"""A person's terminal lent to a confined client: a pseudo-terminal between the two, and everything restored afterwards.

What the client writes is passed on as it is, escape sequences included; a person at a terminal asked for that. What it
switches on and leaves on (the other screen, the mouse, a hidden cursor) is switched off when it is over.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import anyio

from mohist.app.errors import ConfigError
from mohist.app.govern.descriptor import give, take
from mohist.app.govern.restore import packed

_KEPT_BYTES: Final = 32
"""A sequence can be cut between two chunks; those that are looked for are shorter than this."""
_MODE: Final = re.compile(rb"\x1b\[\?([0-9;]{1,24})([hl])")
_KEYBOARD: Final = re.compile(rb"\x1b\[([<>])[0-9]{0,3}u")
_NORMALLY_ON: Final = frozenset({7, 25})
"""DEC private modes that are on unless somebody switches them off: line wrap, the cursor."""
_OURS: Final = frozenset({7, 9, 25, 47, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1049, 2004, 2026, 2031})
"""Modes that a shell does not expect to find changed (xterm's control sequences, DECSET)."""


class Modes:
    """What a client has switched on or off and not back, told from what it writes."""

    def __init__(self) -> None:
        self._changed: dict[int, None] = {}
        self._keyboard = 0
        self._tail = b""

    def see(self, data: bytes) -> None:
        """Looks at a chunk of output."""
        text = self._tail + data
        end = 0
        for found in sorted((*_MODE.finditer(text), *_KEYBOARD.finditer(text)), key=lambda one: one.start()):
            end = found.end()
            if found.re is _KEYBOARD:
                self._keyboard = max(0, self._keyboard + (1 if found[1] == b">" else -1))
                continue
            for number in (int(part) for part in found[1].split(b";") if part):
                if number not in _OURS:
                    continue
                if (found[2] == b"h") == (number in _NORMALLY_ON):
                    self._changed.pop(number, None)
                else:
                    self._changed[number] = None
        self._tail = text[max(end, len(text) - _KEPT_BYTES) :]

    def undo(self) -> bytes:
        """What sets the terminal right again; empty where nothing was left."""
        parts = [b"\x1b[<u"] * self._keyboard
        parts += [b"\x1b[?%d%c" % (one, ord("h" if one in _NORMALLY_ON else "l")) for one in reversed(self._changed)]
        return b"".join(parts) + (b"\x1b[0m" if parts else b"")


class Terminal:
    """Borrows the terminal of `source` and `sink` while it is entered.

    Args:
        source: a terminal's descriptor that is read.
        sink: a terminal's descriptor that is written.
        guard: starts a process with these arguments that sets the terminal right should this one be killed, and returns its
            pid; None: nobody does.
    """

    def __init__(self, source: int = 0, sink: int = 1, guard: Callable[[list[str]], int] | None = None) -> None:
        self._source = source
        self._sink = sink
        self._guard = guard
        self._guarding = 0
        self._modes = Modes()
        self._master = -1
        self.slave = -1
        """For the client: its stdin, stdout, stderr and controlling terminal."""
        self._before: list[object] = []

    def __enter__(self) -> Self:
        try:
            self._before = termios.tcgetattr(self._source)
            self._master, self.slave = os.openpty()
            termios.tcsetattr(self.slave, termios.TCSANOW, self._before)  # type: ignore[arg-type]
            self.resize()
        except (OSError, termios.error) as error:
            self._close()
            raise ConfigError(f"The terminal can't be lent: {error}.", "Run it with its input from a pipe.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()
        self._close()

    def raw(self) -> None:
        """From now on keys go to the client as they are; Ctrl-C too."""
        tty.setraw(self._source, termios.TCSADRAIN)
        if self._guard is not None and not self._guarding:
            left, before = packed(termios.tcgetattr(self._source)), packed(self._before)
            self._guarding = self._guard([str(os.getpid()), os.ttyname(self._source), left, before])

    def restore(self) -> None:
        """Sets everything back; may be called at any time, and again."""
        with suppress(OSError):
            if undo := self._modes.undo():
                os.write(self._sink, undo)
                self._modes = Modes()
        with suppress(OSError, termios.error):
            termios.tcsetattr(self._source, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]
        if self._guarding:
            with suppress(ProcessLookupError):  # our own child, which nobody has waited for: the pid is its own still
                os.kill(self._guarding, signal.SIGKILL)
            self._guarding = 0

    def resize(self) -> None:
        """Tells the client the size of the terminal; the kernel signals it."""
        with suppress(OSError):
            size = fcntl.ioctl(self._source, termios.TIOCGWINSZ, bytes(struct.calcsize("HHHH")))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def lent(self) -> None:
        """The client has the other end now; ours is closed, so that its end is seen."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    async def carry(self, typed: Callable[[bytes], object] = lambda _keys: None) -> None:
        """Passes keys in and output out until the client's side is closed by all who have it.

        Args:
            typed: is told of keys, before they are passed in.
        """
        os.set_blocking(self._master, False)
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow_size)
            group.start_soon(self._keys, typed)
            await self._output()
            group.cancel_scope.cancel()

    async def _output(self) -> None:
        while data := await take(self._master):
            self._modes.see(data)
            await give(self._sink, data)

    async def _keys(self, typed: Callable[[bytes], object]) -> None:
        while data := await take(self._source):
            typed(data)
            await give(self._master, data)

    async def _follow_size(self) -> None:
        with anyio.open_signal_receiver(signal.SIGWINCH) as signals:
            async for _ in signals:
                self.resize()

    def _close(self) -> None:
        for fd in (self._master, self.slave):
            if fd >= 0:
                os.close(fd)
        self._master = self.slave = -1
