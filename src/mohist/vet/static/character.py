r"""Characters in programs that nobody sees, or that look like others: raw, as escapes, by `fromCharCode` and `chr`.

What counts is choice: one look-alike is typography, two for one mark within a few lines are alternatives between which something decides.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

from mohist.guard.covert.ignorable import allowed, right_to_left, sort_of
from mohist.guard.covert.kind import kinds_of
from mohist.guard.covert.lookalike import mixes
from mohist.guard.covert.typography import PLAIN, TYPOGRAPHY
from mohist.vet.static.text import Text

Kind = Literal["choice", "variants", "hidden", "bidi", "bidi-prose", "spelled", "mixed-word"]

_POINT = r"""(?:\\u\{0{0,3}(?P<braced>[0-9a-fA-F]{1,5})\}|\\u(?P<four>[0-9a-fA-F]{4})|\\x(?P<two>[0-9a-fA-F]{2})|\\U000(?P<eight>[0-9a-fA-F]{5})|(?P<raw>[\xc2-\xf4][\x80-\xbf]{1,3}))"""
_CALL = r"""(?:String\.from(?:Char|Code)(?:Code|Point)\(|\bchr\(|\bunichr\()\s*(?P<number>0[xX][0-9a-fA-F]{2,5}|[0-9]{2,6})\s*\)"""
_LITERAL = re.compile(("(?P<quote>[\"'`])" + _POINT + "(?P=quote)").encode("latin-1"))
"""A string of one character beyond ASCII, or an escape of one."""
_CALLED = re.compile(_CALL.encode("latin-1"))
_PLAIN_LITERAL = re.compile(rb"""(["'`])(?:['"`/.:\- ]|\\['"`]|\\x27|\\u0027)\1""")
_CHOICE_BYTES = 200
"""Within which alternatives stand; tables of characters are longer, and are told by their number."""
_TABLE_LITERALS = 10
"""So many strings of one character beyond ASCII next to each other are a table."""
_TABLE_BYTES = 600
_DECISIONS_MOST = 1
_BETWEEN = re.compile(rb"[?:]|\breturn\b|\belse\b|\bif\b|\|\||&&")
_TURNED = re.compile(rb"\.?replace(?:All)?\(|\.test\(|\.match\(|ndexOf\(|\.includes\(|startsWith")
"""Where one character is turned into another, or looked for."""
_COMPARED_WITH = re.compile(rb"(?:[=!]==?|\bcase|\bin)\s*[\[(]?\s*\Z")
_COMPARED_TO = re.compile(rb"\A\s*[=!]==?")
_RAW_HIDDEN = re.compile(rb"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xf3\xa0[\x80-\x87][\x80-\xbf]|\xef\xb8[\x80-\x8f]|\xef\xbb\xbf|\xc2\xad|\xe1\x85[\x9f\xa0]|\xe3\x85\xa4|\xd8\x9c|\xe1\xa0\x8e")  # fmt: skip
_ESCAPED_HIDDEN = re.compile(
    rb"(?:\\u(?:200[b-dB-D]|2060|00[aA][dD]|[fF][eE][fF][fF])|\\u\{(?:200[b-dB-D]|2060|[eE]00[0-9a-fA-F]{2})\})+"
)
_RAW_WATCHED = re.compile(rb"[\xc2\xca\xcb\xd5\xd7][\x80-\xbf]|[\xe1\xe2\xef][\x80-\xbf]{2}")
_ESCAPE_WATCHED = re.compile(rb"\\u\{?((?:2|00|02|05|1f|1F|[fF][eEfF])[0-9a-fA-F]{2,3})")
_SPAN_CHARS = 64
_TAG_RUN = re.compile("[\U000e0020-\U000e007e]{4,}")
_ZERO_RUN = re.compile("[\u200b\u200c\u200d\u2060\u2062\u2063\u2064\ufeff]{4,}")
_HIDDEN_MOST = 2000
_PACKED_CHARS = 16
_LINE_ENDS = frozenset((0x85, 0x2028, 0x2029, 0xFEFF))
"""What parsers of JavaScript and JSON know as ends of lines."""
_PAIRS = (
    {0x2018, 0x2019},
    {0x201C, 0x201D},
    {0xAB, 0xBB},
    {0x301D, 0x301E},
    {0x201E, 0x201C},
    {0x201E, 0x201D},
    {0x201A, 0x2018},
)
"""An opening and a closing mark: which one is right is a matter of place."""
_AROUND_CHARS = 80
_WORDS_MOST = 2000


@dataclass(frozen=True, slots=True)
class Odd:
    """Something that was seen."""

    kind: Kind
    start: int
    end: int
    points: tuple[int, ...]
    """The code points, in order of place."""
    note: str = ""
    """What it spells, or the word."""


@dataclass(frozen=True, slots=True)
class _One:
    start: int
    end: int
    point: int


def name_of(point: int) -> str:
    """ "U+2019 RIGHT SINGLE QUOTATION MARK"."""
    return f"U+{point:04X} {unicodedata.name(chr(point), '')}".rstrip()


def odd(text: Text) -> Iterator[Odd]:
    """Choices between look-alikes, hidden characters, words of mixed scripts, in a program or in prose."""
    if text.language in ("data", "native"):
        return
    if text.language != "prose":
        yield from _choices(text.data)
        yield from _escaped(text.data)
    if not text.data.isascii():
        yield from _hidden(text.data, "bidi-prose" if text.language == "prose" else "bidi")
        yield from _words(text)


def census(data: bytes) -> dict[int, int]:
    """Code point -> how often it stands in `data`, raw or as an escape; of look-alikes and hidden characters only."""
    counted: Counter[int] = Counter()
    watched = _watched()
    if not data.isascii():
        counted.update(ord(raw.decode("utf-8", "replace")[0]) for raw in _RAW_WATCHED.findall(data))
    counted.update(int(escape, 16) for escape in _ESCAPE_WATCHED.findall(data))
    return {point: count for point, count in counted.items() if point in watched}


@cache
def _watched() -> frozenset[int]:
    marks = (ord(mark) for mark in TYPOGRAPHY if ord(mark) < 0x3000 and unicodedata.category(mark) != "Nd")
    return frozenset((*marks, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF))


def _choices(data: bytes) -> Iterator[Odd]:
    """Alternatives that look alike, within a few lines."""
    if b"\\" not in data and b"fromC" not in data and b"chr(" not in data and data.isascii():
        return
    literals = [one for match in _LITERAL.finditer(data) if (one := _one(match)) is not None]
    for word in (b"String.from", b"chr("):
        if word in data:
            literals += [one for match in _CALLED.finditer(data) if (one := _called(match)) is not None]
            literals.sort(key=lambda one: one.start)
            break
    marks = [one for one in literals if chr(one.point) in TYPOGRAPHY and one.point not in _LINE_ENDS]
    done = -1
    for at, first in enumerate(marks):
        if first.start < done or _in_table(literals, first):
            continue
        plain = PLAIN[first.point]
        group = [first]
        for other in marks[at + 1 : at + 12]:
            if other.start - group[-1].end > _CHOICE_BYTES:
                break
            if PLAIN[other.point] == plain:
                group.append(other)
        low, high = max(group[0].start - _CHOICE_BYTES // 2, 0), group[-1].end + _CHOICE_BYTES // 2
        plains = [
            match.span() for match in _PLAIN_LITERAL.finditer(data, low, high) if unescape_plain(match[0]) == plain
        ]
        points = tuple(dict.fromkeys(one.point for one in group))
        spans = [(one.start, one.end) for one in group] + plains
        start, end = min(span[0] for span in spans), max(span[1] for span in spans)
        if len(points) + bool(plains) < 2 or (not plains and set(points) in _PAIRS):
            continue
        between = _between(data, sorted(spans))
        if not between:
            continue
        done = end
        if plain == " " and _is_chain(data[start:end]):
            continue
        yield Odd("choice" if between == "decided" else "variants", start, end, points)


def unescape_plain(literal: bytes) -> str:
    """The ASCII mark that a string of one mark holds."""
    inner = literal[1:-1]
    return "'" if inner in (b"\\x27", b"\\u0027") else inner[-1:].decode("ascii")


def _between(data: bytes, spans: list[tuple[int, int]]) -> str:
    """ "decided": the program takes one or the other; "listed": they stand in a list; "": one is turned into the other, or nothing of this."""
    words = [data[end:start] for (_, end), (start, _) in pairwise(spans)]
    head = data[max(spans[0][0] - 40, 0) : spans[0][0]]
    if _TURNED.search(head) or any(_TURNED.search(word) for word in words):
        return ""
    if any(_COMPARED_WITH.search(word) for word in (head, *words)) or any(_COMPARED_TO.search(word) for word in words):
        return ""
    if any(_BETWEEN.search(word) for word in words) and not any(word.strip() in (b":", b",") for word in words):
        return "decided"
    if any(re.fullmatch(rb"\s*:\s*", word) for word in words):
        # `a?"x":"y"` is a choice, `{"x":"y"}` a translation: what stands in front tells.
        return "decided" if re.search(rb"\?\s*\Z", head) else ""
    if any(re.fullmatch(rb"\s*,\s*", word) for word in words) or all(
        re.fullmatch(rb"[\s,\w$:\"'`]{1,40}", word) for word in words
    ):
        return "listed"
    return ""


def _is_chain(data: bytes) -> bool:
    """Whether a stretch decides again and again: widths of blanks by size, escapes by letter."""
    return data.count(b"?") > _DECISIONS_MOST or len(re.findall(rb"\bcase\b", data)) > _DECISIONS_MOST


def _in_table(literals: list[_One], one: _One) -> bool:
    low = bisect_left(literals, one.start - _TABLE_BYTES, key=_start)
    return bisect_left(literals, one.start + _TABLE_BYTES, key=_start) - low >= _TABLE_LITERALS


def _start(one: _One) -> int:
    return one.start


def _one(match: re.Match[bytes]) -> _One | None:
    if match["raw"] is not None:
        decoded = match["raw"].decode("utf-8", "replace")
        point = ord(decoded) if len(decoded) == 1 else 0
    else:
        point = int(match["braced"] or match["four"] or match["two"] or match["eight"], 16)
    return _One(match.start(), match.end(), point) if 0x80 <= point < 0x110000 else None


def _called(match: re.Match[bytes]) -> _One | None:
    number = match["number"]
    point = int(number, 0) if number[:2].lower() == b"0x" else int(number)
    return _One(match.start(), match.end(), point) if 0x80 <= point < 0x110000 else None


def _escaped(data: bytes) -> Iterator[Odd]:
    for match in _ESCAPED_HIDDEN.finditer(data):
        around = data[max(match.start() - 1, 0) : match.start()] + data[match.end() : match.end() + 1]
        if len(around) == 2 and around.isalpha():
            escapes = re.findall(rb"\\u\{?([0-9a-fA-F]{4,5})", match[0])
            yield Odd("hidden", match.start(), match.end(), tuple(int(escape, 16) for escape in escapes))


def _hidden(data: bytes, reordering: Kind) -> Iterator[Odd]:
    """Characters that nobody sees, written as themselves between others."""
    done = -1
    for number, match in enumerate(_RAW_HIDDEN.finditer(data)):
        if number >= _HIDDEN_MOST:
            return
        if match.start() < done:
            continue
        low = _boundary(data, match.start() - _SPAN_CHARS)
        window = data[low : match.end() + _SPAN_CHARS * 4].decode("utf-8", "ignore")
        at = len(data[low : match.start()].decode("utf-8", "ignore"))
        if at >= len(window):
            continue
        character = window[at]
        sort = sort_of(character)
        if sort is None or allowed(window, at, sort) or (match.start() == 0 and character == "\ufeff"):
            continue
        for run in (_TAG_RUN, _ZERO_RUN):
            spelled = run.match(window, at)
            if spelled is not None:
                done = match.start() + len(spelled[0].encode("utf-8"))
                note = "".join(chr(ord(tag) - 0xE0000) for tag in spelled[0]) if run is _TAG_RUN else ""
                yield Odd("spelled", match.start(), done, tuple(ord(one) for one in spelled[0][:32]), note)
                break
        else:
            before, after = window[at - 1 : at] if at else "", window[at + 1 : at + 2]
            if sort == "bidi":
                # A string of characters of all kinds is packed data, as tables of entities are.
                near = window[max(at - _PACKED_CHARS, 0) : at + _PACKED_CHARS]
                listed = (
                    sum(not one.isascii() and sort_of(one) is None for one in near) >= _PACKED_CHARS // 2
                    or right_to_left(window, at)
                    or before in "\"'`[-|"
                    or after in "\"'`]-|"
                    or sort_of(before)
                    or sort_of(after)
                )
                if ord(character) not in (0x200E, 0x200F, 0x061C) and not listed:
                    yield Odd(reordering, match.start(), match.end(), (ord(character),))
            elif before.isascii() and before.isalnum() and after.isascii() and after.isalnum():
                yield Odd("hidden", match.start(), match.end(), (ord(character),))


def _boundary(data: bytes, at: int) -> int:
    at = max(at, 0)
    while at < len(data) and 0x80 <= data[at] < 0xC0:
        at += 1
    return at


def _words(text: Text) -> Iterator[Odd]:
    """Words of ASCII letters with one of Cyrillic, Armenian or another alphabet that no spelling mixes with them."""
    decoded = text.data.decode("utf-8", "replace")
    at = place = 0
    for start, end in kinds_of(decoded, typography=False, most=_WORDS_MOST).suspects:
        word = decoded[start:end]
        # Repeated letters, and words of a list of alphabets, are tables of characters.
        if not mixes(word) or len(word) > 24 or "_" in word.strip("_"):
            continue
        ascii_letters = sum(letter.isascii() and letter.isalpha() for letter in word)
        if ascii_letters < 2 or len({*word}) < len(word) // 2:
            continue
        # An abbreviation with an ending of another language, among words of that language: "MCP" in Mongolian.
        switches = sum(one.isascii() != other.isascii() for one, other in pairwise(word))
        around = decoded[max(start - _AROUND_CHARS, 0) : start] + decoded[end : end + _AROUND_CHARS]
        if switches == 1 and sum(not letter.isascii() and letter.isalpha() for letter in around) >= len(word):
            continue
        place += len(decoded[at:start].encode("utf-8"))
        at = start
        points = tuple(ord(letter) for letter in word if not letter.isascii())
        yield Odd("mixed-word", place, place + len(word.encode("utf-8")), points, word)
