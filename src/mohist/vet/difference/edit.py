"""What has to be changed in one text to get another, in words, numbers, signs and spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_TOKEN = re.compile(r"[^\W_]+|\s+|.", re.DOTALL)
_DATE = re.compile(r"(?<![0-9])(?:\d{4}([-/.年])\d{1,2}([-/.月])\d{1,2}日?|\d{1,2}([-/.])\d{1,2}\3\d{4})(?![0-9])")
_MOMENT = re.compile(r"(\d{1,2})(T)(\d{1,2})|(\d{1,2})(Z)|(T)(\d{1,2})")
_MOMENT_CHARS = 5
_FINE = 4_000_000
"""Up to this product of lengths, tokens are aligned at once; longer texts line by line first."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`old`, the tokens `start` to `end` of the one text, stands as `new` in the other."""

    start: int
    end: int
    old: str
    new: str
    new_at: int
    """Where `new` begins, in characters of the other text."""


def tokens(text: str) -> list[str]:
    """Dates, words, numbers, runs of space, and single signs; the two halves of an ISO moment ("23T05") are apart."""
    found: list[str] = []
    at = 0
    for date in _DATE.finditer(text):
        found += [*words(text[at : date.start()]), date[0]]
        at = date.end()
    return found + words(text[at:])


def words(text: str) -> list[str]:
    """The same, with dates taken apart too."""
    found: list[str] = []
    for token in _TOKEN.findall(text):
        moment = _MOMENT.fullmatch(token) if len(token) <= _MOMENT_CHARS else None
        found += [part for part in moment.groups() if part] if moment else [token]
    return found


def edits(old: Sequence[str], new: Sequence[str]) -> list[Edit]:
    """The changes, in order; a run of as many tokens as before is told token by token."""
    made: list[Edit] = []
    starts = _starts(new)
    for a0, a1, b0, b1 in _opcodes(old, new):
        if a1 - a0 == b1 - b0:
            made += [
                Edit(a0 + k, a0 + k + 1, old[a0 + k], new[b0 + k], starts[b0 + k])
                for k in range(a1 - a0)
                if old[a0 + k] != new[b0 + k]
            ]
        else:
            made.append(Edit(a0, a1, "".join(old[a0:a1]), "".join(new[b0:b1]), starts[b0]))
    return made


def differing(old: str, new: str) -> tuple[str, str]:
    """What is left of both without what they begin and end with alike."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return old[head : len(old) - tail], new[head : len(new) - tail]


def counterpart(old: Sequence[str], changed: Sequence[Edit], start: int, end: int) -> str:
    """What stands in the other text where this one has the tokens `start` to `end`."""
    made: list[str] = []
    at = start
    for edit in changed:
        if edit.end < start or edit.start > end or (edit.end == start and edit.start < edit.end):
            continue
        if edit.start > at:
            made += old[at : edit.start]
        made.append(edit.new)
        at = max(at, edit.end)
    made += old[at:end]
    return "".join(made)


def _starts(parts: Sequence[str]) -> list[int]:
    at, found = 0, []
    for part in parts:
        found.append(at)
        at += len(part)
    return [*found, at]


def _opcodes(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int, int]]:
    head = 0
    while head < len(old) and head < len(new) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    if not a and not b:
        return []
    if not a or not b or len(a) * len(b) <= _FINE:
        return _aligned(a, b, head, head)
    return _by_lines(a, b, head)


def _aligned(a: Sequence[str], b: Sequence[str], a_at: int, b_at: int) -> list[tuple[int, int, int, int]]:
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return [
        (a0 + a_at, a1 + a_at, b0 + b_at, b1 + b_at) for tag, a0, a1, b0, b1 in matcher.get_opcodes() if tag != "equal"
    ]


def _by_lines(a: Sequence[str], b: Sequence[str], at: int) -> list[tuple[int, int, int, int]]:
    lines_a, lines_b = _lines(a), _lines(b)
    matcher = SequenceMatcher(None, [text for text, _ in lines_a], [text for text, _ in lines_b], autojunk=False)
    found: list[tuple[int, int, int, int]] = []
    ends_a = [place for _, place in lines_a] + [len(a)]
    ends_b = [place for _, place in lines_b] + [len(b)]
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            continue
        i0, i1, j0, j1 = ends_a[a0], ends_a[a1], ends_b[b0], ends_b[b1]
        if (i1 - i0) * (j1 - j0) <= _FINE:
            found += _aligned(a[i0:i1], b[j0:j1], at + i0, at + j0)
        else:
            found.append((at + i0, at + i1, at + j0, at + j1))
    return found


def _lines(parts: Sequence[str]) -> list[tuple[str, int]]:
    """Each line's text, and at which token it begins."""
    found: list[tuple[str, int]] = []
    begin = 0
    for index, part in enumerate(parts):
        if "\n" in part:
            found.append(("".join(parts[begin : index + 1]), begin))
            begin = index + 1
    if begin < len(parts):
        found.append(("".join(parts[begin:]), begin))
    return found
