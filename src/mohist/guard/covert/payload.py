"""Reads what hidden characters spell, for the record."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from mohist.guard.covert.ignorable import sort_of

PAYLOAD_MAX_CHARS = 4096
"""Of one payload; what is longer is cut."""
_BITS = (("\u200b", "\u200c"), ("\u200c", "\u200b"), ("\u200b", "\u200d"), ("\u200c", "\u200d"), ("\u200d", "\u200c"), ("\u2062", "\u2064"), ("\u2060", "\u200b"))  # fmt: skip
"""Pairs that known tools write zero and one with."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a run of hidden characters spells."""

    start: int
    end: int
    """In characters of the text; other characters may stand between where one bit hides in each gap."""
    way: str
    """"tags", "variation selectors", "zero-width bits"."""
    text: str
    """At most `PAYLOAD_MAX_CHARS`; bytes that are no UTF-8 are shown as \\xNN. May hold anything: a secret, an instruction."""


def payloads(text: str) -> tuple[Payload, ...]:
    """All that can be read, in order; empty where hidden characters spell nothing that is known."""
    if text.isascii():
        return ()
    found: list[Payload] = []
    at = 0
    for sort, run in groupby(text, key=lambda character: None if character.isascii() else sort_of(character)):
        hidden = "".join(run)
        if sort == "tag":
            read = "".join(
                chr(ord(character) - 0xE0000) for character in hidden if 0xE0020 <= ord(character) <= 0xE007E
            )
            if read:
                found.append(Payload(at, at + len(hidden), "tags", read[:PAYLOAD_MAX_CHARS]))
        elif sort == "variation-selector" and len(hidden) > 1:
            read = _shown(bytes(_byte(character) for character in hidden))
            found.append(Payload(at, at + len(hidden), "variation selectors", read))
        at += len(hidden)
    found.extend(_bits(text))
    return tuple(sorted(found, key=lambda payload: payload.start))


def _byte(selector: str) -> int:
    """Of the 256 selectors in their order."""
    point = ord(selector)
    return point - 0xFE00 if point <= 0xFE0F else point - 0xE0100 + 16


def _bits(text: str) -> list[Payload]:
    """Zero-width characters over the whole text, eight to a byte; only what comes out as printable ASCII counts."""
    places = [at for at, character in enumerate(text) if not character.isascii() and sort_of(character) == "zero-width"]
    written = "".join(text[at] for at in places)
    for zero, one in _BITS:
        kept = "".join("0" if character == zero else "1" for character in written if character in (zero, one))
        for width in (8, 7):
            read = "".join(chr(int(kept[at : at + width], 2)) for at in range(0, len(kept) - width + 1, width))
            if len(read) >= 2 and read.isascii() and read.isprintable():
                return [Payload(places[0], places[-1] + 1, "zero-width bits", read[:PAYLOAD_MAX_CHARS])]
    return []


def _shown(data: bytes) -> str:
    return data[:PAYLOAD_MAX_CHARS].decode("utf-8", "backslashreplace")
