"""Blanks at the ends of lines: how much they could say."""

from __future__ import annotations

import math
import re
from collections import Counter

BITS_MIN = 8.0
"""Below that much information the ends of lines are somebody's untidiness."""
LINES_MIN = 8
_SHORT_BYTES = 4096
_ENDS = re.compile(r"[^\s]([ \t]*)\r?$", re.MULTILINE)


def trailing(data: bytes) -> bool:
    """Whether enough lines end in a blank to be looked at; costs next to nothing."""
    if len(data) < _SHORT_BYTES:
        count = data.count(b" \n") + data.count(b"\t\n")
        if b"\r" in data:
            count += data.count(b" \r") + data.count(b"\t\r")
        return count >= LINES_MIN
    # Counting two bytes in a long text costs five times what comparing all of its bytes at once does.
    import numpy as np

    read = np.frombuffer(data, dtype=np.uint8)
    before, after = read[:-1], read[1:]
    breaks = after == 0x0A
    if b"\r" in data:
        breaks |= after == 0x0D
    return int(np.count_nonzero(breaks & ((before == 0x20) | (before == 0x09)))) >= LINES_MIN


def bits(text: str) -> tuple[float, int, int]:
    """What the ends of lines carry beyond one habit.

    Lines that end in different blanks, mixed: the entropy of their order. One sort alone (Markdown's two blanks, an editor's one)
    carries nothing, however many lines have it, unless half of the lines have it and half haven't.

    Returns:
        Bits, and where the first and the last such line's blanks begin and end.
    """
    ends = [(match.start(1), match[1]) for match in _ENDS.finditer(text)]
    marked = [(at, blanks) for at, blanks in ends if blanks]
    if len(marked) < LINES_MIN:
        return 0.0, 0, 0
    mixed = _entropy(Counter(blanks for _, blanks in marked)) * len(marked)
    first, last = marked[0][0], marked[-1][0]
    within = [blanks for at, blanks in ends if first <= at <= last]
    share = len(marked) / len(within)
    switched = 0.0
    if 0.25 <= share <= 0.75 and not {blanks for _, blanks in marked} <= {"  "}:
        switched = _entropy(Counter(bool(blanks) for blanks in within)) * len(within) - 3 * BITS_MIN
    return max(mixed, switched), first, last + len(marked[-1][1])


def _entropy(counted: Counter[str] | Counter[bool]) -> float:
    total = counted.total()
    return -sum(count / total * math.log2(count / total) for count in counted.values())
