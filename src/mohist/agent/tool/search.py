"""The `search` tool: a regular expression over the files of a folder, by ripgrep."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mohist.agent.tool import disk, place, ripgrep
from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import PathError, ToolArgumentError, ToolError
from mohist.agent.tool.gate import gate
from mohist.agent.tool.place import Place
from mohist.agent.tool.spec import Result, ToolContext, ToolLimits
from mohist.policy import Access

_MODES = ("matches", "files", "count")
PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "pattern": {"type": "string", "description": "regular expression (Rust)"},
        "path": {"type": "string", "description": "file or folder"},
        "glob": {"type": "string", "description": "e.g. *.py"},
        "mode": {"enum": list(_MODES)},
        "context": {"type": "integer", "description": "lines around a match"},
        "literal": {"type": "boolean"},
    },
    "required": ["pattern"],
}
_MOST_CONTEXT = 20


@dataclass(frozen=True, slots=True)
class SearchArgs:
    pattern: str
    path: str
    glob: str
    mode: str
    context: int
    literal: bool


class SearchTool:
    """Leaves out what `.gitignore` does; hidden files count, `.git` does not."""

    name = "search"
    description = "Search file contents; honours .gitignore. mode: matches (default), files, count."
    parameters = PARAMETERS

    def parse(self, arguments: str) -> SearchArgs:
        fields = Fields.of(self.name, arguments)
        args = SearchArgs(
            pattern=fields.text("pattern"),
            path=fields.text("path", "."),
            glob=fields.text("glob", ""),
            mode=fields.choice("mode", _MODES, "matches"),
            context=min(fields.number("context", 0), _MOST_CONTEXT),
            literal=fields.flag("literal"),
        )
        fields.done()
        if not args.pattern or "\0" in args.pattern + args.glob:
            raise ToolArgumentError("'pattern' of 'search' is empty or holds a NUL.")
        return args

    def access(self, args: SearchArgs, ctx: ToolContext) -> Access:
        found = place.find(ctx, args.path)
        return Access(reads=frozenset({found.path}), scope=f"search {found.name}")

    def title(self, args: SearchArgs) -> str:
        where = "" if args.path == "." else f" in {args.path}"
        return place.title("search", f"{args.pattern!r}{where}" + (f" ({args.glob})" if args.glob else ""))

    async def run(self, args: SearchArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        found = place.find(ctx, args.path)
        kind = disk.kind_of(found)
        if kind == "absent":
            raise ToolError(f"{found.name!r} does not exist.", "Find its name with glob.")
        if kind not in ("file", "folder"):
            raise PathError(f"{found.name!r} is a {kind}, not a file; tools don't open it.")
        reads = () if found.root == ctx.workspace else (found.path,)
        # The cap for a file keeps one file from hiding the others; it must not hide the only one that was asked for.
        most = ctx.limits.search_matches + 1 if kind == "file" else ctx.limits.search_matches_per_file
        async with ripgrep.running(ctx, _command(args, found, most), reads) as rg:
            hits = _Hits(args, found, ctx, most)
            async for line in rg.lines:
                if not hits.take(line):
                    break
        return hits.result(rg.passed_over)


def _command(args: SearchArgs, found: Place, most_per_file: int) -> list[str]:
    # Sorted by path: slower than in parallel, but the same every time, also where the cap cuts it off.
    command = ["--json", "--sort=path", "--hidden", "--no-require-git", "--max-columns=0"]
    command += ["--glob=!.git", "--case-sensitive"]
    if args.mode == "matches":
        command += [f"--context={args.context}", f"--max-count={most_per_file}"]
    if args.mode == "files":
        command.append("--max-count=1")
    if args.glob:
        command.append(f"--glob={args.glob}")
    if args.literal:
        command.append("--fixed-strings")
    return [*command, f"--regexp={args.pattern}", "--", str(found.path)]


@dataclass
class _Hits:
    """What rg said so far; counts all, keeps up to the cap."""

    args: SearchArgs
    found: Place
    ctx: ToolContext
    most_per_file: int
    rows: list[str] = field(default_factory=list)
    matches: int = 0
    files: int = 0
    complaint: list[str] = field(default_factory=list)
    full: bool = False
    capped: bool = False
    """A file has as many matches as are looked for, maybe more."""
    _in_file: int = 0
    _file: str = ""
    _line: int = 0

    @property
    def limits(self) -> ToolLimits:
        return self.ctx.limits

    def take(self, raw: bytes) -> bool:
        """False: enough."""
        try:
            event = json.loads(raw)
        except ValueError:
            self.complaint.append(raw.decode("utf-8", "replace"))
            return len(self.complaint) < 20
        data = event["data"]
        match event["type"]:
            case "begin":
                self._file, self._line = self._name(_text(data["path"])), 0
                self._in_file = 0
            case "match":
                return self._match(data)
            case "context":
                self._row(data, "-", 0)
            case "end" if data["stats"]["matches"]:
                self.files += 1
                self._count(data["stats"]["matched_lines"])
        return not self.full

    def _match(self, data: Mapping[str, Any]) -> bool:
        if self.args.mode != "matches":
            return True
        if self.matches >= self.limits.search_matches:
            self.full = True
            return False
        self.matches += 1
        self._in_file += 1
        self.capped |= self._in_file == self.most_per_file
        spans = data["submatches"]
        self._row(data, ":", spans[0]["start"] if spans else 0)
        return True

    def _row(self, data: Mapping[str, Any], mark: str, start_bytes: int) -> None:
        number = data["line_number"] or 0
        raw = _bytes(data["lines"])
        if not self._line:
            self.rows += ["", self._file] if self.rows else [self._file]
        elif self.args.context and number > self._line + 1:
            self.rows.append("--")
        self._line = number + raw.count(b"\n", 0, len(raw) - 1)
        self.rows.append(f"{number}{mark}{window(raw, start_bytes, self.limits.line_chars)}")

    def _count(self, lines: int) -> None:
        if self.args.mode == "matches":
            return
        self.matches += lines
        if self.files > self.limits.search_matches:
            self.full = True
            self.files -= 1
            self.matches -= lines
            return
        self.rows.append(self._file if self.args.mode == "files" else f"{lines}\t{self._file}")

    def _name(self, path: str) -> str:
        if self.found.root != self.ctx.workspace:
            return self.found.name
        return place.shown(path.removeprefix(str(self.ctx.workspace) + "/"))

    def result(self, passed_over: int) -> Result:
        if self.complaint and not self.rows:
            said = "\n".join(self.complaint)
            raise ToolError(
                f"ripgrep can't search for {self.args.pattern!r}: {said}", "Set literal=true for plain text."
            )
        if not self.rows:
            return Result("[no match]", summary="no match")
        notes = []
        if self.full:
            notes.append("there is more: narrow by path or glob, or use mode=files")
        if self.capped:
            notes.append(f"at most {self.most_per_file} lines a file: name one file to see all of its")
        if passed_over:
            notes.append(f"{passed_over} matches in endless lines are not shown")
        unit = "files" if self.args.mode == "files" else "lines"
        count = self.files if self.args.mode == "files" else self.matches
        head = (
            f"[{count} {unit}{' and more' if self.full else ''}; {'; '.join(notes)}]" if notes else f"[{count} {unit}]"
        )
        gated = gate("\n".join([*self.rows, head]), self.ctx.spill, self.limits, kind="search")
        return Result(gated.text, summary=head[1:].split(";")[0].rstrip("]"), spilled=gated.spilled)


def window(raw: bytes, start_bytes: int, most_chars: int) -> str:
    """The line `raw`, or the part of it around `start_bytes` when it is long."""
    raw = raw.rstrip(b"\r\n")
    text = raw.decode("utf-8", "backslashreplace")
    if len(text) <= most_chars:
        return text
    at = len(raw[:start_bytes].decode("utf-8", "backslashreplace"))
    start = max(0, min(at - most_chars // 4, len(text) - most_chars))
    shown = text[start : start + most_chars]
    return f"{'… ' if start else ''}{shown}{' …' if start + most_chars < len(text) else ''} [column {at + 1} of {len(text)}]"


def _bytes(value: Mapping[str, str]) -> bytes:
    return value["text"].encode() if "text" in value else base64.b64decode(value["bytes"])


def _text(value: Mapping[str, str]) -> str:
    return _bytes(value).decode("utf-8", "surrogateescape")
