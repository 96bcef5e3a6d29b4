"""Thinking blocks in the history of a call, which a vendor can bind to the account that signed them.

Another account refuses such a block, so a session that changes its account leaves them out: the model then doesn't see
what it thought before, and the prompt's cache starts anew, which it would with another account in any case.
Sources: https://docs.claude.com/en/docs/build-with-claude/extended-thinking (thinking blocks go back unchanged or not at
all, and the first block of the turn under way must be one), and its page on preserved thinking.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import orjson

MAX_MARKS = 4096
"""Blocks of one session whose account is remembered."""

_FIELDS = {"thinking": "signature", "redacted_thinking": "data"}


def marks(body: bytes) -> list[bytes]:
    """A hash of each signed thinking block in the history, in order."""
    if b'thinking"' not in body:
        return []
    return [mark for block in _blocks(orjson.loads(body)) if (mark := _mark(block))]


def without(body: bytes, foreign: Callable[[bytes], bool]) -> bytes:
    """The body without the thinking blocks whose mark is foreign.

    A turn that held nothing else goes with them. Where the turn under way lost its block, thinking is switched off for
    this call if it was asked for with a budget: the vendor takes no such turn without one.
    """
    value = json.loads(body)  # unlike orjson, keeps whole numbers of any size
    kept: list[Any] = []
    open_turn = False
    for message in value["messages"]:
        blocks = message.get("content") if isinstance(message, dict) else None
        if not isinstance(blocks, list) or message.get("role") != "assistant":
            kept.append(message)
            open_turn = open_turn and _is_results(message)
            continue
        left = [block for block in blocks if not (isinstance(block, dict) and (mark := _mark(block)) and foreign(mark))]
        if len(left) < len(blocks):
            open_turn = True
        if left or not blocks:
            kept.append({**message, "content": left})
    value["messages"] = kept
    asked = value.get("thinking")
    if open_turn and isinstance(asked, dict) and asked.get("type") == "enabled":
        del value["thinking"]
    return json.dumps(value, separators=(",", ":")).encode()


def is_refused(status: int, body: bytes) -> bool:
    """The vendor's answer says that a thinking block is not its own."""
    return status == 400 and b"thinking" in body and b"signature" in body


def _blocks(value: Any) -> Iterator[Mapping[str, Any]]:
    messages = value.get("messages") if isinstance(value, dict) else None
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) and message.get("role") == "assistant" else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                yield block


def _mark(block: Mapping[str, Any]) -> bytes:
    """Empty for a block that is no thinking or that nobody signed."""
    kind = block.get("type")
    seal = block.get(_FIELDS.get(kind, "")) if isinstance(kind, str) else None
    return (
        blake2b(seal.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if isinstance(seal, str) and seal
        else b""
    )


def _is_results(message: Any) -> bool:
    """A user's message that continues the turn: it holds results of tools."""
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in content
    )
