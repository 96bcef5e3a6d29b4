"""Unified diffs of texts that differ in few places; quick on long files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

CONTEXT = 3
_MIDDLE_LINES = 4_000
"""Beyond so many changed lines a line-by-line comparison is too slow to be worth it: all of them are shown as replaced."""


def unified(before: str, after: str, name: str) -> str:
    """Diff of two texts with LF endings; empty when they are the same."""
    if before == after:
        return ""
    old, new = _rows(before), _rows(after)
    same_head = common_start(old, new)
    same_tail = common_start(old[same_head:][::-1], new[same_head:][::-1])
    start = max(0, same_head - CONTEXT)
    after_rows = max(0, same_tail - CONTEXT)
    old_middle, new_middle = old[start : len(old) - after_rows], new[start : len(new) - after_rows]
    if len(old_middle) + len(new_middle) > _MIDDLE_LINES:
        rows = _replaced(old_middle, new_middle, same_head - start, same_tail - after_rows)
        rows.insert(0, f"@@ -{start + 1},{len(old_middle)} +{start + 1},{len(new_middle)} @@")
    else:
        rows = _hunks(old_middle, new_middle, start)
    return "\n".join([f"--- a/{name}", f"+++ b/{name}", *rows]) + "\n"


def stat(diff: str) -> str:
    """`+3 -1`: lines added and removed."""
    rows = diff.split("\n")[2:]
    return f"+{sum(row.startswith('+') for row in rows)} -{sum(row.startswith('-') for row in rows)}"


def _rows(text: str) -> list[str]:
    rows = text.split("\n")
    if rows[-1] == "":
        rows.pop()
    elif rows:
        rows[-1] += "\n\\ No newline at end of file"
    return rows


def common_start(left: Sequence[str], right: Sequence[str]) -> int:
    """How many first items (or characters) are the same."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _hunks(old: list[str], new: list[str], shift: int) -> list[str]:
    rows = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        old_size, new_size = last[2] - first[1], last[4] - first[3]
        old_at = first[1] + shift + (1 if old_size else 0)
        new_at = first[3] + shift + (1 if new_size else 0)
        rows.append(f"@@ -{old_at},{old_size} +{new_at},{new_size} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                rows += [" " + row for row in old[i1:i2]]
                continue
            rows += ["-" + row for row in old[i1:i2]]
            rows += ["+" + row for row in new[j1:j2]]
    return rows


def _replaced(old: list[str], new: list[str], head: int, tail: int) -> list[str]:
    rows = [" " + row for row in old[:head]]
    rows += ["-" + row for row in old[head : len(old) - tail]]
    rows += ["+" + row for row in new[head : len(new) - tail]]
    return rows + [" " + row for row in old[len(old) - tail :]]
