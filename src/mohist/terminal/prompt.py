"""Asks the person at the terminal."""

from __future__ import annotations

from typing import IO, Literal

import anyio
import anyio.to_thread

from mohist.event import ApprovalAsked
from mohist.terminal.style import Style, plain


class Prompt:
    """Questions on one terminal, one at a time."""

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
            self._writer.write(text)
            self._writer.flush()
            # A cancelled run must not wait for a key.
            return await anyio.to_thread.run_sync(self._reader.readline, abandon_on_cancel=True)
