"""What one version of a client writes, over many sessions: choices in its template that go with who asks, and with nothing else.

For each client and version the lines of system prompts, tool schemas and metadata are kept as hashes (see `template`), with counts of
sessions by who asked. A line that is written in several ways is reported where the way goes with the asker far more surely than
chance (a G-test with a bound that holds for all lines together). Chance within one asker's sessions, an open difference (other
words, paths, numbers) and a line that only one asker has are never reported. Says what was observed, not why.

Order of use: construct or `from_bytes`, `observe` once a session, `suspicions` when asked, `to_bytes` to keep it. Not for several
threads at once.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mohist.base import canonical_json
from mohist.guard.block import Block
from mohist.guard.covert.template import Line, difference, lines
from mohist.guard.errors import GuardDataError

FORMAT = 1
WATCHED = frozenset(("system", "tool_schema", "metadata"))
CHANCE = 1e-6
"""How likely at most one line of a client that chooses by chance is reported; shared by all its lines."""
AGREEMENT_MIN = 0.9
"""In how many sessions at least the way must be that asker's usual one."""
_SATURATED = 255


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept."""

    clients: int = 32
    """Client versions; of more, the one that was not seen for longest is forgotten."""
    lines: int = 6000
    """Of one client version; lines that come later are not watched."""
    ways: int = 6
    """Of one line; what is written in more ways is chance."""
    askers: int = 64
    """Of one client version; later ones are not counted."""
    sessions: int = 4096
    """That are remembered, so that each counts once."""
    rows: int = 8192
    """That are kept in memory as they were read, because sessions repeat each other."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A line of a client's template that is written one way for some askers and another way for others."""

    client: str
    version: str
    place: str
    """Of the field: its source, its tool's name if any, and its key ("tool_schema Read description")."""
    ways: int
    askers: int
    sessions: int
    """How much was observed of this line."""
    characters: str
    """In what the two most frequent ways differ, by code point."""
    chance: float
    """At most how likely it is that a line varies so without regard to who asks."""


@dataclass(slots=True)
class _Way:
    marks: str
    counts: bytearray
    """Sessions by asker's number; stops counting at 255."""


@dataclass(slots=True)
class _Client:
    askers: dict[str, int] = field(default_factory=dict)
    lines: dict[tuple[str, int], dict[int, _Way]] = field(default_factory=dict)
    """By place and what a line says: its ways by how it is written."""


class Variation:
    """The watch over all clients.

    Args:
        bounds: how much is kept.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._clients: OrderedDict[tuple[str, str], _Client] = OrderedDict()
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._rows: dict[str, Line | None] = {}

    def observe(self, client: str, version: str, asker: str, session: str, blocks: Iterable[Block]) -> bool:
        """Takes in one session's first request.

        Args:
            client: as it names itself.
            version: of the client.
            asker: who and where: the caller's digest of user, key and machine; the same for the same one.
            session: a digest; a session that was seen is not counted again.
            blocks: of the request; only what a program wrote is looked at.

        Returns:
            Whether it was counted.
        """
        if session in self._sessions:
            self._sessions.move_to_end(session)
            return False
        self._sessions[session] = None
        while len(self._sessions) > self._bounds.sessions:
            self._sessions.popitem(last=False)
        known = self._client(client, version)
        number = known.askers.setdefault(asker, len(known.askers)) if len(known.askers) < self._bounds.askers else known.askers.get(asker)  # fmt: skip
        if number is None:
            return False
        written: dict[tuple[str, int], Line] = {}
        for block in blocks:
            if block.source in WATCHED:
                place = place_of(block)
                for line in self._lines(block.text):
                    # A line that stands twice in one field, in two ways, is a choice within the text: its last way counts.
                    written[place, line.said] = line
        for key, line in written.items():
            self._count(known, key, line, number)
        return True

    def suspicions(self) -> list[Suspicion]:
        """What was observed so far, surest first."""
        found = [
            suspicion
            for (client, version), known in self._clients.items()
            for (place, _), ways in known.lines.items()
            if (suspicion := _judged(client, version, place, ways, len(known.lines))) is not None
        ]
        return sorted(found, key=lambda suspicion: (suspicion.chance, suspicion.client, suspicion.place))

    def to_bytes(self) -> bytes:
        """As it is kept: JSON with sorted keys. Holds digests and signs, no words and no names of askers."""
        clients = [
            {
                "client": client,
                "version": version,
                "askers": list(known.askers),
                "lines": [
                    [place, f"{said:016x}", [[f"{at:016x}", way.marks, way.counts.hex()] for at, way in ways.items()]]
                    for (place, said), ways in known.lines.items()
                ],
            }
            for (client, version), known in self._clients.items()
        ]
        return canonical_json({"format": FORMAT, "clients": clients, "sessions": list(self._sessions)})

    @classmethod
    def from_bytes(cls, content: bytes, bounds: Bounds | None = None) -> Variation:
        """Reads what `to_bytes` wrote.

        Raises:
            GuardDataError: it is damaged or of another format.
        """
        made = cls(bounds)
        try:
            read: dict[str, Any] = json.loads(content)
            if read["format"] != FORMAT:
                raise GuardDataError(
                    f"The watch over clients has format {read['format']!r}; this program reads {FORMAT}."
                )
            made._sessions.update(dict.fromkeys(map(str, read["sessions"])))
            for row in read["clients"]:
                known = _Client({str(asker): number for number, asker in enumerate(row["askers"])})
                for place, said, ways in row["lines"]:
                    known.lines[str(place), int(said, 16)] = {
                        int(written, 16): _Way(str(marks), bytearray.fromhex(counts)) for written, marks, counts in ways
                    }
                made._clients[str(row["client"]), str(row["version"])] = known
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GuardDataError(f"The watch over clients can't be read: {type(error).__name__}.") from None
        return made

    def _client(self, client: str, version: str) -> _Client:
        known = self._clients.setdefault((client, version), _Client())
        self._clients.move_to_end((client, version))
        while len(self._clients) > self._bounds.clients:
            self._clients.popitem(last=False)
        return known

    def _lines(self, text: str) -> Sequence[Line]:
        if len(self._rows) > self._bounds.rows:
            self._rows.clear()
        return lines(text, self._rows)

    def _count(self, known: _Client, key: tuple[str, int], line: Line, number: int) -> None:
        ways = known.lines.get(key)
        if ways is None:
            if len(known.lines) >= self._bounds.lines:
                return
            ways = known.lines[key] = {}
        way = ways.get(line.written)
        if way is None:
            if len(ways) > self._bounds.ways:
                return
            way = ways[line.written] = _Way(line.marks, bytearray())
        if len(way.counts) <= number:
            way.counts.extend(bytes(number + 1 - len(way.counts)))
        way.counts[number] = min(way.counts[number] + 1, _SATURATED)


def place_of(block: Block) -> str:
    """Which field it is, whatever its number in a list."""
    keys = [key for key in block.path.split("/") if key and not key.isdigit()]
    return " ".join(part for part in (block.source, block.name, "/".join(keys[-2:])) if part)


def _judged(client: str, version: str, place: str, ways: dict[int, _Way], watched: int) -> Suspicion | None:
    """Whether the way goes with the asker: a G-test over ways and askers."""
    if len(ways) < 2:
        return None
    rows = [list(way.counts) for way in ways.values()]
    width = max(map(len, rows))
    counts = [row + [0] * (width - len(row)) for row in rows]
    by_asker = [sum(column) for column in zip(*counts, strict=True)]
    total = sum(by_asker)
    askers = sum(1 for count in by_asker if count)
    usual = sum(max(column) for column in zip(*counts, strict=True))
    if askers < 2 or usual < AGREEMENT_MIN * total:
        return None
    statistic = 2 * sum(
        count * math.log(count * total / (sum(row) * by_asker[at]))
        for row in counts
        for at, count in enumerate(row)
        if count
    )
    chance = min(1.0, _chance(statistic, (askers - 1) * (len(ways) - 1)) * watched)
    if chance > CHANCE:
        return None
    frequent = sorted(ways.values(), key=lambda way: -sum(way.counts))
    return Suspicion(
        client, version, place, len(ways), askers, total, difference(frequent[0].marks, frequent[1].marks), chance
    )


def _chance(statistic: float, freedom: int) -> float:
    """A bound on the tail of chi-squared (Laurent and Massart, 2000, lemma 1): X >= d + 2 sqrt(d t) + 2 t has chance e^-t at most."""
    excess = statistic - freedom
    if excess <= 0:
        return 1.0
    root = (math.sqrt(freedom + 2 * excess) - math.sqrt(freedom)) / 2
    return math.exp(-root * root)
