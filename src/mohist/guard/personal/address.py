"""Makes addresses of what a model takes for places and of what stands by: a town alone is nobody's, a town with street and number is somebody's."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from mohist.guard.personal.named import Named

_Kind = Literal["place", "street", "loose", "unit", "box", "number", "region", "word"]

MAX_CHARS: Final = 240
"""No address is longer."""
_GAP_CHARS: Final = 40
"""Nor has it a wider gap; an indented line is one."""

_NUMBER: Final = r"\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
_UPPER: Final = r"[^\W\d_a-zß-ÿ]"
_CAPITAL: Final = rf"{_UPPER}[\w'’-]*\.?"
_NAME: Final = rf"(?:(?:{_CAPITAL}|\d{{1,3}}(?:st|nd|rd|th)|of|the|de|la)[ ]){{1,4}}"
# Words for streets: behind the name in English and Hungarian, before it in Romance and Slavic languages, grown together with it in others.
_BEHIND: Final = r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Terrace|Way|Place|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Close|Crescent|Gardens|Grove|Row|Mews|Quay|Streets|Squares)"
_BEFORE: Final = r"(?:[Rr]ue|Avenue|Boulevard|[Pp]lace|Chemin|Quai|Calle|Avenida|Plaza|Paseo|Via|Viale|Piazza|Corso|Vicolo|Rua|R[uú]a|Travessa|Praça|[Uu]l\.|[Uu]lica)"
_WITHIN: Final = rf"{_UPPER}[\w-]{{2,}}(?:straße|strasse|str\.|gasse|platz|allee|weg|damm|ufer|straat|laan|plein|kade|gracht|gade|vej|stræde|vænget|gatan|gata|vägen|veien|vegen|katu|polku|kuja)"
_STREET: Final = re.compile(
    rf"(?<![\w.])(?:{_NUMBER}[ ]+{_NAME}{_BEHIND}\b\.?(?:[ ](?:[NSEW]|[NS][EW])\b)?"
    rf"|(?:{_NUMBER},?[ ]+)?{_BEFORE}[ ](?:[\w'’.-]+[ ]){{0,4}}?{_CAPITAL},?[ ]+{_NUMBER}\b"
    rf"|{_NUMBER},?[ ]+(?:bis[ ]|ter[ ])?(?:rue|avenue|boulevard|place|quai|chemin|impasse|allée)[ ](?:(?:de|du|des|la|le)[ ]){{0,2}}(?:l['’]|d['’])?{_CAPITAL}(?:[ ]{_CAPITAL}){{0,3}}"
    rf"|(?:{_NUMBER}[ ]+)?{_WITHIN}[ ]+{_NUMBER}\b"
    rf"|(?:{_NUMBER}[ ]+)?{_CAPITAL}[ ](?:{_CAPITAL}[ ]){{0,2}}(?:utca|tér|út)[ ]{_NUMBER}\b)"
)
_LOOSE: Final = re.compile(rf"(?<![\w.])(?:{_NUMBER},?[ ]+)?(?:{_CAPITAL}[ ]){{1,4}}{_NUMBER}\b(?![.:%/]\d)")
"""Names with a number behind: a street in most languages, where more of an address stands by."""
_BOX: Final = re.compile(r"\b(?:P\.?[ ]?O\.?[ ]?Box|PSC|Postfach|Apartado)[ ]+\d{1,6}(?:,?[ ]+Box[ ]+\d{1,6})?\b")
_UNIT: Final = re.compile(r"\b(?:Apt|Apartment|Suite|Ste|Flat|Wohnung|Appt)\.?[ ]?#?[ ]?\d{1,5}[A-Za-z]?\b")
_DIGITS: Final = re.compile(
    r"(?<![\w.:/-])(?:[A-Z]{1,2}\d[A-Z\d]?[ ]?\d[A-Z]{2}|\d{5}-\d{4}|[A-Z]{1,2}-\d{4,5}|\d{4}[ ][A-Z]{2}|\d{3}[ ]\d{2}|\d{1,6}[A-Za-z]?)(?![\w:/%])(?!\.\d)"
)
"""Numbers of houses and codes of the post: British, ZIP+4, with a letter of the country before, Dutch, Swedish, any."""
_HOUSE: Final = re.compile(r"(?<=[一-鿿])\d{1,5}(?:-\d{1,4})?(?:号楼|号|弄|栋|幢|单元|室)")
_SOME_DIGIT: Final = re.compile(r"\d")
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_REGION: Final = re.compile(r"(?<!\w)[A-Z]{2,3}(?!\w)")
_LINE: Final = re.compile(rf"^[ \t]*({_CAPITAL}(?:[ ]{_CAPITAL}){{0,3}})[ \t,]*$", re.MULTILINE)
"""A line of names between two that belong to an address: a town that the model does not know."""
_BETWEEN: Final = re.compile(r"[ \t,]*(?:(?:\r?\n[ \t]*){0,2}|\.)[ \t,.-]*")
"""Between two parts of an address: a full stop at a line's end is one."""


class _Part(NamedTuple):
    start: int
    end: int
    kind: _Kind


def addresses(text: str, found: Iterable[Named]) -> Iterator[tuple[int, int, float]]:
    """Where addresses stand in a text, and how sure that is.

    Args:
        text: a passage.
        found: what a model sees in it.
    """
    named = list(found)
    whole = [one for one in named if one.sort == "address"]
    for one in whole:
        yield one.start, one.end, min(one.confidence, 0.8)
    if not _SOME_DIGIT.search(text):
        return
    for chain in _chains(text, _parts(text, named)):
        start, end, confidence = chain[0].start, chain[-1].end, _judged(text, chain)
        if confidence is not None and all(end <= one.start or one.end <= start for one in whole):
            yield start, end, confidence


def _parts(text: str, named: Sequence[Named]) -> list[_Part]:
    """What an address may consist of, in order, none in another; what a pattern knows goes before what the model took it for."""
    parts: list[_Part] = []
    for pattern, kind in _FIRST:
        _add(parts, (match.span() for match in pattern.finditer(text)), kind)
    _add(parts, ((one.start, one.end) for one in named if one.sort == "place"), "place")
    for pattern, kind in _THEN:
        _add(parts, (match.span(pattern.groups) for match in pattern.finditer(text)), kind)
    return parts


_FIRST: Final[Sequence[tuple[re.Pattern[str], _Kind]]] = ((_STREET, "street"), (_BOX, "box"), (_UNIT, "unit"))
_THEN: Final[Sequence[tuple[re.Pattern[str], _Kind]]] = (
    (_LOOSE, "loose"),
    (_DIGITS, "number"),
    (_HOUSE, "number"),
    (_REGION, "region"),
    (_LINE, "word"),
)


def _add(parts: list[_Part], places: Iterable[tuple[int, int]], kind: _Kind) -> None:
    """Puts places between the parts, which stand in order, where they are free."""
    for start, end in places:
        at = bisect_left(parts, start, key=lambda part: part.start)
        if (at == 0 or parts[at - 1].end <= start) and (at == len(parts) or end <= parts[at].start):
            parts.insert(at, _Part(start, end, kind))


def _chains(text: str, parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Parts that stand in a row; words that nobody knows only between others."""
    chain: list[_Part] = []
    for part in parts:
        if chain and not (
            part.end - chain[0].start <= MAX_CHARS
            and part.start - chain[-1].end <= _GAP_CHARS
            and _BETWEEN.fullmatch(text, chain[-1].end, part.start)
        ):
            yield from _ended(chain)
            chain = []
        if chain or part.kind not in ("word", "region"):
            chain.append(part)
    yield from _ended(chain)


def _ended(chain: list[_Part]) -> Iterator[list[_Part]]:
    while chain and chain[-1].kind == "word":
        chain.pop()
    if chain:
        yield chain


def _judged(text: str, chain: Sequence[_Part]) -> float | None:
    """How sure it is that a chain is an address; None: it is none."""
    kinds = [part.kind for part in chain]
    places, numbers = kinds.count("place"), kinds.count("number")
    coded = any(part.kind in ("number", "loose") and _is_code(text[part.start : part.end]) for part in chain)
    if "street" in kinds:
        return 0.8 if places or numbers or "unit" in kinds else 0.6
    if "box" in kinds:
        return 0.7 if len(kinds) > kinds.count("box") else None
    if "unit" in kinds:
        return 0.7 if "loose" in kinds or (places and numbers) else None
    if not places:
        return None
    if "loose" in kinds:
        return 0.6 if coded else None
    if numbers >= 2 or (numbers and places >= 2):
        return 0.6
    return 0.5 if coded else None


def _is_code(part: str) -> bool:
    """Whether what it ends in is as long as a postcode, and no year."""
    number = part.rpartition(" ")[2] if part[:1].isalpha() else part
    return len(number) >= 4 and not _YEAR.fullmatch(number)
