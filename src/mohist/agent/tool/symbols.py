"""The `symbols` tool: the outline of a file, or a ranked map of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.from_thread
import anyio.to_thread

from mohist.agent.tool import disk, glob, place, syntax
from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.gate import gate
from mohist.agent.tool.outline import Outline, Outlines
from mohist.agent.tool.place import Place
from mohist.agent.tool.rank import fitted, ranked, row
from mohist.agent.tool.spec import Result, ToolContext
from mohist.agent.tool.text import Document
from mohist.policy import Access

PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "file or folder"},
        "focus": {"type": "string", "description": "words to rank higher"},
    },
}
_MAX_FILE_BYTES = 512 * 1024
"""Larger sources are generated; the map leaves them out."""
_PROGRESS_FILES = 500


@dataclass(frozen=True, slots=True)
class SymbolsArgs:
    path: str
    focus: str


class SymbolsTool:
    """Knows Python, JavaScript, TypeScript, Go, Rust and Java. Keeps outlines by content between calls."""

    name = "symbols"
    description = (
        "Outline of a source file; for a folder, a map of its most used definitions. Python, JS, TS, Go, Rust, Java."
    )
    parameters = PARAMETERS

    def __init__(self) -> None:
        self._outlines = Outlines()

    def parse(self, arguments: str) -> SymbolsArgs:
        fields = Fields.of(self.name, arguments)
        args = SymbolsArgs(fields.text("path", "."), fields.text("focus", ""))
        fields.done()
        return args

    def access(self, args: SymbolsArgs, ctx: ToolContext) -> Access:
        found = place.find(ctx, args.path)
        return Access(reads=frozenset({found.path}), scope=f"symbols {found.name}")

    def title(self, args: SymbolsArgs) -> str:
        return place.title("symbols", args.path + (f" ({args.focus})" if args.focus else ""))

    async def run(self, args: SymbolsArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:
        found = place.find(ctx, args.path)
        kind = disk.kind_of(found)
        if kind == "absent":
            raise ToolError(f"{found.name!r} does not exist.", "Find its name with glob.")
        if kind != "folder":
            return await anyio.to_thread.run_sync(self._outline, found, ctx, abandon_on_cancel=True)
        listed = [path for path in await glob.files(ctx, found) if syntax.grammar(path.name)]
        if not listed:
            return Result("[no source file in a known language]", summary="no source file")
        # Those near the root first, when there are too many.
        chosen = sorted(listed, key=lambda path: (len(path.parts), path))[: ctx.limits.map_files]
        focus = frozenset(word for word in re.findall(r"\w+", args.focus.lower()) if len(word) > 2)
        return await anyio.to_thread.run_sync(
            self._map, chosen, len(listed), focus, ctx, progress, abandon_on_cancel=True
        )

    def _outline(self, found: Place, ctx: ToolContext) -> Result:
        state = disk.load(found, ctx.limits.max_file_bytes)
        if state is None:
            raise ToolError(f"{found.name!r} does not exist.")
        if syntax.grammar(found.path.name) is None:
            raise ToolError(f"{found.name!r} is in no language that symbols knows.", "Use search or read.")
        document = Document.of(state.data, found.name)
        symbols = self._outlines.of(found.path.name, state.sha256, document.view).symbols
        text = "\n".join(row(symbol) for symbol in symbols) or "[no definitions]"
        gated = gate(text, ctx.spill, ctx.limits, kind="symbols")
        return Result(gated.text, summary=f"{len(symbols)} definitions", spilled=gated.spilled)

    def _map(
        self, paths: list[Path], listed: int, focus: frozenset[str], ctx: ToolContext, progress: Callable[[str], None]
    ) -> Result:
        files: dict[str, Outline] = {}
        for count, path in enumerate(paths):
            if count % _PROGRESS_FILES == 0:
                # Also where a cancelled call ends.
                anyio.from_thread.check_cancelled()
                if count:
                    anyio.from_thread.run_sync(progress, f"{count} of {len(paths)} files")
            name = path.relative_to(ctx.workspace).as_posix()
            try:
                state = disk.load(Place(ctx.workspace, path, place.shown(name)), _MAX_FILE_BYTES)
                if state is not None:
                    view = Document.of(state.data, name).view
                    files[place.shown(name)] = self._outlines.of(path.name, state.sha256, view)
            except ToolError:
                # Too large, not text, gone or swapped meanwhile: the map does without it.
                continue
        found = ranked(files, self._outlines.number, focus)
        if not found:
            return Result("[no definitions]", summary="no definitions")
        note = f"[{len(found)} definitions in {len(files)} of {listed} source files; most used first]"
        text = f"{fitted(found, ctx.limits.map_tokens)}\n{note}"
        return Result(text, summary=f"map of {len(files)} files")
