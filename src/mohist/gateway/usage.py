"""Usage: one row for each call, as it travels from memory over the journal into the database.

A journal line is the CRC-32 of what follows (8 hex digits), a space, and one JSON object; so a torn or damaged line is
told from a whole one wherever the cut falls.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass, fields
from typing import Any, Final

from mohist.gateway.call import CallRecord, Principal

LINE_VERSION: Final = 1
# Texts come from clients' headers and bodies; no honest one is longer.
_TEXT_CHARS: Final = 512
# What SQLite can hold, with room for sums.
_MAX_INT: Final = 2**53

BY: Final = {
    "key": "key_id",
    "user": "user",
    "project": "project",
    "team": "team",
    "client": "client",
    "model": "model_served",
    "session": "session_id",
}
"""What usage can be grouped by, and the column that holds it."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One call, who made it, and what its budgets were charged."""

    record: CallRecord
    principal: Principal | None
    """None: nobody was identified."""
    day: int = 0
    """The UTC day it counts on."""
    charged_microusd: int = 0
    charged_tokens: int = 0


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Sums over the calls that share `name`."""

    name: str
    calls: int
    refused: int
    """Calls that were not made; part of `calls`."""
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_microusd: int
    """Of the calls with a known price."""
    unpriced: int
    """Calls made for which no price or no usage is known; `cost_microusd` lacks them."""


_NOT_KEPT: Final = frozenset({"usage", "region", "service_tier", "web_searches", "unpriced"})
_OF_RECORD: Final = tuple(field.name for field in fields(CallRecord) if field.name not in _NOT_KEPT)
_TOKENS: Final = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
COLUMNS: Final = (
    *_OF_RECORD,
    "key_id",
    "user",
    "project",
    "team",
    *_TOKENS,
    "day",
    "charged_microusd",
    "charged_tokens",
)
"""The columns of a usage row in the database, and the keys of a journal line."""


def flat(row: UsageRow) -> dict[str, Any]:
    """The row as one level of plain values that the database can hold, whatever a client sent."""
    record, principal, usage = row.record, row.principal, row.record.usage
    values: dict[str, Any] = {name: getattr(record, name) for name in _OF_RECORD}
    for name in ("key_id", "user", "project", "team"):
        values[name] = getattr(principal, name) if principal is not None else ""
    for name in _TOKENS:
        values[name] = getattr(usage, name) if usage is not None else None
    values |= {"day": row.day, "charged_microusd": row.charged_microusd, "charged_tokens": row.charged_tokens}
    return {name: _plain(value) for name, value in values.items()}


def to_line(values: dict[str, Any]) -> bytes:
    """One journal line, its line feed included."""
    body = json.dumps({"v": LINE_VERSION, **values}, separators=(",", ":")).encode("ascii")
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
        values = json.loads(body)
    except ValueError:
        return None
    if not isinstance(values, dict) or values.pop("v", None) != LINE_VERSION or set(values) != set(COLUMNS):
        return None
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        # A lone surrogate would fail in the database, later and for the whole batch.
        return value[:_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return max(-_MAX_INT, min(value, _MAX_INT))
    return value
