"""Marks in a text that let a finding on their line pass: `mohist: allow RULE because REASON`.

For files whose every writer is trusted, and only where somebody asked for it. In model calls marks are never honoured: whoever
writes a text would decide what leaves with it.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

_MARK = re.compile(r"mohist: ?allow (?P<rule>[\w.*?-]{3,100}) because (?P<reason>\S.{2,200})")
_NEAR_CHARS = 1_000
_EVERYTHING = {"*", "**", "*.*"}


def marked(text: str, start: int, end: int, rule: str) -> str:
    """Why a finding may pass, by a mark on a line that it touches; empty: there is none.

    Args:
        text: of the file.
        start, end: the finding.
        rule: that found it. A mark names the rule, or a glob that is not everything.
    """
    low = text.rfind("\n", max(start - _NEAR_CHARS, 0), start) + 1 or max(start - _NEAR_CHARS, 0)
    high = text.find("\n", end, end + _NEAR_CHARS)
    for found in _MARK.finditer(text, low, high if high >= 0 else min(end + _NEAR_CHARS, len(text))):
        if found["rule"] not in _EVERYTHING and fnmatchcase(rule, found["rule"]):
            return found["reason"].strip()
    return ""
