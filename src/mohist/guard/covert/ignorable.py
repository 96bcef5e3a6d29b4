"""Characters that nobody sees: what class each is of, and where it may stand.

Sources: Unicode 16 DerivedCoreProperties (Default_Ignorable_Code_Point), UTS #51 (emoji sequences), UAX #9 (bidi controls),
"Trojan Source" (Boucher and Anderson, 2021).
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Sort = Literal["zero-width", "soft-hyphen", "bidi", "tag", "variation-selector", "private-use"]

ZWNJ, ZWJ = "\u200c", "\u200d"
_ZERO_WIDTH = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\u2065"
    "\u206a\u206b\u206c\u206d\u206e\u206f\u3164\ufeff\uffa0\ufff9\ufffa\ufffb\U0001bca0\U0001bca1\U0001bca2\U0001bca3"
) | {chr(point) for point in range(0x1D173, 0x1D17B)}
_MARKS = frozenset("\u200e\u200f\u061c")
"""Direction marks: ordinary in text that runs from right to left."""
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") | _MARKS
_BLACK_FLAG = "\U0001f3f4"
# UTS #51, emoji-sequences: the three subdivision flags that are recommended for interchange.
_FLAGS = frozenset(("gbeng", "gbsct", "gbwls"))
FLAG_CHARS = 8
RIGHT_TO_LEFT_CHARS = 40
"""Around a direction mark: where a letter that runs from right to left explains it."""

# Scripts whose spelling needs ZWNJ or ZWJ, by block: Arabic and Syriac to Mongolian (that is, all Indic ones between), and later ones.
_JOINING = ((0x0600, 0x08FF), (0x0900, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x18AF), (0xA840, 0xABFF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC), (0x10A00, 0x11FFF), (0x1E900, 0x1E95F))  # fmt: skip


def sort_of(character: str) -> Sort | None:
    """The class of a character that may hide something; None for all others."""
    point = ord(character)
    if point == 0xAD:
        return "soft-hyphen"
    if character in _BIDI:
        return "bidi"
    if character in _ZERO_WIDTH:
        return "zero-width"
    if 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF:
        return "variation-selector"
    if 0xE0000 <= point <= 0xE0FFF:
        return "tag"
    if 0xE000 <= point <= 0xF8FF or point >= 0xF0000:
        return "private-use"
    return None


def allowed(text: str, at: int, sort: Sort) -> bool:
    """Whether this one stands where writing needs it."""
    match sort:
        case "zero-width":
            return _joins(text, at) or (text[at] == "\ufeff" and at == 0)
        case "variation-selector":
            return _selects(text, at)
        case "bidi":
            return text[at] in _MARKS and right_to_left(text, at)
        case "tag":
            return _flag(text, at)
        case _:
            return False


def _joins(text: str, at: int) -> bool:
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if text[at] == "\u200b":
        return _unspaced(before) and (_unspaced(after) or not _letter(after))
    if text[at] not in (ZWNJ, ZWJ):
        return False
    if text[at] == ZWJ and before and after and (_pictures(before) or before == "\ufe0f") and _pictures(after):
        return True
    return (_joining_script(before) and _plain(after)) or (_joining_script(after) and _plain(before))


def _plain(character: str) -> bool:
    """Whether it is neither a letter of ASCII nor hidden itself; "" is plain."""
    return not character or not ((character.isascii() and character.isalnum()) or sort_of(character))


def _letter(character: str) -> bool:
    return bool(character) and (character.isalnum() or sort_of(character) is not None)


def _unspaced(character: str) -> bool:
    """Whether it is of a script without blanks between words: Thai, Lao, Myanmar, Khmer and their neighbours."""
    point = ord(character) if character else 0
    return 0x0E00 <= point <= 0x0EFF or 0x1000 <= point <= 0x109F or 0x1780 <= point <= 0x17FF or 0x1950 <= point <= 0x1AAF  # fmt: skip


def _joining_script(character: str) -> bool:
    point = ord(character) if character else 0
    return any(low <= point <= high for low, high in _JOINING)


def _pictures(character: str) -> bool:
    """Whether it can be part of an emoji (wide: symbols, and the modifiers of skin)."""
    point = ord(character)
    return 0x1F000 <= point <= 0x1FAFF or (
        0x203C <= point <= 0x3299 and unicodedata.category(character) in ("So", "Sm", "Po")
    )


def _selects(text: str, at: int) -> bool:
    point, before = ord(text[at]), text[at - 1 : at] if at else ""
    if not before or sort_of(before) == "variation-selector":
        return False
    if point in (0xFE0E, 0xFE0F):
        keycap = before in "#*0123456789" and text[at + 1 : at + 2] == "\u20e3"
        return keycap or before in "©®" or (not before.isalnum() and not before.isascii() and not before.isspace()) or 0x203C <= ord(before) <= 0x3299  # fmt: skip
    based = ord(before)
    han = 0x3400 <= based <= 0x9FFF or 0xF900 <= based <= 0xFAFF or 0x20000 <= based <= 0x3FFFF
    if point >= 0xE0100:
        return han
    # StandardizedVariants.txt: mathematical signs, punctuation of East Asia, Myanmar, Phags-pa, Han compatibility.
    return point <= 0xFE02 and (han or 0x2200 <= based <= 0x2AFF or 0x1000 <= based <= 0x109F or 0xA840 <= based <= 0xA87F or 0x3000 <= based <= 0x30FF or 0xFF00 <= based <= 0xFF60)  # fmt: skip


def right_to_left(text: str, at: int) -> bool:
    """Whether a letter that runs from right to left stands near."""
    around = text[max(at - RIGHT_TO_LEFT_CHARS, 0) : at + RIGHT_TO_LEFT_CHARS]
    return any(0x0590 <= ord(character) <= 0x08FF and unicodedata.bidirectional(character) in ("R", "AL") for character in around)  # fmt: skip


def _flag(text: str, at: int) -> bool:
    first = text.rfind(_BLACK_FLAG, max(at - FLAG_CHARS, 0), at)
    if first < 0:
        return False
    spelled = ""
    for character in text[first + 1 : first + 1 + FLAG_CHARS]:
        if ord(character) == 0xE007F:
            return spelled in _FLAGS and at <= first + 1 + len(spelled)
        if not 0xE0061 <= ord(character) <= 0xE007A:
            return False
        spelled += chr(ord(character) - 0xE0000)
    return False
