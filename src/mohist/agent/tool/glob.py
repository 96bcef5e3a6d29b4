"""The `glob` tool: files by name, newest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from mohist.agent.tool import disk, place, ripgrep
from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import ToolArgumentError, ToolError
from mohist.agent.tool.place import Place
from mohist.agent.tool.spec import Result, ToolContext
from mohist.policy import Access

PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "pattern": {"type": "string", "description": "e.g. **/test_*.py"},
        "path": {"type": "string", "description": "folder"},
    },
    "required": ["pattern"],
}
_MOST_NAMES = 200_000


@dataclass(frozen=True, slots=True)
class GlobArgs:
    pattern: str
    path: str


class GlobTool:
    """Leaves out what `.gitignore` does; hidden files count, `.git` does not."""

    name = "glob"
    description = "Find files by name, newest first; honours .gitignore."
    parameters = PARAMETERS

    def parse(self, arguments: str) -> GlobArgs:
        fields = Fields.of(self.name, arguments)
        args = GlobArgs(fields.text("pattern"), fields.text("path", "."))
        fields.done()
        if not args.pattern or "\0" in args.pattern:
            raise ToolArgumentError("'pattern' of 'glob' is empty or holds a NUL.")
        if args.pattern.startswith("!"):
            raise ToolArgumentError("'pattern' of 'glob' can't exclude ('!').", "Give what to find.")
        return args

    def access(self, args: GlobArgs, ctx: ToolContext) -> Access:
        found = place.find(ctx, args.path)
        return Access(reads=frozenset({found.path}), scope=f"glob {found.name}")

    def title(self, args: GlobArgs) -> str:
        return place.title("glob", args.pattern + ("" if args.path == "." else f" in {args.path}"))

    async def run(self, args: GlobArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        found = place.find(ctx, args.path)
        if disk.kind_of(found) != "folder":
            raise ToolError(f"{found.name!r} is not a folder.")
        pattern = args.pattern.removeprefix("./")
        paths = await files(ctx, found, "/" + pattern if "/" in pattern and not pattern.startswith("**/") else pattern)
        if not paths:
            return Result("[no file]", summary="no file")
        newest = await anyio.to_thread.run_sync(_newest_first, paths)
        shown = newest[: ctx.limits.glob_paths]
        rows = [place.shown(path.relative_to(ctx.workspace).as_posix()) for path in shown]
        if len(shown) < len(newest):
            rows.append(f"[{len(newest) - len(shown)} more files; narrow the pattern]")
        return Result("\n".join(rows), summary=f"{len(newest)} files")


async def files(ctx: ToolContext, folder: Place, pattern: str = "") -> list[Path]:
    """Files below `folder`, sorted by path; `pattern` as in a `.gitignore`, with `/` from `folder`.

    Raises ToolError for a pattern that rg does not understand.
    """
    # A glob of rg counts from its working folder, the workspace.
    below = folder.path.relative_to(ctx.workspace).as_posix()
    if pattern.startswith("/") and below != ".":
        pattern = f"/{_literal(below)}{pattern}"
    command = ["--files", "--null", "--hidden", "--no-require-git"]
    if pattern:
        command.append(f"--glob={pattern}")
    command += ["--glob=!.git", "--", str(folder.path)]
    async with ripgrep.running(ctx, command) as rg:
        pieces = [line async for line in rg.lines]
    *names, rest = b"\n".join(pieces).split(b"\0")
    if rest.strip() and not names:
        raise ToolError(f"ripgrep can't take the pattern {pattern!r}: {rest.decode('utf-8', 'replace').strip()}")
    return [Path(name.decode("utf-8", "surrogateescape")) for name in sorted(names)[:_MOST_NAMES]]


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[{" else char for char in name)


def _newest_first(paths: list[Path]) -> list[Path]:
    def age(path: Path) -> tuple[int, str]:
        try:
            return -path.lstat().st_mtime_ns, str(path)
        except OSError:
            return 0, str(path)

    return sorted(paths, key=age)
