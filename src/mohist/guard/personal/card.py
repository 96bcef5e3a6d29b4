"""Cards: scheme, length and check digit, and what stands around."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mohist.guard.detector import Match
from mohist.guard.personal.checksum import luhn
from mohist.guard.personal.judge import Judge, Judged, bare, in_fraction, near, spotter
from mohist.guard.personal.pattern import CARD_WORDS

CROWD_CHARS = 400
"""Around a bare number: where other long numbers say that it is one of a table."""
_CARD = spotter(CARD_WORDS)

# ISO/IEC 7812: heads of the schemes and how long their numbers are.
_SCHEMES = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"30[0-5]|36|3[89]"), (14,)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"6011|64[4-9]|65"), (16,)),
    (re.compile(r"220[0-4]"), (16,)),
)
_CHINESE = re.compile(r"62|60(?:0|1[0-9]|3)|6858|690755|436742|43674|4563|955[89]|622")
# Numbers that makers of software give out for trying; nobody's.
_TRIED = frozenset(("4111111111111111", "4242424242424242", "5555555555554444", "378282246310005", "4012888888881881"))
_LONG_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9]{13,25}(?![0-9A-Za-z])")


def card(text: str, match: Match) -> Judged | None:
    """A card's number without blanks: scheme and check digit, and a word for it near."""
    start, end = match.value_start, match.value_end
    if (
        not bare(text, start, end, also="_")
        or in_fraction(text, start)
        or (text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit())
    ):
        return None
    digits = text[start:end]
    if not luhn(digits):
        return None
    return _card(text, start, end, digits, grouped=False)


def card_grouped(text: str, match: Match) -> Judged | None:
    """The same in groups with one kind of separator."""
    start, end = match.value_start, match.value_end
    value = text[start:end]
    digits = re.sub(r"\D", "", value)
    if len(set(re.sub(r"\d", "", value))) != 1 or not bare(text, start, end, also="_.-"):
        return None
    if re.match(r"[ ][0-9]{4}", text[end : end + 5]) or re.search(r"[0-9][ ]$", text[max(start - 2, 0) : start]):
        return None  # a row of a table
    return _card(text, start, end, digits, grouped=True) if luhn(digits) else None


def _card(text: str, start: int, end: int, digits: str, *, grouped: bool) -> Judged | None:
    if digits in _TRIED or len(set(digits)) <= 2:
        return Judged(start, end, 0.2, "personal.card", "a number for trying") if grouped else None
    chinese = bool(_CHINESE.match(digits)) and 16 <= len(digits) <= 19
    if not chinese and not any(head.match(digits) and len(digits) in lengths for head, lengths in _SCHEMES):
        return None
    named = near(_CARD, text, start, end)
    name = "personal.cn.bank-card" if chinese else "personal.card"
    if named or grouped:
        return Judged(start, end, 0.97 if named and grouped else 0.9, name)
    if chinese and digits.startswith("62") and len(digits) in (16, 19) and not _crowd(text, start, end):
        return Judged(start, end, 0.5, name, "no word for it stands near")
    return None


def _crowd(text: str, start: int, end: int) -> bool:
    """Whether other long numbers stand around that are no cards."""
    around = [*_LONG_NUMBER.finditer(text, max(start - CROWD_CHARS, 0), start), *_LONG_NUMBER.finditer(text, end, end + CROWD_CHARS)]  # fmt: skip
    return sum(1 for other in around if not luhn(other[0])) >= 2


def judges() -> Mapping[str, Judge]:
    """By pattern."""
    return {"card": card, "card-grouped": card_grouped}
