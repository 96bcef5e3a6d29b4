"""What the guard found and who let what pass, in the gateway's database."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, or_, select, update

from mohist.base import light_dataclass
from mohist.gateway.database import Session
from mohist.gateway.errors import ConflictError, NotThereError
from mohist.gateway.schema import FINDINGS, RELEASES
from mohist.gateway.screen.note import Noted

BY: Final[Mapping[str, str]] = {
    "rule": "rule",
    "ruling": "ruling",
    "class": "data_class",
    "detector": "detector",
    "client": "client",
    "user": "user",
    "team": "team",
    "project": "project",
    "key": "key_id",
    "upstream": "upstream",
    "vendor": "vendor",
    "region": "region",
    "model": "model",
    "source": "place",
}
"""What findings can be counted by, and the column that holds it."""

_MIN_ID_CHARS: Final = 6


@light_dataclass(frozen=True, slots=True)
class Release:
    """A value that may pass."""

    release_id: str
    digest: str
    rule: str
    """Of the detector; empty: whichever finds it."""
    at_ms: int
    until_ms: int | None
    """None: for good."""
    user: str
    because: str
    ended_at_ms: int | None = None
    ended_by: str = ""

    def holds(self, now_ms: int) -> bool:
        """Whether it lets pass now."""
        return self.ended_at_ms is None and (self.until_ms is None or now_ms < self.until_ms)


@light_dataclass(frozen=True, slots=True)
class Count:
    """Findings that have something in common."""

    name: str
    action: str
    mode: str
    findings: int
    values: int
    """Different ones."""
    sessions: int
    last_ms: int


@light_dataclass(frozen=True, slots=True)
class Value:
    """One value that was found, for somebody who is to say whether it was rightly."""

    digest: str
    rule: str
    data_class: str
    action: str
    findings: int
    first_ms: int
    last_ms: int
    place: str
    """One of those where it was found."""
    confidence_percent: int


class Archive(Session):
    """The findings' part of the gateway's database, open; belongs to the thread that opened it."""

    def add(self, noted: Iterable[Noted]) -> None:
        """Writes findings down."""
        rows = [_row(one) for one in noted]
        if rows:
            with self.transaction(write=True) as db:
                db.execute(insert(FINDINGS), rows)

    def forget(self, before_ms: int) -> int:
        """Takes findings away that are older; how many."""
        with self.transaction(write=True) as db:
            return db.execute(delete(FINDINGS).where(FINDINGS.c.at_ms < before_ms)).rowcount

    # Releases

    def releases(self, now_ms: int | None = None) -> list[Release]:
        """All, oldest first; with a time only those that let something pass then."""
        query = select(RELEASES).order_by(RELEASES.c.at_ms, RELEASES.c.release_id)
        if now_ms is not None:
            until = RELEASES.c.until_ms
            query = query.where(RELEASES.c.ended_at_ms.is_(None), or_(until.is_(None), until > now_ms))
        with self.transaction(write=False) as db:
            return [Release(*row) for row in db.execute(query)]

    def release(
        self, finding_id: str, release: Release, enter: Callable[[Release], object] = lambda _: None
    ) -> Release:
        """Lets a value pass.

        Args:
            finding_id: the beginning of the digest of a value that was found.
            release: whose digest is filled in.
            enter: told what is about to hold; what it raises leaves all as it was.

        Raises:
            NotThereError: no such value was found.
            ConflictError: the beginning is that of several.
        """
        digest = self.digest(finding_id)
        with self.transaction(write=True) as db:
            row = {name: getattr(release, name) for name in tuple(RELEASES.columns.keys())} | {"digest": digest}
            db.execute(insert(RELEASES).values(row))
            made = Release(**row)
            enter(made)
        return made

    def end_release(
        self, release_id: str, now_ms: int, user: str, enter: Callable[[Release], object] = lambda _: None
    ) -> Release:
        """Ends one early; NotThereError when there is none of that id that holds. `enter` as for `release`."""
        with self.transaction(write=True) as db:
            place = and_(RELEASES.c.release_id == release_id, RELEASES.c.ended_at_ms.is_(None))
            db.execute(update(RELEASES).where(place).values(ended_at_ms=now_ms, ended_by=user))
            row = db.execute(select(RELEASES).where(RELEASES.c.release_id == release_id)).first()
            if row is None or row.ended_at_ms != now_ms:
                raise NotThereError(f"There is no release {release_id!r} that holds.", "See: mohist guard releases")
            ended = Release(*row)
            enter(ended)
        return ended

    def digest(self, finding_id: str) -> str:
        """The whole digest that begins so."""
        if len(finding_id) < _MIN_ID_CHARS or not set(finding_id) <= set("0123456789abcdef"):
            raise NotThereError(
                f"{finding_id!r} is no id of a finding.", "It stands in the message, and in: mohist guard report"
            )
        with self.transaction(write=False) as db:
            found = select(FINDINGS.c.digest).where(FINDINGS.c.digest.startswith(finding_id)).distinct().limit(2)
            digests = list(db.execute(found).scalars())
        if not digests:
            raise NotThereError(
                f"Nothing with the id {finding_id!r} was found at this gateway.",
                "Is this the machine or database of the gateway that said so?",
            )
        if len(digests) > 1:
            raise ConflictError(f"{finding_id!r} is the beginning of several ids.", "Say more of it.")
        return str(digests[0])

    # Report

    def counts(self, by: str, since_ms: int) -> list[Count]:
        """Findings since a time by one of `BY` and by what was or would have been done, most first."""
        name = FINDINGS.c[BY[by]]
        keys = (name, FINDINGS.c.action, FINDINGS.c.mode)
        query = (
            select(
                *keys,
                func.count(),
                func.count(FINDINGS.c.digest.distinct()),
                func.count(_session().distinct()),
                func.max(FINDINGS.c.at_ms),
            )
            .where(FINDINGS.c.at_ms >= since_ms)
            .group_by(*keys)
            .order_by(func.count().desc(), *keys)
        )
        with self.transaction(write=False) as db:
            return [Count(*row) for row in db.execute(query)]

    def values(self, since_ms: int, limit: int) -> list[Value]:
        """The values that stopped or changed something most often, or would have."""
        table = FINDINGS.c
        keys = (table.digest, table.rule, table.data_class, table.action)
        query = (
            select(
                *keys,
                func.count(),
                func.min(table.at_ms),
                func.max(table.at_ms),
                func.max(table.place),
                func.max(table.confidence_percent),
            )
            .where(table.at_ms >= since_ms, table.action.in_(("block", "ask", "mask")))
            .group_by(*keys)
            .order_by(case((table.action == "mask", 1), else_=0), func.count().desc(), *keys)
            .limit(limit)
        )
        with self.transaction(write=False) as db:
            return [Value(*row) for row in db.execute(query)]

    def list(self, since_ms: int, limit: int, before: tuple[int, str] | None = None) -> Sequence[Mapping[str, Any]]:
        """Single findings, newest first.

        Args:
            since_ms: from then on.
            limit: so many at most.
            before: time and id of the last one of the page before; None: the first page.
        """
        table = FINDINGS.c
        which: list[ColumnElement[bool]] = [table.at_ms >= since_ms]
        if before is not None:
            at_ms, finding_id = before
            which.append(or_(table.at_ms < at_ms, and_(table.at_ms == at_ms, table.finding_id < finding_id)))
        query = select(FINDINGS).where(*which).order_by(table.at_ms.desc(), table.finding_id.desc()).limit(limit)
        with self.transaction(write=False) as db:
            return [dict(row) for row in db.execute(query).mappings()]


def _session() -> ColumnElement[str]:
    """A session has a name, or is one call."""
    return case((FINDINGS.c.session_id == "", FINDINGS.c.call_id), else_=FINDINGS.c.session_id)


def _row(one: Noted) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in tuple(FINDINGS.columns.keys()) if name not in _MADE}
    return row | {
        "finding_id": secrets.token_hex(8),
        "alarm": int(one.alarm),
        "self_hosted": int(one.self_hosted),
        "confidence_percent": round(one.confidence * 100),
    }


_MADE: Final = ("finding_id", "alarm", "self_hosted", "confidence_percent")
