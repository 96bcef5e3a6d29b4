"""What is looked at: one text, and where it came from."""

from __future__ import annotations

from typing import Literal

from mohist.base import light_dataclass

Source = Literal[
    "system",
    "user",
    "assistant",
    "tool_call",
    "tool_result",
    "tool_schema",
    "metadata",
    "file",
    "web",
    "mcp",
    "unknown",
]
"""Who wrote a text: "system" and "tool_schema" are written by a program; "tool_result", "web" and "mcp" by strangers."""


@light_dataclass(frozen=True, slots=True)
class Block:
    """One text with its provenance.

    Offsets of findings count its characters.
    """

    text: str
    source: Source = "unknown"
    path: str = ""
    """Where it stands: a JSON pointer in a request ("/messages/3/content/0/text"), or a file's path."""
    name: str = ""
    """Of the tool that is called or that answered; empty elsewhere."""
