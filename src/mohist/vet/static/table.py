"""Literals that turn into something when their encodings are undone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import Finding, Severity
from mohist.vet.limit import Limits
from mohist.vet.static.decode import Decoded, search
from mohist.vet.static.difference import hidden
from mohist.vet.static.literal import candidates
from mohist.vet.static.text import Text

_NAMES = {"hosts": "names of hosts", "zones": "names of time zones", "paths": "paths of files", "urls": "addresses on the web", "words": "words", "code": "program text"}  # fmt: skip
_ESCAPED_SHARE = 0.5
_ESCAPE = re.compile(rb"\\(?:x..|u00..|u\{[^}]*\}|[0-3][0-7]{2})")
_ITEMS_SHOWN = 40
_WINDOW_BYTES = 8 * 1024 * 1024
_OVERLAP_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Table:
    """One literal and what stands behind it."""

    start: int
    end: int
    decoded: Decoded


def tables(text: Text, limits: Limits) -> Iterator[Table]:
    """Every encoded table of a text: literals of programs and data decoded by search; in any file text under a key."""
    # Prose as well: an interpreter loads a program by any name.
    if text.language != "native":
        done: set[tuple[bytes, ...]] = set()
        covered: list[tuple[int, int]] = []
        for candidate in candidates(text.data, limits.max_candidate_bytes):
            if candidate.pieces in done or any(start <= candidate.start < end for start, end in covered):
                continue
            done.add(candidate.pieces)
            decoded = search(candidate.pieces, limits, candidate.first)
            if decoded is None or _is_ordinary(decoded, text.data[candidate.start : candidate.end]):
                continue
            covered.append((candidate.start, candidate.end))
            yield Table(candidate.start, candidate.end, decoded)
    for base in range(0, max(len(text.data), 1), _WINDOW_BYTES - _OVERLAP_BYTES):
        for at, decoded in hidden(text.data[base : base + _WINDOW_BYTES]):
            if base == 0 or at >= _OVERLAP_BYTES:
                yield Table(base + at, base + at + len(decoded.data), decoded)


def _is_ordinary(decoded: Decoded, literal: bytes) -> bool:
    """Whether a literal is none for anybody: few escapes in what is readable as it stands, code as a list of numbers."""
    if decoded.layers == ("escapes",):
        escapes = sum(len(match[0]) for match in _ESCAPE.finditer(literal))
        return escapes < _ESCAPED_SHARE * len(literal)
    return False


def severity_of(decoded: Decoded) -> Severity:
    """How much it matters: a key, or layers in one another, serve no ordinary purpose for a list of names."""
    layers = [layer for layer in decoded.layers if layer not in ("escapes", "zlib")]
    if any(layer.startswith(("xor", "minus")) for layer in layers):
        return "high"
    if len(layers) >= 2 and decoded.meaning.kind != "code":
        return "high"
    if decoded.meaning.kind in ("code", "paths"):
        return "low"
    return "medium"


def finding(text: Text, table: Table) -> Finding:
    """What is said of it."""
    decoded = table.decoded
    kind = decoded.meaning.kind
    items = decoded.meaning.items
    place = text.evidence(table.start, min(table.end, table.start + 200), around=20)
    shown = ", ".join(printable(item, 80) for item in items[:_ITEMS_SHOWN])
    evidence = Evidence(
        place.where,
        place.excerpt,
        place.offset,
        place.line,
        (
            ("layers", ", then ".join(decoded.layers)),
            ("length of the literal in bytes", str(table.end - table.start)),
            ("decodes to", printable(decoded.data.decode("utf-8", "replace"), 2000)),
        ),
    )
    count = f"{len(items)} {_NAMES[kind]}: {shown}" if items else _NAMES[kind]
    more = f" and {len(items) - _ITEMS_SHOWN} more" if len(items) > _ITEMS_SHOWN else ""
    return Finding(
        rule="static/encoded-code" if kind == "code" else f"static/encoded-{kind}",
        title="Program text is kept encoded" if kind == "code" else f"{_NAMES[kind].capitalize()} are kept encoded",
        severity=severity_of(decoded),
        certainty="observed",
        step="static",
        what=f"A literal in {text.where} gives, after undoing {', then '.join(decoded.layers)}, {count}{more}.",
        evidence=(evidence,),
        repeat=repeat(text, table),
    )


def repeat(text: Text, table: Table) -> str:
    """A command that decodes it again, for a literal of one piece in a file of its own; else the steps."""
    start, end = text.base + table.start, text.base + table.end
    layers = table.decoded.layers
    if "!" in text.where or layers[0] in ("numbers", "escapes"):
        return f"Take bytes {start} to {end} of {text.where}, and undo: {', then '.join(layers)}."
    steps = f"d=pathlib.Path({text.where!r}).read_bytes()[{start}:{end}]"
    for layer in layers:
        name, _, key = layer.partition(" ")
        step = {
            "base64": "d=base64.b64decode(d.translate(bytes.maketrans(b'-_',b'+/'))+b'==')",
            "hex": "d=bytes.fromhex(d.decode())",
            "reversed": "d=d[::-1]",
            "zlib": "d=zlib.decompress(d,47)",
            "xor": f"d=bytes(b^{key} for b in d)",
            "minus": f"d=bytes((b-{key})%256 for b in d)",
        }.get(name, "")
        steps += f";{step}"
    # Names of files are the subject's: quoted, so that whoever pastes this runs nothing else.
    return f"python3 -c {shlex.quote(f'import base64,pathlib,zlib;{steps};print(d)')}"
