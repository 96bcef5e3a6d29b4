"""Literals of programs that may hold something in code: quoted strings, arrays of them, escapes, arrays of numbers, character codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_QUOTED = re.compile(rb"""(["'`])([A-Za-z0-9+/_\-=|,;:. ]{8,}+)\1""")
_ELEMENT = rb"""["'`][A-Za-z0-9+/_\-=\\.]{3,}+["'`]"""
_LISTED = re.compile(_ELEMENT + rb"(?:\s{0,64}[,+]?\s{0,64}" + _ELEMENT + rb"){1,}+")
_PIECE = re.compile(rb"""["'`]([A-Za-z0-9+/_\-=\\.]{3,}+)["'`](\s{0,64}[,+]?)""")
_ESCAPED = re.compile(rb"\\(?:x[0-9a-fA-F]{2}|u00[0-9a-fA-F]{2}|u\{0{0,4}[0-9a-fA-F]{1,2}\}|[0-3][0-7]{2})")
_STRING = re.compile(rb"""(?:[^"'`\\\n]|\\.)*+""")
_QUOTES = (b'"', b"'", b"`", b"\n")
_BACK_BYTES = 4096
"""How far in front of an escape its string may begin."""
_NUMBER = rb"(?:0[xX][0-9a-fA-F]{1,4}|[0-9]{1,5})"
_NUMBERS = re.compile(
    rb"[\[({]\s{0,64}(" + _NUMBER + rb"(?:\s{0,64},\s{0,64}" + _NUMBER + rb"){6,}+)\s{0,64},?\s{0,64}[\])}]"
)
_ARRAYS = re.compile(rb"\s{0,64},?\s{0,64}\Z")
_SEPARATORS = re.compile(rb"[|,;:. ]")
_CODED = re.compile(rb"[A-Za-z0-9+/_\-]{4,}={0,2}")
_ESCAPE = re.compile(
    rb"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|([0-3][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE = {b"n": 10, b"r": 13, b"t": 9, b"b": 8, b"f": 12, b"v": 11, b"0": 0, b"a": 7}
_WORD = re.compile(rb"[A-Za-z]?[a-z]+|[A-Z_]+|[a-z]+(?:[A-Z][a-z]+)+")


class Candidate(NamedTuple):
    """A literal that may be in code."""

    start: int
    end: int
    pieces: tuple[bytes, ...]
    first: tuple[str, ...]
    """What was undone to get the pieces: ("character codes",); () for a string as it stands."""


def candidates(data: bytes, most_bytes: int) -> Iterator[Candidate]:
    """Every literal that may be a table, in a program in any language; longer ones than `most_bytes` are left out.

    What each could mean is for `decode.search` to say; here nothing is judged but form.
    """
    yield from _strings(data, most_bytes)
    yield from _lists(data, most_bytes)
    yield from _escaped(data, most_bytes)
    yield from _numbers(data, most_bytes)


def unescaped(data: bytes) -> bytes:
    """The bytes of a literal whose escapes are undone; characters beyond one byte become UTF-8."""

    def one(match: re.Match[bytes]) -> bytes:
        if match[5] is not None:
            code = _SIMPLE.get(match[5])
            return match[5] if code is None else bytes((code,))
        point = int(match[1] or match[2] or match[3], 16) if match[4] is None else int(match[4], 8)
        if point < 0x100:
            return bytes((point,))
        return chr(point).encode("utf-8", "replace") if point < 0x110000 else b"?"

    return _ESCAPE.sub(one, data)


def _strings(data: bytes, most_bytes: int) -> Iterator[Candidate]:
    seen: set[bytes] = set()
    for match in _QUOTED.finditer(data):
        text = match[2]
        if len(text) > most_bytes or text in seen or _WORD.fullmatch(text):
            continue
        seen.add(text)
        start, end = match.span(2)
        if _CODED.fullmatch(text) or text.startswith(b"="):
            yield Candidate(start, end, (text,), ())
            continue
        parts = [part for part in _SEPARATORS.split(text) if part]
        if len(parts) >= 2 and all(_CODED.fullmatch(part) for part in parts):
            yield Candidate(start, end, tuple(parts), ())
        else:
            yield Candidate(start, end, (text,), ())


def _escaped(data: bytes, most_bytes: int) -> Iterator[Candidate]:
    done = 0
    for match in _ESCAPED.finditer(data):
        if match.start() < done:
            continue
        low = max(done, match.start() - _BACK_BYTES)
        start = max(low, *(data.rfind(quote, low, match.start()) + 1 for quote in _QUOTES))
        string = _STRING.match(data, start)
        end = max(string.end() if string is not None else start, match.end())
        done = end
        if end - start <= 4 * most_bytes:
            yield Candidate(start, end, (unescaped(data[start:end]),), ("escapes",))


def _lists(data: bytes, most_bytes: int) -> Iterator[Candidate]:
    for match in _LISTED.finditer(data):
        if match.end() - match.start() > most_bytes:
            continue
        pieces: list[bytes] = []
        joined = True
        for piece in _PIECE.finditer(match[0]):
            pieces.append(piece[1])
            joined = joined and not piece[2].endswith(b",")
        if joined:
            yield Candidate(match.start(), match.end(), (b"".join(pieces),), ())
        elif len(pieces) >= 2 and not all(_WORD.fullmatch(piece) for piece in pieces):
            yield Candidate(match.start(), match.end(), tuple(dict.fromkeys(pieces)), ())


def _numbers(data: bytes, most_bytes: int) -> Iterator[Candidate]:
    run: list[bytes] = []
    start = end = 0
    for match in _NUMBERS.finditer(data):
        if match.end() - match.start() > 6 * most_bytes:
            continue
        values = [
            int(number, 0) if number[:2] in (b"0x", b"0X") else int(number)
            for number in re.split(rb"[\s,]+", match[1].strip())
        ]
        if max(values) > 0xFF:
            continue
        if run and not _ARRAYS.match(data[end : match.start()]):
            yield Candidate(start, end, tuple(run), ("numbers",))
            run = []
        if not run:
            start = match.start()
        run.append(bytes(values))
        end = match.end()
    if run:
        yield Candidate(start, end, tuple(run), ("numbers",))
