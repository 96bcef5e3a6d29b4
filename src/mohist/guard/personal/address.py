"""Makes addresses of the places that a model names: a town alone is nobody's, a town with street and number is somebody's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from mohist.guard.personal.model import Named

_Kind = Literal["place", "street", "unit", "box", "number", "region"]

_NUMBER: Final = r"\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
_NAME: Final = r"(?:(?:[^\W\d_][\w'’.-]*|\d{1,3}(?:st|nd|rd|th))[ ]){1,4}"
# Words for streets: behind the name in English, before it in Romance and Slavic languages, grown together with it in others.
_BEHIND: Final = r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Terrace|Way|Place|Pl|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Close|Crescent|Gardens|Grove|Row|Mews|Quay|Streets|Squares|utca|út|u)"
_BEFORE: Final = r"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Pp]lace|[Cc]hemin|[Qq]uai|[Cc]alle|[Aa]venida|[Pp]laza|[Pp]aseo|[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso|[Rr]ua|[Tt]ravessa|[Pp]raça|ul\.|ulica|ulitsa|[Uu]l\.)"
_WITHIN: Final = r"[^\W\d_][\w.-]*(?:straße|strasse|str\.|gasse|platz|allee|weg|damm|ufer|ring|straat|laan|plein|kade|gracht|gade|vej|gatan|vägen|veien|vegen|gata|katu|tie|polku|kuja)"
_STREET: Final = re.compile(
    rf"(?:{_NUMBER}[ ]+{_NAME}{_BEHIND}\b\.?(?:[ ](?:[NSEW]|[NS][EW])\b)?"
    rf"|(?:{_NUMBER},?[ ]+)?{_BEFORE}[ ](?:[\w'’.-]+[ ]){{0,4}}?[^\W\d_][\w'’.-]*,?[ ]+{_NUMBER}\b"
    rf"|{_NUMBER},?[ ]+(?:bis[ ]|ter[ ])?{_BEFORE}[ ](?:(?:de|du|des|la|le|l'|d')[ ]?){{0,2}}[^\W\d_][\w'’-]*(?:[ ][A-ZÀ-Þ][\w'’-]*){{0,3}}"
    rf"|\b{_WITHIN}[ ]+{_NUMBER}\b)"
)
_BOX: Final = re.compile(
    r"\b(?:P\.?[ ]?O\.?[ ]?Box|PSC|Unit|Postfach|Box|Apartado|BP)[ ]+\d{1,6}(?:,?[ ]+Box[ ]+\d{1,6})?\b"
)
_UNIT: Final = re.compile(
    r"\b(?:Apt|Apartment|Suite|Ste|Unit|Floor|Fl|Flat|Room|Rm|Bldg|Building|Wohnung|Appt)\.?[ ]?#?[ ]?\w{1,5}\b"
)
_DIGITS: Final = re.compile(
    r"(?<![\w.:/-])(?:[A-Z]{1,2}\d[A-Z\d]?[ ]?\d[A-Z]{2}|\d{5}-\d{4}|[A-Z]{2}[- ]?\d{4,5}|\d{4}[ ]?[A-Z]{2}|\d{3}[ ]\d{2}|\d{1,6}[A-Za-z]?)(?![\w:/%])"
)
"""Numbers of houses and codes of the post: British, ZIP+4, with a letter of the country or state before, Dutch, Swedish, any."""
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_REGION: Final = re.compile(r"(?<![\w])[A-Z]{2,3}(?![\w])")
_BETWEEN: Final = re.compile(r"[ \t,.]*(?:\r?\n[ \t]*){0,2}[ \t,.-]*")
MAX_CHARS: Final = 240
"""No address is longer."""


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
    for one in named:
        if one.sort == "address":
            yield one.start, one.end, min(one.confidence, 0.8)
    for chain in _chains(text, _parts(text, named)):
        confidence = _judged(text, chain)
        if confidence is not None:
            yield chain[0].start, chain[-1].end, confidence


def _parts(text: str, named: Sequence[Named]) -> list[_Part]:
    """What an address may consist of, in order, none in another; what a pattern knows goes before what the model took it for."""
    parts: list[_Part] = []
    patterns: tuple[tuple[re.Pattern[str], _Kind], ...] = (
        (_STREET, "street"),
        (_BOX, "box"),
        (_UNIT, "unit"),
        (_DIGITS, "number"),
    )
    for pattern, kind in patterns[:3]:
        _add(parts, ((match.start(), match.end()) for match in pattern.finditer(text)), kind)
    _add(parts, ((one.start, one.end) for one in named if one.sort == "place"), "place")
    _add(parts, ((match.start(), match.end()) for match in _DIGITS.finditer(text)), "number")
    _add(parts, ((match.start(), match.end()) for match in _REGION.finditer(text)), "region")
    return sorted(parts)


def _add(parts: list[_Part], places: Iterable[tuple[int, int]], kind: _Kind) -> None:
    for start, end in places:
        if all(end <= part.start or part.end <= start for part in parts):
            parts.append(_Part(start, end, kind))


def _chains(text: str, parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Parts that stand in a row."""
    chain: list[_Part] = []
    for part in parts:
        if chain and (not _BETWEEN.fullmatch(text, chain[-1].end, part.start) or part.end - chain[0].start > MAX_CHARS):
            yield chain
            chain = []
        chain.append(part)
    if chain:
        yield chain


def _judged(text: str, chain: Sequence[_Part]) -> float | None:
    """How sure it is that a chain is an address; None: it is none."""
    kinds = [part.kind for part in chain]
    places, numbers = kinds.count("place"), kinds.count("number")
    if "street" in kinds:
        return 0.8 if places or numbers or "unit" in kinds else 0.6
    if "box" in kinds:
        return 0.7 if places or numbers or "region" in kinds else None
    if not places:
        return None
    if "unit" in kinds and numbers:
        return 0.7
    if numbers >= 2 or (numbers and places >= 2):
        return 0.6
    return 0.5 if any(part.kind == "number" and _is_code(text[part.start : part.end]) for part in chain) else None


def _is_code(number: str) -> bool:
    """Whether a number is as long as a postcode, and no year."""
    return len(number) >= 4 and not _YEAR.fullmatch(number)


__all__ = ["MAX_CHARS", "addresses"]
