"""A sandbox whose processes do what the test tells them, step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio

from mohist.sandbox import Exit, Profile


class FakeProcess:
    """Fills `Process`. The test calls `say` and `end`; `kill` ends it with 143 unless it is `stubborn`."""

    def __init__(self) -> None:
        self.killed = 0
        self.failure: Exception | None = None
        self._pieces: deque[bytes] = deque()
        self._more = anyio.Event()
        self._exit: Exit | None = None
        self._ended = anyio.Event()

    @property
    def pid(self) -> int:
        return 4711

    def say(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._more.set()

    def end(self, code: int = 0, denied: str | None = None) -> None:
        if self._exit is None:
            self._exit = Exit(code, denied)
            self._more.set()
            self._ended.set()

    async def output(self) -> AsyncIterator[bytes]:
        while self._pieces or self._exit is None:
            if self._pieces:
                await anyio.lowlevel.checkpoint()
                yield self._pieces.popleft()
            else:
                self._more = anyio.Event()
                await self._more.wait()

    async def wait(self) -> Exit:
        await self._ended.wait()
        if self.failure is not None:
            raise self.failure
        assert self._exit is not None
        return self._exit

    async def kill(self) -> None:
        self.killed += 1
        await anyio.lowlevel.checkpoint()
        self.end(143)


class FakeSandbox:
    """Fills `Sandbox`; `processes` are those it started, newest last."""

    name = "fake"

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.launched: list[tuple[tuple[str, ...], Path, Profile]] = []
        self.refusal: Exception | None = None

    async def launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> FakeProcess:
        await anyio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        self.launched.append((tuple(argv), cwd, profile))
        self.processes.append(FakeProcess())
        return self.processes[-1]
