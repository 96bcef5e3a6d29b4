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
_SAMPLE_CHARS: Final = 64 * 1024
_LONG_LINE_CHARS: Final = 4_000
"""Nobody writes such a line without a blank line's worth of sentences; a longer one is cut at its blanks."""

# Before the words of a line: numbers that a tool puts there, quotation, list and heading marks.
_MARKS: Final = re.compile(r"[ \t]*(?:\d{1,6}(?:→|\t|: |\| ))?[ \t]*(?:(?:>|\*|-|•|\+|#{1,6}|\d{1,3}[.)])[ \t]+)*")
_COMMENT: Final = re.compile(r"[ \t]*(?:#|//|/\*|\*|--|;;|<!--|\"\"\"|''')")
_CODE: Final = re.compile(
    r"""^(?:
        (?:def|class|import|from|return|if|elif|else|for|while|try|except|with|const|let|var|function|public|private|protected|static|
           export|package|using|namespace|struct|enum|func|fn|pub|use|impl|type|SELECT|INSERT|UPDATE|CREATE)\b.*[{};:=]\s*$
        | [\w.$\[\]'"-]+\s*(?:=|\+=|:=|->|=>|<-)\s*\S
        | ["'][^"']{0,80}["']\s*:
        | (?:\$|>>>|\.\.\.|@|%)\s?\w
        | [{}()\[\]<>;|`~=_/\\#*+-]
    )""",
    re.VERBOSE,
)
_ENDS_AS_CODE: Final = re.compile(r"(?:[;{}\[\\=|(]|\)\s*[:;]|[)\]}],)\s*$")
_SIGNS: Final = re.compile(r"[{}\[\]<>=;|\\_$@&*+~^`/]|::|\(\)|->|\w\(|\w\.\w")
_SIGN_SHARE: Final = 0.04
_WORD: Final = re.compile(r"[^\W\d_]{2,}|[一-鿿]")
_TOKEN_CHARS: Final = 60
_LONG_TOKEN: Final = re.compile(rf"[!-~]{{{_TOKEN_CHARS},}}")
"""Base64, hashes, addresses: no word is so long."""
_JSON: Final = re.compile(r"\s*[{\[][\s\S]*[}\]]\s*\Z")


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
    head = text[:_SAMPLE_CHARS]
    if len(text) <= _SAMPLE_CHARS and _JSON.match(text):
        return
    mostly_code = _is_code(head)
    lines: list[tuple[int, str]] = []
    size = 0
    for start, line in _lines(text):
        kept = _kept(line, within_code=mostly_code)
        if kept is None:
            if lines:
                yield from _passage(lines, within_code=mostly_code)
            lines, size = [], 0
            continue
        if size + len(line) - kept > PASSAGE_CHARS and lines:
            yield from _passage(lines, within_code=mostly_code)
            lines, size = [], 0
        lines.append((start + kept, line[kept:]))
        size += len(line) - kept + 1
    if lines:
        yield from _passage(lines, within_code=mostly_code)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(text):
        stop = text.find("\n", at)
        if stop < 0:
            stop = len(text)
        while stop - at > _LONG_LINE_CHARS:
            cut = text.rfind(" ", at, at + PASSAGE_CHARS) + 1 or at + PASSAGE_CHARS
            yield at, text[at:cut]
            at = cut
        yield at, text[at:stop].rstrip("\r")
        at = stop + 1


def _kept(line: str, *, within_code: bool) -> int | None:
    """From which character on a line is prose; its length: it is blank; None: it is none."""
    if not line.strip():
        return len(line)
    if within_code and _COMMENT.match(line):
        return None
    marks = _MARKS.match(line)
    kept = marks.end() if marks else 0
    return kept if _is_prose(line[kept:]) else None


def _is_prose(line: str) -> bool:
    if _CODE.match(line) or _ENDS_AS_CODE.search(line) or _LONG_TOKEN.search(line):
        return False
    return len(_SIGNS.findall(line)) <= max(1, _SIGN_SHARE * len(line))


def _is_code(head: str) -> bool:
    """Whether more of a text is code than prose."""
    code = plain = 0
    for _, line in _lines(head):
        stripped = line.strip()
        if stripped:
            if _is_prose(stripped) and not _COMMENT.match(line):
                plain += len(stripped)
            else:
                code += len(stripped)
    return code > plain


def _passage(lines: list[tuple[int, str]], *, within_code: bool) -> Iterator[Passage]:
    """One of these lines, if there is enough in them to hold a name."""
    while lines and not lines[-1][1].strip():
        lines.pop()
    text = "\n".join(line for _, line in lines)
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    # Scripts with two cases write names with the upper one.
    if letters < MIN_LETTERS or not any(letter.isalpha() and not letter.islower() for letter in text):
        return
    if within_code and len(words) < MIN_WORDS_IN_CODE:
        return
    at: list[int] = []
    offset = 0
    for _, line in lines:
        at.append(offset)
        offset += len(line) + 1
    yield Passage(text, at, [start for start, _ in lines])
