"""What kind of difference one is: a fact said openly, other words, or something that a reader would not see."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from mohist.vet.difference.edit import differing
from mohist.vet.difference.fact import Facts, alike
from mohist.vet.difference.factor import FactorName
from mohist.vet.difference.feature import Deviation, FeatureId
from mohist.vet.finding import Severity

Sort = Literal[
    "stated", "clock", "localised", "words", "presence", "request", "host", "look-alike", "invisible", "spacing", "case",
    "order", "number", "date form", "escape", "punctuation", "coded", "delay",
]  # fmt: skip

TITLES: dict[Sort, str] = {
    "stated": "a fact is stated openly",
    "clock": "the date or time is stated",
    "localised": "a date or number is written as the locale wants it",
    "words": "other visible words",
    "presence": "a field or header comes or goes",
    "request": "a request is made or not",
    "host": "a host is tried or not",
    "look-alike": "characters are exchanged for look-alikes",
    "invisible": "invisible characters",
    "spacing": "white space",
    "case": "upper and lower case",
    "order": "the order of things",
    "number": "how a number is written",
    "date form": "how a date is written",
    "escape": "how characters are escaped",
    "punctuation": "punctuation",
    "coded": "a code",
    "delay": "a delay",
}
HIDDEN: frozenset[Sort] = frozenset(
    (
        "look-alike",
        "invisible",
        "spacing",
        "case",
        "order",
        "number",
        "date form",
        "escape",
        "punctuation",
        "coded",
        "delay",
    )
)
"""What a person who reads the request would not see, or not take for a message."""
_ORDINARY: dict[Sort, frozenset[FactorName]] = {
    "words": frozenset(("ci", "locale", "date")),
    "presence": frozenset(("ci", "locale", "date", "proxy")),
    "coded": frozenset(("date",)),
    "request": frozenset(("ci", "proxy")),
    "host": frozenset(("proxy", "endpoint")),
    "delay": frozenset(("proxy",)),
}
"""Where a difference of that sort is what the factor is for; then it weighs little."""
_FOR_VENDOR: frozenset[Sort] = frozenset(("words", "presence", "request", "host", "order", "coded", "punctuation"))
"""What an own vendor's service may ask for that others don't know: fields, headers, blocks of the prompt. No look-alikes, no spaces."""
_SAID = re.compile("\ue000([^\ue001]*)\ue001")
_HEX = re.compile(r"[0-9a-fA-F]{8,}")
_PROXY_FORM = "a proxy is spoken to in this way (RFC 9110 section 7.6)"
_HOP_HEADERS = frozenset(
    (
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "content-length",
    )
)
"""What is between a client and the next hop."""
_PROXY_HEADERS = ("proxy-connection", "proxy-authorization", "connection", "via")
_CODE_CHARS = 10
_CODED_SHARE = 12
"""One piece in so many makes a text a code; in a paragraph, a name with digits is a name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a difference is taken for."""

    sort: Sort
    note: str = ""

    def severity(self, factors: Collection[FactorName], *, own_vendor: bool = False) -> Severity:
        """How much it matters that it depends on these factors.

        Args:
            factors: of which values are needed for it.
            own_vendor: it shows only where the client speaks to its own vendor's host.
        """
        if self.sort in ("stated", "clock", "localised"):
            return "low"
        if own_vendor and self.sort in _FOR_VENDOR:
            return "medium" if self.sort == "coded" else "low"
        if set(factors) <= _ORDINARY.get(self.sort, frozenset()):
            return "low"
        return "high" if self.sort in HIDDEN else "medium"


def read(feature: FeatureId, deviation: Deviation, old: Facts, new: Facts, factors: Collection[FactorName]) -> Reading:
    """What one deviation is.

    Args:
        old: what was true of the reference run.
        new: what was true of the other run.
        factors: in which the two runs differ, as far as is known.
    """
    if deviation.kind == "host":
        return Reading("host")
    if feature.slot == "there" and feature.where == "request":
        return Reading("request")
    if feature.slot == "there":
        return _of_presence(feature, deviation, old, new, factors)
    if deviation.kind in ("names", "keys", "order"):
        return _of_list(deviation, factors)
    if deviation.kind in ("spacing", "escape"):
        return Reading(deviation.kind)  # type: ignore[arg-type]
    if deviation.kind == "mark" and new.tells_time(deviation.context) and old.tells_time(deviation.old_context):
        return Reading("clock", "an id or number made of the time")
    if deviation.kind == "mark":
        return Reading("coded", f"{feature.slot.removeprefix('noise ')} of what varies by itself")
    return _of_text(deviation, old, new, factors)


def _of_presence(
    feature: FeatureId, deviation: Deviation, old: Facts, new: Facts, factors: Collection[FactorName]
) -> Reading:
    text, facts = (deviation.new, new) if deviation.new else (deviation.old, old)
    name = feature.where.removeprefix("header ")
    if name in _PROXY_HEADERS:
        return Reading("stated", _PROXY_FORM)
    if coded := facts.coded(text):
        return Reading("coded", coded)
    said = facts.stated(text) & set(factors)
    return Reading("stated", ", ".join(sorted(said))) if said else Reading("presence")


def _of_list(deviation: Deviation, factors: Collection[FactorName]) -> Reading:
    old, new = deviation.old.split("\n"), deviation.new.split("\n")
    if deviation.kind == "names" and "proxy" in factors and _end_to_end(old) == _end_to_end(new):
        return Reading("stated", _PROXY_FORM)
    if sorted(old) == sorted(new):
        return Reading("order")
    if [name.casefold() for name in old] == [name.casefold() for name in new]:
        return Reading("case")
    if sorted(name.casefold() for name in old) == sorted(name.casefold() for name in new):
        return Reading("order", "and upper and lower case")
    kept = [name for name in old if name in new]
    if kept != [name for name in new if name in old]:
        return Reading("order", "and other names")
    return Reading("presence", ", ".join(sorted(set(old) ^ set(new))))


def _end_to_end(names: list[str]) -> list[str]:
    return [name for name in names if name.lower() not in _HOP_HEADERS]


def _of_text(deviation: Deviation, old_facts: Facts, new_facts: Facts, factors: Collection[FactorName]) -> Reading:
    old, new = deviation.old, deviation.new
    plain_old, plain_new = old_facts.plain(old), new_facts.plain(new)
    if alike(plain_old, plain_new) and (said := _SAID.findall(plain_new)):
        return Reading("clock" if all(name.startswith("clock") for name in said) else "stated", ", ".join(_names(said)))
    whole_old, whole_new = old_facts.plain(deviation.old_context), new_facts.plain(deviation.context)
    if alike(whole_old, whole_new) and _SAID.search(whole_new):
        return Reading("stated", ", ".join(_names(_SAID.findall(whole_new))))
    if coded := new_facts.coded(new) or old_facts.coded(old):
        return Reading("coded", coded)
    if hidden := _unseen(old, new):
        if hidden.sort == "punctuation" and _in_date(whole_new):
            return Reading(_date_sort(factors), hidden.note)
        return hidden
    if _date_only(plain_old) and _date_only(plain_new):
        return Reading(_date_sort(factors))
    if new_facts.tells_time(new.strip()) or old_facts.tells_time(old.strip()):
        return Reading("clock", "an id or number made of the time")
    return Reading("coded") if _looks_coded(old) or _looks_coded(new) else Reading("words")


def _date_sort(factors: Collection[FactorName]) -> Sort:
    return "localised" if "locale" in factors and set(factors) <= {"locale", "date"} else "date form"


def _names(said: Collection[str]) -> list[str]:
    return sorted({name.partition(" ")[0] for name in said})


def _unseen(old: str, new: str) -> Reading | None:
    """The sort of difference that leaves what a person reads the same."""
    if _visible(old) == _visible(new):
        return Reading("invisible", _points(old, new))
    if "".join(old.split()) == "".join(new.split()):
        return Reading("spacing", _points(old, new))
    if _skeleton(old) == _skeleton(new):
        return Reading("look-alike", _points(old, new))
    if old.casefold() == new.casefold():
        return Reading("case")
    if len(old.split()) > 1 and sorted(old.split()) == sorted(new.split()):
        return Reading("order")
    if _number(old) is not None and _number(old) == _number(new):
        return Reading("number")
    if not any(character.isalnum() for character in old + new):
        return Reading("punctuation", _points(old, new))
    return None


def _visible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Mn", "Co", "Cn") or c in "\n\t")


def _skeleton(text: str) -> str:
    return "".join(_base(character) for character in unicodedata.normalize("NFKC", text))


def _base(character: str) -> str:
    """What a character looks like, by its name: an apostrophe, a dash, a space, or the letter without its alphabet."""
    if character in "'`´" or "APOSTROPHE" in (name := unicodedata.name(character, "")) or "PRIME" in name:
        return "'"
    if "QUOTATION MARK" in name:
        return "'" if "SINGLE" in name else '"'
    if unicodedata.category(character) == "Pd" or "MINUS" in name:
        return "-"
    if unicodedata.category(character) == "Zs":
        return " "
    if not character.isascii() and " LETTER " in name:
        size, _, letter = name.rpartition(" LETTER ")
        letter = _SOUNDS.get(letter, letter)
        return letter.lower() if "SMALL" in size else letter
    return character


_SOUNDS = {"ALPHA": "A", "IE": "E", "OMICRON": "O", "ER": "P", "ES": "C", "HA": "X", "U": "Y", "BYELORUSSIAN-UKRAINIAN I": "I", "KA": "K", "EM": "M", "TE": "T", "VE": "B", "EN": "H", "JE": "J", "DZE": "S"}  # fmt: skip
"""Letters of other alphabets by the Latin one they look like (Unicode TR 39, the commonest)."""


def _points(old: str, new: str) -> str:
    """Code points that differ."""
    words = [" ".join(f"U+{ord(c):04X}" for c in part[:8]) or "nothing" for part in differing(old, new)]
    return f"{words[0]} -> {words[1]}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _in_date(text: str) -> bool:
    return len([name for name in _SAID.findall(text) if name.startswith("clock")]) >= 3


def _date_only(text: str) -> bool:
    rest = _SAID.sub("", text)
    return _in_date(text) and not any(character.isalnum() for character in rest)


def _looks_coded(text: str) -> bool:
    """Whether a good part of it is no words: hex digits, or letters and digits mixed."""
    pieces = re.findall(r"[A-Za-z0-9+/=]+", text)
    coded = [
        piece
        for piece in pieces
        if any(c.isdigit() for c in piece)
        and any(c.isalpha() for c in piece)
        and (_HEX.fullmatch(piece) is not None or len(piece) >= _CODE_CHARS)
    ]
    return len(coded) * _CODED_SHARE > len(pieces)
