"""Questions over the calls that were taken down: single calls in pages, and sums by one or two of their properties.

Pages are asked for one after the other by the last call of the one before, so that a million calls need the memory of a
thousand, and no query holds the database for longer than a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, func, or_, select

from mohist.gateway.database import Session
from mohist.gateway.errors import StoreError
from mohist.gateway.schema import USAGE

PAGE: Final = 2_000

DIMENSIONS: Final[Mapping[str, str]] = {
    "key": "key_id",
    "user": "user",
    "project": "project",
    "team": "team",
    "client": "client",
    "session": "session_id",
    "model": "model_served",
    "asked": "model_asked",
    "dialect": "dialect",
    "upstream": "upstream",
    "provider": "provider",
    "region": "region",
    "tier": "service_tier",
    "verdict": "verdict",
    "rule": "rule",
    "price": "price_row",
    "unpriced": "unpriced",
    "status": "status",
    "day": "day",
    "month": "day",
}
"""What usage can be grouped by, and the column that holds it."""

_MATCHED: Final = frozenset(DIMENSIONS) - {"day", "month", "status"}
_EPOCH: Final = date(1970, 1, 1)
_SUMS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "web_searches",
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which calls are meant: those that fit all that is said."""

    since_ms: int = 0
    until_ms: int | None = None
    """Up to here, this moment not included."""
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By dimension: one of these. One that ends in `*` is a beginning; the empty text is what has no name. A model fits
    by the name it was asked for by, too."""
    statuses: Sequence[str] = ()
    """HTTP statuses, `404`, or whole classes, `4xx`."""

    def clauses(self) -> list[ColumnElement[bool]]:
        """What this is to the database; StoreError for what can't be asked."""
        call = USAGE.c
        made: list[ColumnElement[bool]] = [call.started_at_ms >= self.since_ms]
        if self.until_ms is not None:
            made.append(call.started_at_ms < self.until_ms)
        for dimension, wanted in self.names.items():
            if dimension not in _MATCHED:
                raise StoreError(f"Usage can't be searched by {dimension!r}.")
            columns = [call[DIMENSIONS[dimension]], *([call.model_asked] if dimension == "model" else [])]
            made.append(or_(*(_fits(column, name) for column in columns for name in wanted)))
        if self.statuses:
            made.append(or_(*map(_has_status, self.statuses)))
        return made


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the calls that share `names`."""

    names: tuple[str, ...]
    """One for each dimension that was asked for."""
    calls: int
    refused: int
    """Calls that were not made; part of `calls`."""
    failed: int
    """Calls that were made and ended in an error status; part of `calls`."""
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    web_searches: int
    cost_microusd: int
    """Of what has a known price."""
    list_cost_microusd: int
    """The same at list prices, where there are some, else at those that were billed."""
    unpriced: int
    """Calls made of which some part has no known price or told of no usage; `cost_microusd` lacks it."""

    @property
    def name(self) -> str:
        """The first of `names`."""
        return self.names[0]

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cache_share(self) -> float | None:
        """How much of the prompts came from a cache; None without prompts."""
        return self.cache_read_tokens / self.prompt_tokens if self.prompt_tokens else None


def totals(session: Session, by: Sequence[str], chosen: Filter, *, oldest_first: bool = False) -> list[Total]:
    """Sums by one or more of `DIMENSIONS`, the dearest first; by day and month the oldest.

    Args:
        session: the database.
        by: what the calls of a row share.
        chosen: which calls count.
        oldest_first: order by name.
    """
    call = USAGE.c
    columns = [call[DIMENSIONS[name]] for name in by]
    allowed = call.verdict == "allowed"
    query = (
        select(
            *columns,
            func.count(),
            _sum(case((allowed, 0), else_=1)),
            _sum(case((allowed & (call.status >= 400), 1), else_=0)),
            *(_sum(call[name]) for name in _SUMS),
            _sum(call.cost_microusd),
            _sum(func.coalesce(call.list_cost_microusd, call.cost_microusd)),
            _sum(case((_unpriced(), 1), else_=0)),
        )
        .where(*chosen.clauses())
        .group_by(*columns)
    )
    with session.transaction(write=False) as db:
        found = [tuple(row) for row in db.execute(query)]
    rows = [(_names(by, row), list(row[len(by) :])) for row in found]
    merged: dict[tuple[str, ...], list[int]] = {}
    for names, sums in rows:  # days that share a month
        before = merged.get(names)
        merged[names] = sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]
    sums_of = [Total(names, *sums) for names, sums in merged.items()]
    if oldest_first or {"day", "month"} & set(by):
        return sorted(sums_of, key=lambda total: total.names)
    return sorted(sums_of, key=lambda total: (-total.cost_microusd, -total.calls, total.names))


COLUMNS: Final = tuple(column.name for column in USAGE.columns if not column.name.startswith("charged_"))
"""Of a listed call."""


def calls(
    session: Session, chosen: Filter, *, newest_first: bool = False, after: str = "", limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The calls that fit, as plain values by `COLUMNS`.

    Args:
        session: the database; a page at a time.
        chosen: which calls.
        newest_first: else the oldest.
        after: the `cursor` of the call after which to go on; empty: from the beginning.
        limit: at most so many.

    Raises:
        StoreError: the database, or a cursor that is none.
    """
    call = USAGE.c
    place = _place(after) if after else None
    left = limit
    clauses = chosen.clauses()
    order = (call.started_at_ms.desc(), call.call_id.desc()) if newest_first else (call.started_at_ms, call.call_id)
    while left is None or left > 0:
        count = PAGE if left is None else min(PAGE, left)
        query = select(*(call[name] for name in COLUMNS)).where(*clauses).order_by(*order).limit(count)
        if place is not None:
            query = query.where(_beyond(place, newest_first))
        with session.transaction(write=False) as db:
            page = [dict(zip(COLUMNS, row, strict=True)) for row in db.execute(query)]
        for row in page:
            row["day"] = _day(row["day"])
            yield row
        if len(page) < count:
            return
        place = (page[-1]["started_at_ms"], page[-1]["call_id"])
        left = None if left is None else left - len(page)


def cursor(row: Mapping[str, Any]) -> str:
    """Where a call stands in a listing; what `calls` takes as `after`."""
    return f"{row['started_at_ms']}:{row['call_id']}"


def _place(text: str) -> tuple[int, str]:
    moment, _, call_id = text.partition(":")
    if not moment.isdigit() or not call_id:
        raise StoreError(f"{text!r} is no place in a listing.", "Take the one that the page before ended with.")
    return int(moment), call_id


def _beyond(place: tuple[int, str], newest_first: bool) -> ColumnElement[bool]:
    call, (moment, call_id) = USAGE.c, place
    # The first part alone is one that an index answers.
    if newest_first:
        return and_(call.started_at_ms <= moment, or_(call.started_at_ms < moment, call.call_id < call_id))
    return and_(call.started_at_ms >= moment, or_(call.started_at_ms > moment, call.call_id > call_id))


def _fits(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    if not name.endswith("*"):
        return column == name
    start = name[:-1]
    # Not LIKE: it tells case apart on one database and not on the other.
    return func.substr(column, 1, len(start)) == start


def _has_status(text: str) -> ColumnElement[bool]:
    status = USAGE.c.status
    if len(text) == 3 and text[0].isdigit() and text[1:].lower() == "xx":
        return status.between(int(text[0]) * 100, int(text[0]) * 100 + 99)
    if text.isdigit() and len(text) == 3:
        return status == int(text)
    raise StoreError(f"{text!r} is no HTTP status.", "Such as 404, or 4xx for all of them.")


def _unpriced() -> ColumnElement[bool]:
    call = USAGE.c
    # By the upstream and not by the verdict: a call that was cut midway (its key was revoked, say) was made as well.
    made = (call.upstream != "") & ((call.status < 400) | call.input_tokens.is_not(None))
    return made & (call.cost_microusd.is_(None) | (call.unpriced != ""))


def _sum(value: ColumnElement[Any]) -> ColumnElement[int]:
    """0 of nothing; a whole number on PostgreSQL, too, whose sums of such are decimals."""
    return cast(func.coalesce(func.sum(value), 0), BigInteger)


def _names(by: Sequence[str], row: Sequence[Any]) -> tuple[str, ...]:
    return tuple(_SHOWN.get(name, str)(row[index]) for index, name in enumerate(by))


@lru_cache(maxsize=1_024)
def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).isoformat()


_SHOWN: Final[Mapping[str, Callable[[Any], str]]] = {"day": _day, "month": lambda day: _day(day)[:7]}
