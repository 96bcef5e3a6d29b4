"""Usage: one row for each call, as it travels from memory over the journal into the database.

A journal line is the CRC-32 of what follows (8 hex digits), a space, and one JSON object; so a torn or damaged line is
told from a whole one wherever the cut falls.
"""

from __future__ import annotations

import binascii
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import orjson

from mohist.base import light_dataclass
from mohist.gateway.call import CallRecord, Principal
from mohist.gateway.schema import USAGE, WHOLE
from mohist.provider.message import Usage

LINE_VERSION: Final = 1
# Texts come from clients' headers and bodies; no honest one is longer.
_TEXT_CHARS: Final = 512
# What SQLite can hold, with room for sums.
_MAX_INT: Final = 2**53


@light_dataclass(frozen=True, slots=True)
class UsageRow:
    """One call, who made it, and what its budgets were charged."""

    record: CallRecord
    principal: Principal | None
    """None: nobody was identified."""
    day: int = 0
    """The UTC day it counts on."""
    charged_microusd: int = 0
    charged_tokens: int = 0


# Plain texts: SQLAlchemy's own kind of text is no key of a JSON object.
COLUMNS: Final = tuple(str(column.name) for column in USAGE.columns)
"""The columns of a usage row in the database, and the keys of a journal line."""

_BLANK: Final[dict[str, Any]] = {
    str(column.name): (0 if column.type is WHOLE else "") if column.server_default is not None else None
    for column in USAGE.columns
}
_NEEDED: Final = {column.name for column in USAGE.columns if not column.nullable and column.server_default is None}
# Where a column's value is taken from: the field of that name.
_SOURCES: Final = tuple(
    (names, attrgetter(*names))
    for kind in (CallRecord, Principal, Usage, UsageRow)
    if (names := tuple(field.name for field in fields(kind) if field.name in COLUMNS))
)
_OF_PRINCIPAL: Final = _SOURCES[1][0]
_NUMBERS: Final = tuple(str(column.name) for column in USAGE.columns if column.type is WHOLE)
_TEXTS: Final = tuple(name for name in COLUMNS if name not in _NUMBERS)


def flat(row: UsageRow) -> dict[str, Any]:
    """The row as one level of plain values that the database can hold, whatever a client sent."""
    values = dict(_BLANK)
    for part, (names, read) in zip((row.record, row.principal, row.record.usage, row), _SOURCES, strict=True):
        if part is not None:
            values.update(zip(names, read(part), strict=True))
    if row.principal is None:
        values |= dict.fromkeys(_OF_PRINCIPAL, "")
    # Together, and one by one only where one of them is odd.
    texts = "".join([values[name] for name in _TEXTS])
    if not texts.isascii() or "\0" in texts or len(texts) > _TEXT_CHARS:
        values.update((name, _text(values[name])) for name in _TEXTS)
    for name in _NUMBERS:
        number = values[name]
        if type(number) is not int or not -_MAX_INT <= number <= _MAX_INT:
            values[name] = None if number is None else max(-_MAX_INT, min(int(number), _MAX_INT))
    return values


def to_line(values: dict[str, Any]) -> bytes:
    """One journal line, its line feed included."""
    body = orjson.dumps({"v": LINE_VERSION, **values})
    return b"%08x %s\n" % (binascii.crc32(body), body)


def from_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The whole rows in `data`, and how many lines were damaged; a line torn by a kill is one of them."""
    rows: list[dict[str, Any]] = []
    damaged = 0
    for line in data.split(b"\n"):
        if not line:
            continue
        values = _row_of(line)
        if values is None:
            damaged += 1
        else:
            rows.append(values)
    return rows, damaged


def _row_of(line: bytes) -> dict[str, Any] | None:
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % binascii.crc32(body):
        return None
    try:
        values = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(values, dict) or values.pop("v", None) != LINE_VERSION:
        return None
    if values.keys() == _BLANK.keys():
        return values
    if not values.keys() >= _NEEDED:
        return None
    # A journal of another version lacks columns, or has more of them.
    return _BLANK | {name: value for name, value in values.items() if name in _BLANK}


def _text(value: str) -> str:
    # A lone surrogate would fail in the database, later and for the whole batch.
    # PostgreSQL's texts hold no NUL.
    return value[:_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
