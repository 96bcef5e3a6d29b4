"""Which lines of a file a call wrote, as evidence: Agent Trace's format, with a hash for each line.

Hashes of single lines are what is still there after a rebase, a squash or a formatter; they stand in the sealed content, since
a line of code can be guessed.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Any

TRACE_VERSION = "0.1.0"
"""Of https://github.com/cursor/agent-trace; its fields for tools of one's own stand under a reverse domain name in `metadata`."""
OWN = "dev.mohist"
HASH_DIGITS = 16
"""64 bits: among a million lines two are taken for one with a chance of one in 37 million."""
MAX_COMPARED_LINES = 4000
"""Comparing two texts takes time with the product of their lengths; longer ones are compared as bags of lines."""
MAX_LINES = 50_000
"""Of a file that are hashed; a larger one is generated, and is attributed as a whole."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What a call wrote of a file."""

    numbers: tuple[int, ...]
    """From 1, in the file after the call."""
    text: Mapping[int, str]
    removed: int
    whole: bool
    """Nothing finer is known: the file is not text, or very long."""

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The same as first and last of each run of numbers."""
        found: list[tuple[int, int]] = []
        for number in self.numbers:
            if found and found[-1][1] == number - 1:
                found[-1] = (found[-1][0], number)
            else:
                found.append((number, number))
        return found


WHOLE = Lines((), {}, 0, whole=True)
"""Written, and nothing finer is known."""


def line_hash(line: str) -> str:
    """A line as it stands."""
    return sha256(line.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]


def bare_hash(line: str) -> str:
    """A line without its blanks, which formatters move."""
    return line_hash("".join(line.split()))


def blob_id(content: bytes) -> str:
    """What git calls a file of this content."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def written_lines(before: bytes | None, after: bytes) -> Lines:
    """The lines of `after` that are not `before`'s."""
    old, new = _split(before or b""), _split(after)
    if new is None or old is None or len(new) > MAX_LINES:
        return WHOLE
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old_rest, new_rest = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(old_rest), len(new_rest)) > MAX_COMPARED_LINES:
        left = Counter(old_rest)
        fresh = []
        for at, line in enumerate(new_rest):
            if left[line]:
                left[line] -= 1
            else:
                fresh.append(at)
        removed = sum(left.values())
    else:
        matcher = difflib.SequenceMatcher(None, old_rest, new_rest, autojunk=False)
        fresh, removed = [], 0
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag != "equal":
                fresh += range(j1, j2)
                removed += i2 - i1
    numbers = tuple(head + at + 1 for at in fresh)
    return Lines(numbers, {number: new[number - 1] for number in numbers}, removed, whole=False)


def trace_record(
    path: str,
    lines: Lines,
    *,
    model: str,
    tool: str,
    conversation: str,
    at: str,
    base_commit: str,
    blobs: tuple[str, str],
) -> dict[str, Any]:
    """One file's record in Agent Trace's format.

    Args:
        path: in the repository.
        lines: written.
        model: which wrote them, as `provider/model`.
        tool: that it called.
        conversation: urn of the prompt behind it.
        at: RFC 3339.
        base_commit: what the run began from.
        blobs: git's ids of the file before ("" if it was not there) and after.
    """
    return {
        "version": TRACE_VERSION,
        "timestamp": at,
        "vcs": {"type": "git", "revision": base_commit},
        "tool": {"name": "mohist"},
        "files": [
            {
                "path": path,
                "conversations": [
                    {
                        "url": conversation,
                        "contributor": {"type": "ai", "model_id": model},
                        "ranges": [{"start_line": first, "end_line": last} for first, last in lines.ranges],
                    }
                ],
            }
        ],
        "metadata": {
            OWN: {
                "tool": tool,
                "before": blobs[0],
                "after": blobs[1],
                "whole": lines.whole,
                "removed": lines.removed,
                "lines": [[number, line_hash(text), bare_hash(text)] for number, text in lines.text.items()],
            }
        },
    }


def encoded(record: dict[str, Any]) -> bytes:
    """As it is sealed."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "replace")


def _split(content: bytes) -> list[str] | None:
    if b"\0" in content[:8192]:
        return None
    return content.decode("utf-8", "replace").splitlines()
