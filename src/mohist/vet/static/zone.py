"""Names of time zones that a program compares with or lists."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mohist.vet.static.meaning import zones
from mohist.vet.static.text import Text

_ZONE = re.compile(rb"""["'`]([A-Z][A-Za-z]{2,12}/[A-Z][A-Za-z_]{2,24}(?:/[A-Z][A-Za-z_]{2,24})?)["'`]""")
FEW = 12
"""More in one stretch of `STRETCH_BYTES` are a table of zones, as every library of dates has one."""
STRETCH_BYTES = 2000


def named_zones(text: Text) -> Iterator[tuple[int, int, str]]:
    """Zones that stand in strings, few at a time, with their places; a table of zones gives none."""
    if text.language not in ("javascript", "python", "shell") or b"/" not in text.data:
        return
    known = zones()
    found = [
        (match.start(1), match.end(1), name)
        for match in _ZONE.finditer(text.data)
        if (name := match[1].decode("ascii")) in known
    ]
    for at, (start, end, name) in enumerate(found):
        near = {
            other
            for place, _, other in found[max(at - 2 * FEW, 0) : at + 2 * FEW]
            if abs(place - start) <= STRETCH_BYTES
        }
        if len(near) <= FEW:
            yield start, end, name
