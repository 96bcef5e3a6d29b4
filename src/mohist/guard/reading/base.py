"""Undoes what spells bytes in letters and digits: base64, base32, hexadecimal, lists of character codes."""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Iterator

from mohist.guard.limit import Limits
from mohist.guard.reading.draft import Locate, Spot, redraw
from mohist.guard.reading.text import Decoded, as_text, inflated
from mohist.guard.reading.trigger import places
from mohist.guard.view import View

_RUN = re.compile(r"[A-Za-z0-9+/_-]*")
_PADDING = re.compile(r"={0,2}")
_BREAK = re.compile(
    r"(?:\\?\r?\n|\\r\\n|\\n)[ \t]*(?:[+>#*|-][ \t]*)?(?=[A-Za-z0-9+/_-]+={0,2}[ \t]*(?:$|[\r\n\"'`\\<,;)]))", re.M
)
_BASE64_CHARS = string.ascii_letters + string.digits + "+/_-"
_GROUP_CHARS = 4
_BEFORE_CHARS = 64 * 1024
"""How far in front of a text the base64 that it stands in is taken along."""
_SAMPLES_CHARS = (256, 8192)
"""What is not text at its beginning is none: a look at a little of it, then at more."""
_MIN_WRAPPED = 40
"""The shortest line of wrapped base64; encoders break at 64 or 76 characters (RFC 1421, RFC 2045)."""
_GLANCE_CHARS = 64
_CONTROLS_MAX = 1
_UNCONTROLLED = bytes({*range(0x20, 0x7F), *b"\0\t\r\n", *range(0x80, 0x100)})
_STANDARD = str.maketrans("-_", "+/")
_BLANK = re.compile(r"[^A-Za-z0-9+/]+")
_DIGIT = re.compile(r"[A-Za-z0-9+/]")
_HEX_PAIR = re.compile(r"(?:0x|\\x)?([0-9A-Fa-f]{2})")
_NUMBER = re.compile(r"[0-9]{2,3}")


def base64_text(view: View, start: int, limits: Limits) -> View | None:
    """With base64 and base64url of text read, also in lines, compressed, or of UTF-16."""
    return redraw(view, "base64", _base64_spots(view, "base64", start, limits))


def compressed(view: View, start: int, limits: Limits) -> View | None:
    """With base64 of gzip and zlib read."""
    return redraw(view, "base64+gzip", _base64_spots(view, "compressed", start, limits))


def base32(view: View, start: int = 0) -> View | None:
    """With base32 of text read (RFC 4648 section 6)."""
    return redraw(view, "base32", _base32_spots(view, start))


def hexadecimal(view: View, start: int = 0) -> View | None:
    """With hexadecimal bytes of text read, also with blanks, commas, `0x` or `\\x` between them."""
    return redraw(view, "hex", _pair_spots(view, "hex", start, _HEX_PAIR, 16))


def codes(view: View, start: int = 0) -> View | None:
    """With lists of decimal character codes read."""
    return redraw(view, "codes", _pair_spots(view, "codes", start, _NUMBER, 10))


def _base64_spots(view: View, name: str, first: int, limits: Limits) -> Iterator[Spot]:
    text = view.text
    done = last = 0
    refused: set[int] = set()
    for start, end in places(view, name, first):
        if start < done:
            continue
        if end > last:
            last = _end(text, end)
            refused.clear()
        # Binary data hold a place in every few kB by chance. All of one run that lie whole groups apart belong to the same bytes,
        # which are looked at once; after that, text has to begin at the place itself.
        if start % _GROUP_CHARS not in refused:
            tried = [(start - _aligned(text, done, start), last), (start, last), (start, end)]
        elif _goes_on(text[start : min(start + _GLANCE_CHARS, last)]):
            tried = [(start, last), (start, end)]
        else:
            tried = [(start, end)]
        for low, high in dict.fromkeys(tried):
            spot = _base64_spot(text, low, high, limits)
            if spot is not None:
                yield spot
                done = high
                break
            refused.add(start % _GROUP_CHARS)


def _goes_on(beginning: str) -> bool:
    """Whether what begins like text stays free of control characters for a little; an eighth of random bytes are some."""
    try:
        data = binascii.a2b_base64(beginning.translate(_STANDARD))
    except binascii.Error:
        return True  # it ends here, in the midst of a group
    return len(data.translate(None, _UNCONTROLLED)) <= _CONTROLS_MAX


def _aligned(text: str, done: int, start: int) -> int:
    """How many characters in front of a place belong to the same base64, by whole groups of four."""
    before = text[max(done, start - _BEFORE_CHARS) : start]
    return (len(before) - len(before.rstrip(_BASE64_CHARS))) // _GROUP_CHARS * _GROUP_CHARS


def _end(text: str, end: int) -> int:
    """Where base64 that goes on at `end` ends, over line breaks."""
    line = max(text.rfind("\n", 0, end), text.rfind('"', 0, end)) + 1
    while True:
        found = _RUN.match(text, end)
        end = found.end() if found else end
        broken = _BREAK.match(text, end)
        if broken is None or end - line < _MIN_WRAPPED or (end - line) % 4:
            return end + len(_PADDING.match(text, end)[0])  # type: ignore[index]
        line = end = broken.end()


def _base64_spot(text: str, start: int, end: int, limits: Limits) -> Spot | None:
    for sample in _SAMPLES_CHARS:
        # Pictures and the like are long, and seen not to be text by their beginning.
        if end - start > sample and _base64_spot(text, start, start + sample, limits) is None:
            return None
    raw = text[start:end].translate(_STANDARD)
    packed = _BLANK.sub("", raw.replace("\\r", "").replace("\\n", "")) if _BLANK.search(raw) else raw
    if len(packed) % 4 == 1:
        packed = packed[:-1]
    try:
        data = binascii.a2b_base64(packed + "=" * (-len(packed) % 4))
    except binascii.Error:
        return None
    plain = inflated(data, limits.max_view_bytes)
    if plain is not None:
        decoded = as_text(plain)
        return None if decoded is None else (start, end, decoded.text, None)
    decoded = as_text(data)
    if decoded is None:
        return None
    return start, end, decoded.text, _base64_way(decoded, raw if packed is not raw else "")


def _base64_way(decoded: Decoded, wrapped: str) -> Locate:
    kept: list[int] = []

    def locate(start: int, end: int) -> tuple[int, int]:
        # Six bits a character: the first one and the last one that hold a bit of the bytes asked for.
        low, high = decoded.at(start) * 8 // 6, -(-decoded.at(end) * 8 // 6)
        if not wrapped:
            return low, high
        if not kept:
            # Once for all places: a text may hold very many.
            kept.extend(found.start() for found in _DIGIT.finditer(wrapped))
        return kept[min(low, len(kept) - 1)], kept[min(max(high - 1, 0), len(kept) - 1)] + 1

    return locate


def _base32_spots(view: View, first: int) -> Iterator[Spot]:
    for start, end in places(view, "base32", first):
        raw = view.text[start:end].rstrip("=")
        raw = raw[: len(raw) - (len(raw) % 8 in (1, 3, 6))]
        try:
            decoded = as_text(base64.b32decode(raw + "=" * (-len(raw) % 8)))
        except (binascii.Error, ValueError):
            continue
        if decoded is not None:
            yield start, end, decoded.text, _base32_way(decoded)


def _base32_way(decoded: Decoded) -> Locate:
    # Five bits a character.
    return lambda start, end: (decoded.at(start) * 8 // 5, -(-decoded.at(end) * 8 // 5))


def _pair_spots(view: View, name: str, first: int, expression: re.Pattern[str], base: int) -> Iterator[Spot]:
    text = view.text
    for start, end in places(view, name, first):
        if base == 16 and (end - start) % 2 == 0 and (plain := _plain_pairs(text[start:end])) is not None:
            decoded = as_text(plain)
            if decoded is not None:
                yield start, end, decoded.text, _plain_way(decoded)
            continue
        numbers = list(expression.finditer(text, start, end))
        found = [int(number[number.re.groups], base) for number in numbers]
        decoded = as_text(bytes(value for value in found)) if all(value < 256 for value in found) else None
        if decoded is not None:
            spans = [(number.start() - start, number.end() - start) for number in numbers]
            yield start, end, decoded.text, _span_way(decoded, spans)


def _plain_pairs(text: str) -> bytes | None:
    """The bytes of hexadecimal digits with nothing between them."""
    try:
        return binascii.a2b_hex(text)
    except (binascii.Error, ValueError):
        return None


def _plain_way(decoded: Decoded) -> Locate:
    return lambda start, end: (2 * decoded.at(start), 2 * decoded.at(end))


def _span_way(decoded: Decoded, spans: list[tuple[int, int]]) -> Locate:
    def locate(start: int, end: int) -> tuple[int, int]:
        low, high = decoded.at(start), decoded.at(end)
        return spans[min(low, len(spans) - 1)][0], spans[min(max(high - 1, low), len(spans) - 1)][1]

    return locate
