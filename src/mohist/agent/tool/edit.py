"""The `edit` tool: replaces pieces of one file, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import anyio.to_thread

from mohist.agent.tool import change, match, place
from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import ToolArgumentError, ToolError
from mohist.agent.tool.spec import Result, ToolContext
from mohist.agent.tool.text import Document
from mohist.policy import Access

PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "edits": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "old": {"type": "string", "description": "unique, without line numbers"},
                    "new": {"type": "string"},
                    "all": {"type": "boolean", "description": "every occurrence"},
                },
                "required": ["old", "new"],
            },
        },
    },
    "required": ["path", "edits"],
}


@dataclass(frozen=True, slots=True)
class Replacement:
    old: str
    new: str
    every: bool


@dataclass(frozen=True, slots=True)
class EditArgs:
    path: str
    edits: tuple[Replacement, ...]


class EditTool:
    """Every byte outside of the replaced spans stays: endings, mark, encoding."""

    name = "edit"
    description = (
        "Replace text in a file you have read. All edits apply to the file as it is now, or none does. "
        "Line endings and encoding are kept."
    )
    parameters = PARAMETERS

    def parse(self, arguments: str) -> EditArgs:
        fields = Fields.of(self.name, arguments)
        path = fields.text("path")
        edits = []
        for item in fields.objects("edits"):
            edits.append(Replacement(item.text("old"), item.text("new"), item.flag("all")))
            item.done()
        fields.done()
        if not edits:
            raise ToolArgumentError("'edits' of 'edit' is empty.", "Give at least one {old, new}.")
        return EditArgs(path, tuple(edits))

    def access(self, args: EditArgs, ctx: ToolContext) -> Access:
        found = place.find_writable(ctx, args.path)
        paths = frozenset({found.path})
        return Access(reads=paths, writes=paths, effect="local", scope=f"edit {found.name}", idempotent=False)

    def title(self, args: EditArgs) -> str:
        return place.title("edit", args.path) + (f" ({len(args.edits)} places)" if len(args.edits) > 1 else "")

    async def run(self, args: EditArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        return await anyio.to_thread.run_sync(_edit, args, ctx)


def _edit(args: EditArgs, ctx: ToolContext) -> Result:
    found = place.find_writable(ctx, args.path)
    state = change.current(found, ctx)
    if state is None:
        raise ToolError(f"{found.name!r} does not exist.", "Make it with write, or find its name with glob.")
    document = Document.of(state.data, found.name)
    matches = []
    for number, one in enumerate(args.edits, 1):
        label = f"Edit {number} of {len(args.edits)}" if len(args.edits) > 1 else "Edit"
        old, new = one.old.replace("\r\n", "\n"), one.new.replace("\r\n", "\n")
        matches += [(number, hit) for hit in match.find(document, old, new, one.every, label)]
    matches.sort(key=lambda item: (item[1].splice.start, item[1].splice.end))
    for (first, left), (second, right) in pairwise(matches):
        if right.splice.start < left.splice.end or right.splice.start == left.splice.start:
            raise ToolError(
                f"Edits {first} and {second} change the same text (line {right.line}); nothing was edited.",
                "Make one edit of them.",
            )
    data = document.spliced([hit.splice for _, hit in matches])
    if data == state.data:
        raise ToolError("The edit changes nothing: the file already is like that.")
    tolerated = [
        f"Edit {number} matched but for {hit.tier} (line {hit.line})." for number, hit in matches if hit.tier != "exact"
    ]
    guess = [] if document.encoding.certain else [f"The file is {document.encoding}."]
    places = f"{len(matches)} places" if len(matches) > 1 else "1 place"
    return change.put(found, ctx, state, data, " ".join([f"Edited {found.name}, {places}.", *tolerated, *guess]))
