"""The `read` tool: a file by lines, or what is in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import anyio.to_thread

from mohist.agent.tool import disk, place
from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.spec import Result, ToolContext, ToolLimits
from mohist.agent.tool.text import HEAD_BYTES, Document, binary_kind
from mohist.base import sha256_hex
from mohist.policy import Access

PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "offset": {"type": "integer", "description": "first line, from 1"},
        "limit": {"type": "integer"},
    },
    "required": ["path"],
}


_MOST_LINE_BYTES = 64 * 1024**2
"""A line that goes on for longer ends what is read of a file that is read by range."""


@dataclass(frozen=True, slots=True)
class ReadArgs:
    path: str
    offset: int
    """First line, from 1."""
    limit: int
    """Most lines; 0: as many as the limits allow."""


class ReadTool:
    """Shows lines with their numbers; what was read may then be edited."""

    name = "read"
    description = "Lines of a text file with numbers (up to 2,000), or the entries of a folder. Read before you edit."
    parameters = PARAMETERS

    def parse(self, arguments: str) -> ReadArgs:
        fields = Fields.of(self.name, arguments)
        args = ReadArgs(fields.text("path"), fields.number("offset", 1, 0) or 1, fields.number("limit", 0))
        fields.done()
        return args

    def access(self, args: ReadArgs, ctx: ToolContext) -> Access:
        found = place.find(ctx, args.path)
        return Access(reads=frozenset({found.path}), scope=f"read {found.name}")

    def title(self, args: ReadArgs) -> str:
        return place.title("read", args.path) + (f" from line {args.offset}" if args.offset > 1 else "")

    async def run(self, args: ReadArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        # Only looks, so it may be left behind when the run is cancelled.
        return await anyio.to_thread.run_sync(_read, args, ctx, abandon_on_cancel=True)


def _read(args: ReadArgs, ctx: ToolContext) -> Result:
    found = place.find(ctx, args.path)
    kind = disk.kind_of(found)
    if kind == "folder":
        return _listing(found, ctx.limits)
    try:
        with disk.opened(found) as (descriptor, state):
            head = os.pread(descriptor, HEAD_BYTES + 8, 0)
            if what := binary_kind(head):
                raise ToolError(f"{found.name!r} is not text but {what} of {state.st_size:,} bytes.")
            if state.st_size > ctx.limits.max_file_bytes:
                return _range(_pieces(descriptor, state.st_size), args, found, ctx.limits, state.st_size)
            data = b"".join(_pieces(descriptor, ctx.limits.max_file_bytes))
    except FileNotFoundError:
        ctx.seen.saw(found.path, None)
        raise ToolError(f"{found.name!r} does not exist.", "Find its name with glob.") from None
    document = Document.of(data, found.name)
    result = _whole(document, args, found, ctx.limits)
    if found.root == ctx.workspace:
        ctx.seen.saw(found.path, sha256_hex(data), data)
    return result


def _listing(found: place.Place, limits: ToolLimits) -> Result:
    names = [place.shown(name) for name in disk.names_in(found)]
    shown = names[: limits.glob_paths]
    more = f"\n[{len(names) - len(shown)} more; use glob]" if len(shown) < len(names) else ""
    text = "\n".join(shown) + more if names else "[empty folder]"
    return Result(text, summary=f"{len(names)} entries")


def _whole(document: Document, args: ReadArgs, found: place.Place, limits: ToolLimits) -> Result:
    total = len(document.lines)
    if not total:
        return Result("[empty file]", summary="empty")
    if args.offset > total:
        raise ToolError(f"{found.name!r} has {total} lines; line {args.offset} is past its end.")
    lines = (clipped(line, limits.line_chars) for line in document.lines[args.offset - 1 :])
    rows, last = _rows(lines, args, limits)
    notes = []
    if args.offset > 1 or last < total:
        notes.append(f"lines {args.offset}-{last} of {total}")
    if last < total:
        notes.append(f"go on with offset={last + 1}")
    if document.encoding.codec != "utf-8" or document.encoding.bom:
        notes.append(f"encoding: {document.encoding}")
    if document.endings in ("CRLF", "mixed"):
        notes.append(f"line endings: {document.endings} (kept by edit)")
    return Result(_text(rows, notes), summary=f"lines {args.offset}-{last} of {total}")


def _range(pieces: Iterator[bytes], args: ReadArgs, found: place.Place, limits: ToolLimits, size_bytes: int) -> Result:
    """A file too large to hold: one pass up to the wanted lines, in pieces."""
    rows, last = _rows(_lines(pieces, args.offset, limits.line_chars), args, limits)
    if not rows:
        raise ToolError(f"{found.name!r} ends before line {args.offset}.")
    notes = [f"lines {args.offset}-{last} of a file of {size_bytes:,} bytes (lines not counted)"]
    notes.append(f"go on with offset={last + 1}, or search it; too large to edit")
    return Result(_text(rows, notes), summary=f"lines {args.offset}-{last}")


def _rows(lines: Iterator[str], args: ReadArgs, limits: ToolLimits) -> tuple[list[str], int]:
    """Numbered rows within the limits, and the number of the last."""
    most = min(args.limit or limits.read_lines, limits.read_lines)
    rows: list[str] = []
    left = limits.read_bytes
    for number, line in enumerate(islice(lines, most), args.offset):
        row = f"{number}\t{line}"
        left -= len(row.encode("utf-8", "surrogatepass")) + 1
        if left < 0 and rows:
            break
        rows.append(row)
    return rows, args.offset + len(rows) - 1


def clipped(line: str, most: int) -> str:
    """`line`, or its start and how much of it is not shown."""
    return line if len(line) <= most else f"{line[:most]}… [{len(line) - most} more characters]"


def _text(rows: list[str], notes: list[str]) -> str:
    return "\n".join(rows) + (f"\n[{'; '.join(notes)}]" if notes else "")


def _pieces(descriptor: int, size_bytes: int) -> Iterator[bytes]:
    """From the start, at most `size_bytes`: a file that grows can't hold us."""
    while size_bytes > 0 and (piece := os.read(descriptor, min(1 << 20, size_bytes))):
        size_bytes -= len(piece)
        yield piece


def _lines(pieces: Iterator[bytes], first: int, most_chars: int) -> Iterator[str]:
    """Lines from number `first`, clipped; of an endless line only the start is held."""
    skip = first - 1
    held, extra = b"", 0
    most_bytes = 4 * most_chars + 4
    for raw in pieces:
        piece = raw
        if skip:
            newlines = piece.count(b"\n")
            if newlines < skip:
                skip -= newlines
                continue
            at = -1
            for _ in range(skip):
                at = piece.index(b"\n", at + 1)
            piece, skip = piece[at + 1 :], 0
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield _decoded(held + line, extra, most_chars)
            held, extra = b"", 0
        room = max(0, most_bytes - len(held))
        held, extra = held + rest[:room], extra + max(0, len(rest) - room)
        if extra > _MOST_LINE_BYTES:
            break
    if held and not skip:
        yield _decoded(held, extra, most_chars)


def _decoded(line: bytes, extra_bytes: int, most_chars: int) -> str:
    text = line.removesuffix(b"\r").decode("utf-8", "backslashreplace")
    return f"{text[:most_chars]}… [{extra_bytes:,} or more further bytes]" if extra_bytes else clipped(text, most_chars)
