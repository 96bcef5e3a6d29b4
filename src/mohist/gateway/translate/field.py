"""Reading a request field by field: each is translated, left out by name, or refused by name; there is no fourth way.

A `Table` per JSON object says which is which. What no table knows is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mohist.gateway.request import RefusedError, bad_request
from mohist.gateway.translate.form import Mark

MAX_SHOWN_CHARS = 80
"""Of a client's own words in a refusal."""


def refused(path: str, why: str) -> RefusedError:
    """A refusal that names the field and says what to do."""
    return bad_request(f"`{path}` {why}")


class UnsayableError(Exception):
    """What the upstream's dialect has no words for; `translate_request` tells it by the client's name for it.

    Args:
        field: by its name in Chat.
        target: the upstream's dialect, for people.
        mend: what to do instead.
    """

    def __init__(self, field: str, target: str, mend: str) -> None:
        super().__init__(field)
        self.field = field
        self.target = target
        self.mend = mend


def shown(value: object) -> str:
    """A client's value in a message: short, printable."""
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text[:MAX_SHOWN_CHARS])


@dataclass(frozen=True, slots=True)
class Table:
    """What becomes of the fields of one kind of JSON object. Every known field is in exactly one of the three."""

    translated: frozenset[str]
    hints: frozenset[str] = frozenset()
    """Left out, since their absence changes no answer's meaning; named in `Ask.omitted`."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Field -> what to do instead."""
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values besides null that ask for nothing, of fields that are refused or hints."""


class Box:
    """A JSON object of a request, read strictly: types are checked, paths are told."""

    __slots__ = ("_omitted", "path", "value")

    def __init__(self, value: Mapping[str, Any], path: str, omitted: dict[str, None]) -> None:
        self.value = value
        self.path = path
        self._omitted = omitted

    def at(self, name: str) -> str:
        """A field's path."""
        return f"{self.path}.{name}" if self.path else name

    def omit(self, name: str) -> None:
        """Says that something is left out; `name` holds no indices, so that each kind is told once."""
        self._omitted[name] = None

    def close(self, table: Table, kind: str = "") -> None:
        """Holds the object against its table.

        Args:
            table: what becomes of its fields.
            kind: what hints are called by in `omitted`, e.g. `tools[]`; empty for the request itself.
        """
        for name, value in self.value.items():
            if name in table.translated:
                continue
            known = name in table.hints or name in table.refused
            if known and (value is None or _is_among(value, table.neutral.get(name, ()))):
                continue
            if name in table.hints:
                self.omit(f"{kind}.{name}" if kind else name)
            elif name in table.refused:
                raise refused(self.at(name), f"can't be translated for this upstream. {table.refused[name]}")
            else:
                path = self.at(name if name.isidentifier() and len(name) <= MAX_SHOWN_CHARS else "…")
                raise refused(path, "is not known here, so it can't be translated. Leave it out.")

    def get(self, name: str) -> Any:
        """As it is; None when it is absent."""
        return self.value.get(name)

    def has(self, name: str) -> bool:
        return self.value.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A string; required unless there is a default."""
        value = self.value.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise refused(self.at(name), "must be a string.")
        return value

    def name(self, name: str = "name") -> str:
        """A string that is not empty."""
        value = self.text(name)
        if not value:
            raise refused(self.at(name), "must not be empty.")
        return value

    def whole(self, name: str, least: int = 0) -> int | None:
        """A whole number, or None."""
        value = self.value.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not least <= value < 2**63:
            raise refused(self.at(name), f"must be a whole number, at least {least}.")
        return value

    def number(self, name: str) -> float | None:
        """A finite number, or None."""
        value = self.value.get(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not math.isfinite(value):
            raise refused(self.at(name), "must be a number.")
        return float(value)

    def flag(self, name: str) -> bool | None:
        value = self.value.get(name)
        if value is not None and not isinstance(value, bool):
            raise refused(self.at(name), "must be true or false.")
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """One of some words, or None."""
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or value not in allowed:
            raise refused(self.at(name), f"must be one of {', '.join(allowed)}; it is {shown(value)}.")
        return value

    def box(self, name: str) -> Box | None:
        """An object within, or None."""
        value = self.value.get(name)
        return None if value is None else as_box(value, self.at(name), self._omitted)

    def must_box(self, name: str) -> Box:
        return as_box(self.value.get(name), self.at(name), self._omitted)

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """A JSON Schema, carried as it is."""
        value = self.value.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise refused(self.at(name), "must be a JSON object.")
        return value

    def boxes(self, name: str) -> Iterator[Box]:
        """The objects of a list; none when it is absent."""
        value = self.value.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise refused(self.at(name), "must be a list.")
        for at, item in enumerate(value):
            yield as_box(item, f"{self.at(name)}[{at}]", self._omitted)

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings; a lone string counts as one."""
        value = self.value.get(name)
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise refused(self.at(name), "must be a list of strings.")
        return tuple(items)


_MARK = Table(frozenset({"type", "ttl"}), frozenset({"scope"}))
# scope: who may share the cached prefix within the account; a matter of cost.


def mark(box: Box) -> Mark | None:
    """The `cache_control` of a block."""
    inner = box.box("cache_control")
    if inner is None:
        return None
    inner.close(_MARK, "cache_control")
    inner.choice("type", ("ephemeral",))
    return Mark("1h" if inner.choice("ttl", ("5m", "1h")) == "1h" else "5m")


def as_box(value: object, path: str, omitted: dict[str, None]) -> Box:
    """A value that must be an object."""
    if not isinstance(value, Mapping):
        raise refused(path, "must be a JSON object.")
    return Box(value, path, omitted)


def hosted(box: Box, kind: str, leave_out: frozenset[str]) -> None:
    """A tool that the vendor runs: left out where the route says so, otherwise refused."""
    if kind in leave_out:
        box.omit(f"tools[].{kind}")
        return
    raise refused(
        box.at("type"),
        f"is {shown(kind)}, a tool that its vendor runs; this upstream has none. Leave it out of the request, or let the"
        " route leave it out (`leave_out`).",
    )


def _is_among(value: object, values: tuple[Any, ...]) -> bool:
    return any(type(value) is type(one) and value == one for one in values)
