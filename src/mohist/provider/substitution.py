"""What legitimately differs between two machines and two days, taken out of a text and put back.

Two kinds. Literals (the workspace's path, the home, a run's id) become placeholders and come back as the
literals of the machine that replays. Patterns (dates, durations, addresses) are one-way: they only serve to compare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"

VOLATILE: tuple[tuple[str, str], ...] = (
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?\b", "<date>"),
    (
        rf"\b(?:{_DAYS})[a-z]*,? (?:\d{{1,2}} (?:{_MONTHS})[a-z]*|(?:{_MONTHS})[a-z]* +\d{{1,2}})[\w :+-]{{0,24}}\d",
        "<date>",
    ),
    (r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
    (r"(?<![\w.])\d+(?:\.\d+)? ?(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?)\b", "<duration>"),
    (r"\b0x[0-9a-fA-F]{6,}\b", "<address>"),
    (r"\bpytest-of-[\w.-]+/pytest-\d+", "<pytest-tmp>"),
    (r"(?<=/)tmp[a-z0-9_]{8}\b", "<tmp>"),
    (r"(?i)\bpid[ =:]+\d+", "pid <pid>"),
    (r"={4,}", "===="),  # pytest fills its lines up to a width, around a duration of any length
)
"""Patterns for what tools print and nobody means: in this order, each with what stands in its place."""

_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_DOLLARS = re.compile(r"\$+\{[A-Z][A-Z0-9_]*\}")


class Substitution:
    """Takes machine-bound text out and puts it back.

    Args:
        literals: text of this machine -> placeholder of the form `${NAME}`. Several may share a placeholder; the first
            is the one that is put back. Longer ones win; those of one character (a home of `/`) are ignored.
        patterns: regular expression and replacement, for comparing only.
    """

    def __init__(
        self, literals: Mapping[str, str] | None = None, patterns: Iterable[tuple[str, str]] = VOLATILE
    ) -> None:
        self._back: dict[str, str] = {}
        self._there: dict[str, str] = {}
        for literal, placeholder in (literals or {}).items():
            if not _PLACEHOLDER.fullmatch(placeholder):
                raise ValueError(f"a placeholder has the form ${{NAME}}, not {placeholder!r}")
            if len(literal) > 1:
                self._back.setdefault(placeholder, literal)
                for form in (literal, _escaped(literal), json.dumps(literal)[1:-1]):
                    self._there.setdefault(form, placeholder)
        self._find = self._finder()
        self._patterns = [(re.compile(pattern), text) for pattern, text in patterns]

    def masked(self, text: str) -> str:
        """`text` with placeholders; `restored` undoes it exactly, also where the text holds `${NAME}` itself."""
        text = _DOLLARS.sub(lambda match: "$" + match[0], text)
        if self._find is None:
            return text
        return self._find.sub(lambda match: self._there[match[0]], text)

    def restored(self, text: str, *, in_json: bool = False) -> str:
        """`text` with this machine's literals; a placeholder that is not known here stays.

        Args:
            text: what `masked` gave, here or on another machine.
            in_json: the text is JSON, so that literals are put in as JSON strings write them.
        """

        def put_back(match: re.Match[str]) -> str:
            found = match[0]
            if found.startswith("$$"):
                return found[1:]
            literal = self._back.get(found, found)
            return _escaped(literal) if in_json else literal

        return _DOLLARS.sub(put_back, text)

    def compared(self, text: str) -> str:
        """`text` as it is compared with another run's."""
        text = self.masked(text)
        for pattern, replacement in self._patterns:
            text = pattern.sub(replacement, text)
        return text

    def _finder(self) -> re.Pattern[str] | None:
        if not self._there:
            return None
        longest_first = sorted(self._there, key=len, reverse=True)
        # `/work` is not part of `/home/work` nor of `/workshop`; the letter of an escape such as \n is no word.
        # Behind a dollar sign a placeholder would look like one that the text held before.
        return re.compile(r"(?:(?<![\w$])|(?<=\\[nrtbf]))(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w-])")


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
