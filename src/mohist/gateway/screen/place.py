"""Where something stands in a request, in words for the person who sent it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mohist.guard import Block, Source

_NUMBER: Final = re.compile(r"/(?:messages|input)/(\d+)(?:/|$)")
_TOOL_CHARS: Final = 64
_PRINTABLE: Final = re.compile(r"[\w.:/-]+")
_OF: Final[Mapping[Source, str]] = {
    "system": "the instructions of the client (system prompt)",
    "user": "what you wrote or pasted",
    "assistant": "an answer of the model",
    "tool_call": "the arguments of tool {}",
    "tool_result": "the result of tool {}",
    "tool_schema": "the description of tool {}",
    "metadata": "a field of the request that no model reads",
    "file": "a file",
    "web": "a page from the web",
    "mcp": "the answer of an MCP server",
    "unknown": "the request",
}


def words(block: Block, offset: int) -> str:
    """Such as "the result of tool Read, message 12, line 4"; holds nothing of the text itself.

    Args:
        block: a text.
        offset: of a character in it.
    """
    return Places().words(block, offset)


class Places:
    """Says of many offsets where they are: those of one text, in order, cost no more than one reading of it."""

    def __init__(self) -> None:
        self._block: Block | None = None
        self._offset = 0
        self._line = 1

    def words(self, block: Block, offset: int) -> str:
        """As `words`."""
        if block.path.startswith("?"):
            name = block.path[1:]
            return (
                "the query of the request"
                if name == "?"
                else f"the header {name if _PRINTABLE.fullmatch(name) else ''}".strip()
            )
        said = _OF[block.source].replace("{}", tool_name(block.name)).removesuffix(" ")
        number = message_number(block)
        if number is not None:
            said += f", message {number}"
        if "\n" not in block.text:
            return said
        if block is not self._block or offset < self._offset:
            self._block, self._offset, self._line = block, 0, 1
        self._line += block.text.count("\n", self._offset, offset)
        self._offset = offset
        return f"{said}, line {self._line}"


def message_number(block: Block) -> int | None:
    """Of the message that a text is part of, counted from 1; None: it is part of none."""
    found = _NUMBER.match(block.path)
    return int(found[1]) + 1 if found else None


def tool_name(name: str) -> str:
    """A tool's name as it may be shown; it comes from outside."""
    return name[:_TOOL_CHARS] if _PRINTABLE.fullmatch(name[:_TOOL_CHARS]) else ""
