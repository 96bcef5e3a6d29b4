"""Identifiers of mainland China, and travel documents and plates by the words around them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mohist.guard.detector import Match
from mohist.guard.personal.checksum import credit_code, old_resident, resident
from mohist.guard.personal.judge import Judge, Judged, bare, goes_on, in_fraction, joins, near, spotter
from mohist.guard.personal.pattern import (
    LANDLINE_WORDS,
    PASSPORT_WORDS,
    PERMIT_WORDS,
    PHONE_WORDS,
    PLATE_WORDS,
    RESIDENT_WORDS,
)

_RESIDENT, _PASSPORT, _PERMIT = spotter(RESIDENT_WORDS), spotter(PASSPORT_WORDS), spotter(PERMIT_WORDS)
_PLATE, _LANDLINE, _PHONE = spotter(PLATE_WORDS), spotter(LANDLINE_WORDS), spotter(PHONE_WORDS)


def resident_id(text: str, match: Match) -> Judged | None:
    """A resident identity number: its check digit says so."""
    start, end = match.value_start, match.value_end
    value = re.sub(r"[ \-]", "", text[start:end])
    if not bare(text, start, end) or not resident(value):
        return None
    if in_fraction(text, start) and text[start - 1] == ".":
        return None
    return Judged(start, end, 0.99 if near(_RESIDENT, text, start, end) else 0.96, "personal.cn.resident-id")


def resident_id_old(text: str, match: Match) -> Judged | None:
    """One of 15 digits, next to a word for it."""
    start, end = match.value_start, match.value_end
    if not bare(text, start, end) or not old_resident(text[start:end]) or not near(_RESIDENT, text, start, end):
        return None
    return Judged(start, end, 0.8, "personal.cn.resident-id")


# MIIT's plan of mobile numbers (2023): which third digits are given out; 140, 142 to 144, 154, 169 and 179 are no persons'.
_MOBILE = re.compile(r"1(?:3[0-9]|4[015-9]|5[0-35-9]|6[1235-8]|7[0-8]|8[0-9]|9[0-9])")


def mobile(text: str, match: Match) -> Judged | None:
    """A mobile number of mainland China."""
    start, end = match.value_start, match.value_end
    value = text[start:end]
    digits = re.sub(r"\D", "", value)
    prefixed = len(digits) > 11
    if start and text[start - 1] == "+" and prefixed:
        start -= 1
    if not _MOBILE.match(digits[-11:]) or not bare(text, start, end, also="+") or len(set(digits[-8:])) == 1:
        return None
    if in_fraction(text, start) or goes_on(text, end):
        return None
    if len({*re.findall(r"[ \-]", value[-13:])}) > 1:
        return None
    named = near(_PHONE, text, start, end)
    quoted = text[start - 1 : start] in ('"', "'") and text[end : end + 1] == text[start - 1 : start]
    if not named and not prefixed and not quoted and _reckoned(text, start, end):
        return None
    return Judged(start, end, 0.95 if named or prefixed else 0.75, "personal.cn.mobile")


# What stands before a number that is reckoned with: an operator, a call's arguments of numbers, a class of numbers.
_SUM = re.compile(r"(?:[=!<>]=|(?<![0-9A-Za-z_])-|[+*%<&^~]) ?$|(?<![0-9A-Za-z])(?:int|long|float|Integer|Rational|Decimal|Fraction|BigInt)\($|[A-Za-z0-9_]\(\s*(?:-?[0-9]+\s*,\s*)+$")  # fmt: skip
_ARGUMENTS = re.compile(r"\s*,\s*-?[0-9]+\s*[,)]")
ROW_CHARS, ROW_OTHERS = 120, 3
"""So near, so many numbers of a similar size that are no mobile ones make a table of constants."""
_NUMBER = re.compile(r"(?<![\w.])-?[0-9]{9,13}(?:\.[0-9]+)?(?![\w.])|(?<![\w.])-?[0-9]{8,}\.[0-9]+(?![\w.])")


def _reckoned(text: str, start: int, end: int) -> bool:
    """Whether it is a number that a program reckons with."""
    if _SUM.search(text, max(start - 60, 0), start):
        return True
    if text[start - 1 : start] == "(" and text[start - 2 : start - 1].isalnum() and _ARGUMENTS.match(text, end):
        return True
    around = [*_NUMBER.finditer(text, max(start - ROW_CHARS, 0), start), *_NUMBER.finditer(text, end, end + ROW_CHARS)]
    return sum(1 for other in around if not _MOBILE.match(other[0]) or len(other[0]) != 11) >= ROW_OTHERS


def landline(text: str, match: Match) -> Judged | None:
    """A fixed line with its area code, next to a word for it."""
    start, end = match.value_start, match.value_end
    if not bare(text, start, end, also="_.-") or not near(_LANDLINE, text, start, end):
        return None
    return Judged(start, end, 0.75, "personal.cn.phone")


def social_credit(text: str, match: Match) -> Judged | None:
    """A unified social credit code: region and check digit; all lower case is a hash's or an identifier's."""
    start, end = match.value_start, match.value_end
    value = text[start:end]
    if not bare(text, start, end) or (value != value.upper() and value != value.lower()):
        return None
    if not credit_code(value.upper()) or in_fraction(text, start) or len(set(value)) < 5:
        return None
    lower = value != value.upper()
    return Judged(start, end, 0.5 if lower else 0.95, "personal.cn.credit-code")


def _beside(words: re.Pattern[str], data_class: str, confidence: float, also: str = "_-.") -> Judge:
    def judge(text: str, match: Match) -> Judged | None:
        if not bare(text, match.value_start, match.value_end, also=also) or not near(
            words, text, match.value_start, match.value_end
        ):
            return None
        return Judged(match.value_start, match.value_end, confidence, data_class)

    return judge


def plate(text: str, match: Match) -> Judged | None:
    """A plate: at least one digit in it, next to a word for it."""
    value = text[match.value_start : match.value_end]
    if not any(character.isdigit() for character in value) or not near(
        _PLATE, text, match.value_start, match.value_end
    ):
        return None
    return (
        Judged(match.value_start, match.value_end, 0.8, "personal.cn.plate")
        if not joins(text[match.value_end : match.value_end + 1], "_")
        else None
    )


def judges() -> Mapping[str, Judge]:
    """By pattern."""
    return {
        "cn.resident-id": resident_id,
        "cn.resident-id-old": resident_id_old,
        "cn.mobile": mobile,
        "cn.phone": landline,
        "cn.credit-code": social_credit,
        "cn.passport": _beside(_PASSPORT, "personal.cn.passport", 0.8),
        "cn.permit": _beside(_PERMIT, "personal.cn.permit", 0.8),
        "cn.plate": plate,
    }
