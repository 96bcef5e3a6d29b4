"""Which parts of a text are prose: a model of names costs a thousand times what a pattern does, and in code it sees people everywhere."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

PASSAGE_CHARS: Final = 2_000
"""What a model is shown at once: some paragraphs, so that asking it takes tens of milliseconds and others come in between."""
MIN_LETTERS: Final = 6
MIN_WORDS_IN_CODE: Final = 8
"""Among code a line or two without its signs are no prose yet."""
_SAMPLE_CHARS: Final = 16 * 1024
"""By which a text is judged to be code."""
_LONG_LINE_CHARS: Final = 4_000
"""A longer line is cut behind its sentences."""

# Before the words of a line: numbers that a tool puts there, quotation, list and heading marks.
_MARKS: Final = re.compile(
    r"[ \t]*(?:\d{1,6}(?:→|\t|: |\| ))?(?:[ \t]*>)*[ \t]*(?:(?:\*|-|•|\+|#{1,6}|\d{1,3}[.)])[ \t]+)*"
)
_COMMENTS: Final = ("#", "//", "/*", "*", "--", ";;", "<!--", '"""', "'''")
_CODE_HEADS: Final = frozenset("{}()[]<>;|`~=_/\\#*+-@$%")
_CODE_TAILS: Final = frozenset("{[(\\=|;}")
_CODE: Final = re.compile(
    r"""(?:def|class|import|from|return|if|elif|else|for|while|try|except|with|const|let|var|function|public|private|protected|static|
           export|package|using|namespace|struct|enum|func|fn|pub|use|impl|type|SELECT|INSERT|UPDATE|CREATE)\b.*[{};:=]$
        | [\w.$\[\]'"-]+\s*(?:=|\+=|:=|->|=>|<-)\s*\S
        | ["'][^"']{0,80}["']\s*:
    """,
    re.VERBOSE,
)
"""Statements, assignments and keys."""
_CODE_ENDS: Final = ("):", "),", "],", "},")
_LONG_CHARS: Final = 60
_LONG: Final = re.compile(rf"[!-~]{{{_LONG_CHARS}}}")
"""Longer than any word: base64, hashes, addresses."""
_SIGNS: Final = re.compile(r"[{}\[\]<>=;|\\_$@*+~^`/]|&[&a-z#]|::|\(\)|->|\w\(|\w\.\w")
_SIGN_SHARE: Final = 0.04
_WORD: Final = re.compile(r"[^\W\d_]{2,}|[一-鿿]")
_JSON: Final = re.compile(r"[{\[][\s\S]*[}\]]\s*\Z")


@dataclass(frozen=True, slots=True)
class Passage:
    """Lines of prose as a model is shown them."""

    text: str
    at: Sequence[int]
    """Where in `text` each line begins."""
    to: Sequence[int]
    """Where it begins in the whole."""

    def place(self, offset: int) -> int:
        """The whole's character behind one of `text`."""
        line = bisect_right(self.at, offset) - 1
        return self.to[line] + offset - self.at[line]


def prose(text: str) -> Iterator[Passage]:
    """The prose in a text, in order, in passages of at most `PASSAGE_CHARS` and a line."""
    if text[:1] in "{[" and _JSON.match(text):
        return
    within_code = _is_code(text[:_SAMPLE_CHARS])
    lines: list[tuple[int, str]] = []
    size = 0
    for start, line in _lines(text):
        kept = _kept(line, within_code=within_code)
        if kept is None or size > PASSAGE_CHARS - len(line):
            yield from _passage(lines, within_code=within_code)
            lines, size = [], 0
        if kept is not None:
            lines.append((start + kept, line[kept:]))
            size += len(line) - kept + 1
    yield from _passage(lines, within_code=within_code)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in text.split("\n"):
        begin, end = at, at + len(line)
        at = end + 1
        while end - begin > _LONG_LINE_CHARS:
            cut = _cut(text, begin, begin + PASSAGE_CHARS)
            yield begin, text[begin:cut]
            begin = cut
        yield begin, text[begin:end]


def _cut(text: str, begin: int, end: int) -> int:
    """Where a long line is best cut: behind a sentence, else at a blank, so that no name falls apart."""
    half = (begin + end) // 2
    behind = max(text.rfind(sign, half, end) + len(sign) for sign in (". ", "! ", "? ", "。", "；"))
    return behind if behind > half else text.rfind(" ", half, end) + 1 or end


def _kept(line: str, *, within_code: bool) -> int | None:
    """From which character on a line is prose; its length: it is blank; None: it is none."""
    stripped = line.strip()
    if not stripped:
        return len(line)
    if within_code and stripped.startswith(_COMMENTS):
        return None
    if stripped[-1] in _CODE_TAILS:
        return None
    marks = _MARKS.match(line)
    kept = marks.end() if marks else 0
    return kept if _is_prose(line[kept:].strip()) else None


def _is_prose(line: str) -> bool:
    if not line:
        return True
    if line[0] in _CODE_HEADS or line.endswith(_CODE_ENDS) or _CODE.match(line):
        return False
    if len(line) >= _LONG_CHARS and _LONG.search(line):
        return False
    return len(_SIGNS.findall(line)) <= max(1, _SIGN_SHARE * len(line))


def _is_code(head: str) -> bool:
    """Whether more of a text is code than prose."""
    code = plain = 0
    for line in head.split("\n"):
        stripped = line.strip()
        if not stripped or stripped.startswith(_COMMENTS):
            continue  # a comment to a program, a heading or a list to Markdown
        if _kept(line, within_code=False) is None:
            code += len(stripped)
        else:
            plain += len(stripped)
    return code > plain


def _passage(lines: list[tuple[int, str]], *, within_code: bool) -> Iterator[Passage]:
    """One of these lines, if there is enough in them to hold a name."""
    while lines and not lines[-1][1].strip():
        lines.pop()
    text = "\n".join(line for _, line in lines)
    words = _WORD.findall(text)
    if sum(map(len, words)) < MIN_LETTERS or (within_code and len(words) < MIN_WORDS_IN_CODE):
        return
    # Scripts with two cases write names with the upper one.
    if not any(letter.isalpha() and not letter.islower() for letter in text):
        return
    at: list[int] = []
    offset = 0
    for _, line in lines:
        at.append(offset)
        offset += len(line) + 1
    yield Passage(text, at, [start for start, _ in lines])
