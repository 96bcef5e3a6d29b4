"""A request taken apart into named pieces of text, without losing how it was written.

The pieces of a JSON body: each string, number and word; each object's keys in their order; the order of arrays whose elements
have names; what space stands after which sign; how a character is escaped. Two requests that differ in a byte differ in a piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mohist.vet.difference.sent import Sent

Kind = Literal["line", "names", "header", "text", "raw", "keys", "order", "spacing", "escape"]

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"', re.DOTALL)
_RAW = re.compile(r"-?\d[0-9.eE+-]*|true|false|null")
_ESCAPED = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)|[^\x20-\x7e]|/", re.DOTALL)
_SIGN = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)
"""One character of a string as it is written; a pair of surrogates is one."""
_DEPTH = 200
_DERIVED = frozenset({"content-length"})
"""Headers that say again what is compared already."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece."""

    where: str
    """"header user-agent", "body $.messages[0].content"."""
    kind: Kind
    text: str
    offset: int = -1
    """In characters from the beginning of the body's text; -1: it stands in no one place."""


@dataclass(slots=True)
class _Walk:
    source: str
    parts: dict[str, Part] = field(default_factory=dict)
    spacing: dict[str, set[str]] = field(default_factory=dict)
    escapes: dict[str, set[str]] = field(default_factory=dict)

    def add(self, where: str, kind: Kind, text: str, offset: int = -1) -> None:
        self.parts[f"body {where}"] = Part(f"body {where}", kind, text, offset)


@dataclass(frozen=True, slots=True)
class _Value:
    """What was read: its kind, and for an element of an array what names it."""

    scalar: str | None
    name: str
    parts: list[tuple[str, Kind, str, int]]
    """Relative path, kind, text, offset."""
    end: int


def dissect(sent: Sent) -> dict[str, Part]:
    """The pieces of a request, by their place."""
    parts = {"line": Part("line", "line", f"{sent.method} {sent.target} {sent.version}")}
    names = [name for name, _ in sent.headers]
    parts["header names"] = Part("header names", "names", "\n".join(names))
    seen: dict[str, int] = {}
    for name, value in sent.headers:
        plain = name.lower()
        if plain in _DERIVED:
            continue
        seen[plain] = seen.get(plain, 0) + 1
        where = f"header {plain}" + (f" #{seen[plain]}" if seen[plain] > 1 else "")
        parts[where] = Part(where, "header", value)
    return parts | dissect_body(sent.content)


def dissect_body(content: bytes) -> dict[str, Part]:
    """The pieces of a body; one piece where it is no JSON."""
    if not content:
        return {}
    text = content.decode("utf-8", "surrogateescape")
    walk = _Walk(text)
    try:
        value = _value(walk, _space(walk, 0, "^"), 0)
        if _space(walk, value.end, "$") != len(text):
            raise ValueError("more after the end")
    except (ValueError, IndexError):
        return {"body": Part("body", "text", text, 0)}
    for path, kind, piece, offset in value.parts:
        walk.add(f"${path}", kind, piece, offset)
    for before, forms in walk.spacing.items():
        walk.add(f"space after {before!r}", "spacing", " | ".join(sorted(map(repr, forms))))
    for character, forms in walk.escapes.items():
        walk.add(f"writing of U+{ord(character):04X}", "escape", " | ".join(sorted(forms)))
    return walk.parts


def raw_index(source: str, start: int, index: int) -> int:
    """Where in a body's text the character `index` of a string stands whose inside begins at `start`, escapes counted as written."""
    if start <= 0 or source[start - 1] != '"':
        return start + index  # no string of JSON: it stands there as it is
    at = start
    while index > 0 and (found := _SIGN.match(source, at)) is not None:
        at = found.end()
        index -= 1
    return at


def _space(walk: _Walk, at: int, before: str) -> int:
    found = _SPACE.match(walk.source, at)
    assert found is not None
    walk.spacing.setdefault(before, set()).add(found[0])
    return found.end()


def _value(walk: _Walk, at: int, depth: int) -> _Value:
    if depth > _DEPTH:
        raise ValueError("too deep")
    first = walk.source[at]
    if first == "{":
        return _object(walk, at, depth)
    if first == "[":
        return _array(walk, at, depth)
    if first == '"':
        text, end = _string(walk, at)
        return _Value(text, "", [("", "text", text, at + 1)], end)
    found = _RAW.match(walk.source, at)
    if found is None:
        raise ValueError("no JSON")
    return _Value(found[0], "", [("", "raw", found[0], at)], found.end())


def _string(walk: _Walk, at: int) -> tuple[str, int]:
    found = _STRING.match(walk.source, at)
    if found is None:
        raise ValueError("no string")
    raw = found[0]
    text: str = json.loads(raw) if "\\" in raw else raw[1:-1]
    for piece in set(_ESCAPED.findall(raw)):
        character = json.loads(f'"{piece}"') if piece.startswith("\\") else piece
        walk.escapes.setdefault(character, set()).add(piece if piece.startswith("\\") else "as it is")
    return text, found.end()


def _object(walk: _Walk, at: int, depth: int) -> _Value:
    keys: list[str] = []
    parts: list[tuple[str, Kind, str, int]] = []
    name = ""
    position = _space(walk, at + 1, "{")
    while walk.source[position] != "}":
        if keys:
            if walk.source[position] != ",":
                raise ValueError("no comma")
            position = _space(walk, position + 1, ",")
        key, position = _string(walk, position)
        if walk.source[_space(walk, position, "a key")] != ":":
            raise ValueError("no colon")
        position = _space(walk, walk.source.index(":", position) + 1, ":")
        value = _value(walk, position, depth + 1)
        again = keys.count(key)
        step = f".{key}" + (f"#{again + 1}" if again else "")
        keys.append(key)
        parts += [(step + path, kind, text, offset) for path, kind, text, offset in value.parts]
        if key == "name" and value.scalar is not None:
            name = value.scalar
        elif key == "function" and value.name:
            name = name or value.name
        position = _space(walk, value.end, "a value")
    parts.append((" keys", "keys", "\n".join(keys), at))
    return _Value(None, name, parts, position + 1)


def _array(walk: _Walk, at: int, depth: int) -> _Value:
    items: list[_Value] = []
    position = _space(walk, at + 1, "[")
    while walk.source[position] != "]":
        if items:
            if walk.source[position] != ",":
                raise ValueError("no comma")
            position = _space(walk, position + 1, ",")
        items.append(_value(walk, position, depth + 1))
        position = _space(walk, items[-1].end, "a value")
    parts: list[tuple[str, Kind, str, int]] = []
    if items and all(item.scalar is not None for item in items):
        parts.append(("[]", "order", "\n".join(item.scalar or "" for item in items), at))
    else:
        for step, item in zip(_steps(items), items, strict=True):
            parts += [(f"[{step}]{path}", kind, text, offset) for path, kind, text, offset in item.parts]
        if _named(items):
            parts.append((" order", "order", "\n".join(item.name for item in items), at))
        else:
            parts.append((" count", "raw", str(len(items)), at))
    return _Value(None, "", parts, position + 1)


def _named(items: Sequence[_Value]) -> bool:
    names = [item.name for item in items]
    return bool(names) and all(names) and len(set(names)) == len(names)


def _steps(items: Sequence[_Value]) -> list[Any]:
    return [item.name for item in items] if _named(items) else list(range(len(items)))
