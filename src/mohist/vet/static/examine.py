"""The static step: every text of a tree is read once, and what was seen becomes findings and an inventory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohist.vet.dossier import Dossier, Record, Unread
from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import Finding, ranked
from mohist.vet.limit import DEFAULT, Limits
from mohist.vet.static import character, dynamic, fact, host, table, zone
from mohist.vet.static.comment import blanked
from mohist.vet.static.tally import Tally
from mohist.vet.static.text import Text
from mohist.vet.static.tree import Walk, Walked

NEAR_BYTES = 1500
"""Within which a fact that is read and a choice between characters are told together."""
_FLOWING = frozenset(("time-zone", "locale", "host-name", "endpoint", "proxy", "user", "git", "machine"))
_FILE = re.compile(
    r"(?i)\.(?:tgz|tar\.\w{2,4}|zip|exe|msi|dmg|pkg|deb|rpm|whl|vsix|node|wasm|so|dll|dylib|sh|ps1|AppImage)(?:[?#]|\Z)|/releases/download/"
)
_FINDINGS_TIMES = 5
_READ_HERE = "Search the files named as evidence at the bytes given."


def examine(tree: Path, subject: str = "", dossier: Dossier | None = None, limits: Limits = DEFAULT) -> list[Finding]:
    """Reads a folder or a file, in bounded memory and in time about proportional to its size; nothing of it is run.

    Args:
        tree: an unpacked artefact, or any file.
        subject: as it is named in evidence; the path, if not given.
        dossier: where the step is written to; None: nowhere.
        limits: of sizes and numbers.

    Returns:
        The findings, the gravest first.

    Raises:
        DossierError: evidence can't be written.
    """
    walk = Walk(limits)
    reading = Reading(limits, subject or tree.name)
    for text in walk.texts(tree):
        reading.read(text)
    findings = ranked([*reading.findings(), *_walked(walk.seen)])
    if dossier is not None:
        facts = {**reading.inventory(), **_inventory(walk.seen)}
        dossier.write(Record("static", subject or str(tree), facts, findings, (*walk.seen.unread, *reading.unread)))
    return list(findings)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something was seen that other things may stand close to."""

    start: int
    end: int
    name: str


class Reading:
    """What was seen so far.

    Args:
        limits: of places and things that are kept.
        subject: its name: what a tool keeps for itself is not another's.
    """

    def __init__(self, limits: Limits, subject: str) -> None:
        self._limits = limits
        self._subject = subject.lower()
        self._found: dict[tuple[str, str, str], Finding] = {}
        self._hosts = Tally(limits.max_places, limits.max_inventory)
        self._endpoints = Tally(1, limits.max_inventory)
        self._addresses = Tally(limits.max_places, limits.max_inventory)
        self._bare = Tally(limits.max_places, limits.max_inventory)
        self._facts = Tally(limits.max_places, limits.max_inventory)
        self._words = Tally(1, limits.max_inventory)
        self._ways = Tally(limits.max_places, limits.max_inventory)
        self._zones = Tally(limits.max_places, limits.max_inventory)
        self._odd = Tally(limits.max_places, limits.max_inventory)
        self._points: dict[int, int] = {}
        self.unread: list[Unread] = []

    def read(self, text: Text) -> None:
        """Reads one text."""
        for named in host.hosts(text):
            tally = self._bare if named.form == "bare" else self._hosts
            if named.public_address and named.form != "bare" and text.language != "prose":
                tally = self._addresses
            place = text.evidence(named.start, named.end) if tally.wants(named.host) else None
            tally.add(named.host, text.where, place)
            if named.form in ("url", "address"):
                self._endpoints.add(printable(named.endpoint, 200), text.where, None)
        places: list[_Place] = []
        for number, one in enumerate(table.tables(text, self._limits)):
            if number >= self._limits.max_tables:
                self.unread.append(Unread(text.where, f"holds more than {number} encoded tables; others are not told"))
                break
            found = table.finding(text, one)
            self._keep(found)
            places.append(_Place(one.start, one.end, f"decodes {one.decoded.meaning.kind}"))
        running = Text(text.where, blanked(text.data, text.language), text.language, text.base, text.lines)
        for read in fact.reads(running):
            name = read.fact.name
            if name == "assistants" and any(word in self._subject for word in fact.tools(read.word)):
                continue
            place = text.evidence(read.start, read.end) if self._facts.wants(name) else None
            self._facts.add(name, text.where, place)
            self._words.add(f"{name}: {printable(read.word, 80)}", text.where, None)
            if name in _FLOWING:
                places.append(_Place(read.start, read.end, read.fact.title.lower()))
        for made in dynamic.makings(running):
            place = text.evidence(made.start, made.end) if self._ways.wants(made.way.name) else None
            self._ways.add(made.way.name, text.where, place)
        for start, end, name in zone.named_zones(running):
            self._zones.add(name, text.where, text.evidence(start, end) if self._zones.wants(name) else None)
            places.append(_Place(start, end, f"names the time zone {name}"))
        self._characters(text, places)

    def _characters(self, text: Text, places: list[_Place]) -> None:
        if text.language in ("javascript", "python"):
            for point, count in character.census(text.data).items():
                self._points[point] = self._points.get(point, 0) + count
        for odd in character.odd(text):
            named = ", ".join(character.name_of(point) for point in dict.fromkeys(odd.points))
            facts = [("code points", named)]
            if odd.note:
                facts.append(("reads", printable(odd.note)))
            near = sorted(
                {
                    place.name
                    for place in places
                    if place.start - NEAR_BYTES <= odd.end and place.end + NEAR_BYTES >= odd.start
                }
            )
            if odd.kind in ("choice", "variants") and near:
                self._keep(_together(text, odd, named, near))
                continue
            place = text.evidence(odd.start, odd.end, *facts) if self._odd.wants(odd.kind) else None
            self._odd.add(odd.kind, text.where, place)

    def _keep(self, finding: Finding) -> None:
        """The same literal in several files is told once, with its places."""
        key = (finding.rule, finding.severity, dict(finding.evidence[0].facts).get("decodes to", finding.what))
        known = self._found.get(key)
        if known is None and len(self._found) >= _FINDINGS_TIMES * self._limits.max_tables:
            self.unread.append(
                Unread(finding.evidence[0].where, "holds more of what was told of others, which is not told again")
            )
        elif known is None:
            self._found[key] = finding
        elif len(known.evidence) < self._limits.max_places:
            self._found[key] = Finding(
                known.rule, known.title, known.severity, known.certainty, known.step, known.what,
                (*known.evidence, *finding.evidence), known.repeat,
            )  # fmt: skip

    def findings(self) -> Iterable[Finding]:
        """What was seen, as findings."""
        yield from self._found.values()
        yield from self._named()
        for one in fact.FACTS:
            counted = self._facts.counted.get(one.name)
            if counted is not None:
                words = [name.partition(": ")[2] for name, _ in self._words if name.startswith(f"{one.name}: ")]
                shown = ", ".join(words[:8]) + (f" and {len(words) - 8} others" if len(words) > 8 else "")
                what = f"{one.title}: {counted.count} place{'s' * (counted.count != 1)} in {len(counted.files)} file{'s' * (len(counted.files) != 1)} ({shown})."
                yield Finding(
                    f"static/reads-{one.name}",
                    one.title,
                    one.severity,
                    one.certainty,
                    "static",
                    what,
                    tuple(counted.places),
                    _READ_HERE,
                )
        for way in dynamic.WAYS:
            counted = self._ways.counted.get(way.name)
            if counted is not None:
                what = f"{way.title}: {counted.count} place{'s' * (counted.count != 1)} in {len(counted.files)} file{'s' * (len(counted.files) != 1)}."
                yield Finding(
                    f"static/{way.name}",
                    way.title,
                    way.severity,
                    way.certainty,
                    "static",
                    what,
                    tuple(counted.places),
                    _READ_HERE,
                )
        for kind, (rule, title, severity, certainty) in _ODD.items():
            counted = self._odd.counted.get(kind)
            if counted is not None:
                what = f"{title}: {counted.count} place{'s' * (counted.count != 1)} in {len(counted.files)} file{'s' * (len(counted.files) != 1)}."
                yield Finding(rule, title, severity, certainty, "static", what, tuple(counted.places), _READ_HERE)  # type: ignore[arg-type]

    def _named(self) -> Iterable[Finding]:
        hosts = sorted(self._hosts.counted.items(), key=lambda one: (-len(one[1].files), -one[1].count, one[0]))
        if hosts:
            shown = ", ".join(name for name, _ in hosts[:12])
            what = f"{len(hosts) + self._hosts.beyond} hosts are named, among them {shown}. The evidence file of this step lists all."
            places = tuple(counted.places[0] for _, counted in hosts[: self._limits.max_places] if counted.places)
            yield Finding("static/hosts", "Names hosts", "info", "observed", "static", what, places, _READ_HERE)
        if self._addresses.counted:
            names = ", ".join(name for name, _ in self._addresses)
            places = tuple(place for _, counted in self._addresses for place in counted.places[:2])[
                : self._limits.max_places
            ]
            what = f"Public addresses are named by number, which no filter of names sees: {names}."
            yield Finding(
                "static/address",
                "Names public addresses by number",
                "low",
                "possible",
                "static",
                what,
                places,
                _READ_HERE,
            )
        if self._bare.counted:
            names = ", ".join(name for name, _ in self._bare)
            places = tuple(counted.places[0] for _, counted in self._bare if counted.places)[: self._limits.max_places]
            what = f"Strings hold numbers of the form of public addresses, which may be versions as well: {names}."
            yield Finding(
                "static/address-like",
                "Holds numbers that may be addresses",
                "info",
                "possible",
                "static",
                what,
                places,
                _READ_HERE,
            )
        fetched = [(name, counted) for name, counted in self._endpoints if _names_file(name)]
        if fetched:
            names = ", ".join(name for name, _ in fetched[:8])
            places = tuple(Evidence(min(counted.files), name) for name, counted in fetched[: self._limits.max_places])
            what = f"{len(fetched)} addresses of files to download or to install are named, which are not part of what was vetted if they are used: {names}."
            yield Finding(
                "static/download-address",
                "Names files to download",
                "info",
                "possible",
                "static",
                what,
                places,
                _READ_HERE,
            )
        if self._zones.counted:
            names = ", ".join(name for name, _ in self._zones)
            places = tuple(counted.places[0] for _, counted in self._zones if counted.places)[: self._limits.max_places]
            what = f"Single time zones are named, apart from tables of zones: {names}."
            yield Finding(
                "static/zone-names", "Names single time zones", "info", "observed", "static", what, places, _READ_HERE
            )

    def inventory(self) -> dict[str, Any]:
        """All that was counted, for the evidence file."""
        return {
            "hosts": [_row(name, counted.count, sorted(counted.files)) for name, counted in self._hosts],
            "hosts_not_listed": self._hosts.beyond,
            "numbers_like_addresses": [
                _row(name, counted.count, sorted(counted.files)) for name, counted in self._bare
            ],
            "addresses": [_row(name, counted.count, sorted(counted.files)) for name, counted in self._addresses],
            "endpoints": [_row(name, counted.count, sorted(counted.files)) for name, counted in self._endpoints],
            "facts": [_row(name, counted.count, sorted(counted.files)) for name, counted in self._words],
            "zones": [_row(name, counted.count, sorted(counted.files)) for name, counted in self._zones],
            "characters": {character.name_of(point): count for point, count in sorted(self._points.items())},
        }


_ODD = {
    "choice": ("static/character-choice", "Chooses between characters that look alike", "low", "possible"),
    "variants": ("static/character-variants", "Lists characters that look alike", "info", "observed"),
    "hidden": ("static/hidden-character", "Holds characters that nobody sees between letters", "low", "observed"),
    "bidi": ("static/direction-character", "Holds characters that reorder what is shown", "medium", "observed"),
    "bidi-prose": ("static/direction-character", "Holds characters that reorder what is shown", "low", "observed"),
    "spelled": ("static/hidden-text", "Holds text in characters that nobody sees", "high", "observed"),
    "mixed-word": ("static/mixed-word", "Holds words of letters from two alphabets that look alike", "low", "observed"),
}


def _names_file(endpoint: str) -> bool:
    """Whether an address is one of a file to download; a host may end like one."""
    _, slash, path = endpoint.partition("://")[2].partition("/")
    return bool(slash) and _FILE.search(f"/{path}") is not None


def _together(text: Text, odd: character.Odd, named: str, near: list[str]) -> Finding:
    beside = "; ".join(near)
    evidence = text.evidence(odd.start, odd.end, ("code points", named), ("close by", beside), around=300)
    decided = odd.kind == "choice"
    return Finding(
        rule="static/fact-and-characters",
        title="Has characters that look alike to choose from, next to facts of the machine",
        severity="high" if decided else "medium",
        certainty="likely" if decided else "possible",
        step="static",
        what=f"{text.where} {'chooses between' if decided else 'lists'} {named}, which look like an ASCII mark; within {NEAR_BYTES} bytes it: {beside}.",
        evidence=(evidence,),
        repeat="Run the program twice with only that fact changed, and compare the bytes of its model requests.",
    )


def _walked(seen: Walked) -> Iterable[Finding]:
    natives = [one for one in seen.natives if one[1].format != "wasm"]
    if natives:
        runtimes = sorted({native.runtime for _, native, _, _ in natives if native.runtime})
        what = f"{len(natives)} native programs or libraries, for {', '.join(sorted({machine for _, native, _, _ in natives for machine in native.machines}))}."
        if runtimes:
            what += f" Programs in JavaScript are embedded ({', '.join(runtimes)}), and were read."
        places = tuple(
            Evidence(
                where,
                f"{native.format} for {', '.join(native.machines)}, {size} bytes",
                0,
                0,
                (("runtime", native.runtime or "none known"), ("embedded files", str(files))),
            )
            for where, native, size, files in natives[:8]
        )
        yield Finding(
            "static/native",
            "Holds native programs",
            "info",
            "observed",
            "static",
            what,
            places,
            "Run `file` on the files named as evidence.",
        )


def _inventory(seen: Walked) -> dict[str, Any]:
    return {
        "files": seen.files,
        "bytes": seen.bytes,
        "repeated_files": seen.repeated,
        "natives": [
            {
                "where": where,
                "format": native.format,
                "machines": list(native.machines),
                "runtime": native.runtime,
                "bytes": size,
                "embedded_files": files,
            }
            for where, native, size, files in seen.natives
        ],
        "links": [{"where": where, "to": to} for where, to in seen.links],
    }


def _row(name: str, count: int, files: list[str]) -> dict[str, Any]:
    return {"name": name, "count": count, "files": files[:8]}
