"""The `write` tool: a new file, or the whole of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from mohist.agent.tool import change, disk, place
from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import PathError, ToolError
from mohist.agent.tool.spec import Result, ToolContext
from mohist.agent.tool.text import Document, binary_kind, detect
from mohist.policy import Access

PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
}


@dataclass(frozen=True, slots=True)
class WriteArgs:
    path: str
    content: str


class WriteTool:
    """A file that exists must have been read; its encoding, mark and CRLF endings are kept."""

    name = "write"
    description = (
        "Make a file (and its folders), or replace the whole of one you have read. For small changes use edit."
    )
    parameters = PARAMETERS

    def parse(self, arguments: str) -> WriteArgs:
        fields = Fields.of(self.name, arguments)
        args = WriteArgs(fields.text("path"), fields.text("content"))
        fields.done()
        return args

    def access(self, args: WriteArgs, ctx: ToolContext) -> Access:
        found = place.find_writable(ctx, args.path)
        return Access(writes=frozenset({found.path}), effect="local", scope=f"write {found.name}")

    def title(self, args: WriteArgs) -> str:
        return place.title("write", args.path)

    async def run(self, args: WriteArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        return await anyio.to_thread.run_sync(_write, args, ctx)


def _write(args: WriteArgs, ctx: ToolContext) -> Result:
    found = place.find_writable(ctx, args.path)
    if disk.kind_of(found) == "folder":
        raise PathError(f"{found.name!r} is a folder.")
    before = change.current(found, ctx)
    data = _encoded(args.content, before.data if before else b"", found.name)
    if before is not None and data == before.data:
        raise ToolError(f"{found.name!r} already has this content; nothing was written.")
    lines = args.content.count("\n") + (args.content[-1:] not in ("", "\n"))
    verb = "Replaced" if before else "Made"
    return change.put(found, ctx, before, data, f"{verb} {found.name}, {lines} lines.")


def _encoded(content: str, before: bytes, name: str) -> bytes:
    """`content` in the encoding of the file it replaces; CRLF where all of it had CRLF and the content has none."""
    encoding = None if not before or binary_kind(before) else detect(before)
    codec = encoding.codec if encoding else "utf-8"
    if encoding and "\r" not in content and Document.of(before, name).endings == "CRLF":
        content = content.replace("\n", "\r\n")
    try:
        return (encoding.bom if encoding else b"") + content.encode(codec)
    except UnicodeEncodeError as error:
        raise ToolError(f"{name!r} is {codec}, which can't hold {content[error.start]!r}.") from None
