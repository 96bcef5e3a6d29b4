"""A change as values: each file with what it held before and after, and its lines that came and went."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mohist.base import sha256_hex
from mohist.delivery.state import Finding

_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_BY = "verify"

Severity = Literal["blocker", "major", "minor", "note"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line that came or went."""

    number: int
    """From 1, in the file after for one that came, before for one that went."""
    text: str


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file that differs."""

    letter: str
    """Git's: A, M, D, T, R."""
    old_path: str
    path: str
    before: str | None
    """None: not there, binary, or too large to be read."""
    after: str | None
    added: tuple[Line, ...] = ()
    removed: tuple[Line, ...] = ()


def split_diff(text: str, entries: Sequence[tuple[str, str, str]]) -> list[tuple[tuple[Line, ...], tuple[Line, ...]]]:
    """Lines that came and went for each of `entries` (letter, path before, path after), which git lists in the order
    of the diff; so no path has to be read from the diff's own headers, which quote them."""
    sections: list[list[str]] = []
    for row in text.split("\n"):
        if row.startswith("diff --git "):
            sections.append([])
        elif sections:
            sections[-1].append(row)
    found = []
    place = 0
    for letter, _, _ in entries:
        width = 2 if letter == "T" else 1  # a file that becomes a link is removed and added
        parts = [_lines(section) for section in sections[place : place + width]]
        place += width
        found.append(
            (tuple(line for came, _ in parts for line in came), tuple(line for _, went in parts for line in went))
        )
    return found


def finding(rule: str, severity: Severity, text: str, path: str = "", line: int = 0) -> Finding:
    """A finding of this stage; the same thing said of the same file has the same id, wherever its line moved to."""
    digest = sha256_hex(f"{rule}\x00{path}\x00{text}".encode("utf-8", "replace"))[:16]
    return Finding(f"verify-{rule}-{digest}", severity, text, path, line, by=_BY)


def _lines(section: Sequence[str]) -> tuple[list[Line], list[Line]]:
    came: list[Line] = []
    went: list[Line] = []
    old = new = 0
    for row in section:
        hunk = _HUNK.match(row)
        if hunk:
            old, new = int(hunk[1]), int(hunk[2])
        elif old or new:
            if row.startswith("+"):
                came.append(Line(new, row[1:]))
                new += 1
            elif row.startswith("-"):
                went.append(Line(old, row[1:]))
                old += 1
            elif row.startswith(" "):
                old, new = old + 1, new + 1
    return came, went
