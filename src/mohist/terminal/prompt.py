"""Asks the person at the terminal."""

from __future__ import annotations

import os
import termios
from typing import IO, Literal

import anyio

from mohist.event import ApprovalAsked
from mohist.terminal.style import Style, plain

_LINE_BYTES = 4096


class Prompt:
    """Questions on one terminal, one at a time; `reader` is that terminal."""

    def __init__(self, reader: IO[str], writer: IO[str], style: Style) -> None:
        self._reader = reader
        self._writer = writer
        self._style = style
        self._turn = anyio.Lock()

    async def approve(self, asked: ApprovalAsked) -> Literal["once", "always", "no"]:
        """`y` once, `a` for the rest of the run where that can be said exactly, anything else: no."""
        style = self._style
        always = f", [a]lways allow {plain(asked.covers)!r} in this run" if asked.covers else ""
        text = (
            f"\n{style('yellow', '?')} {style('bold', plain(asked.scope))}\n"
            f"  {plain(asked.reason)}\n  [y]es once{always}, [N]o: "
        )
        answer = (await self._ask(text)).strip().lower()
        if answer in ("y", "yes"):
            return "once"
        if answer in ("a", "always") and asked.covers:
            return "always"
        return "no"

    async def reply(self, question: str, recommended: str) -> str:
        """The person's answer; an empty line takes the recommendation."""
        style = self._style
        text = f"\n{style('yellow', '?')} {style('bold', plain(question))}\n  [Enter: {plain(recommended)}] "
        return (await self._ask(text)).strip() or recommended

    async def _ask(self, text: str) -> str:
        async with self._turn:
            terminal = self._reader.fileno()
            # What was typed before the question was seen is no answer to it.
            termios.tcflush(terminal, termios.TCIFLUSH)
            self._writer.write(text)
            self._writer.flush()
            line = b""
            while not line.endswith(b"\n"):
                # A thread that reads could not be stopped: a cancelled run would wait for a key.
                await anyio.wait_readable(terminal)
                piece = os.read(terminal, _LINE_BYTES)
                if not piece:
                    break
                line += piece
            return line.decode("utf-8", "replace")
