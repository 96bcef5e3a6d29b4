"""The software register in the gateway's database: what is in force, and what waits for a second person.

Every change is numbered with those of keys and budgets, entered in the ledger before it takes effect, and seen by running servers
within a second or two. Where two persons are asked for, a change is a proposal until somebody else approves it; what it would
change must still be what it was when it was proposed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, insert, select, update

from mohist.base import IdSource, RandomIds, SystemClock
from mohist.gateway.change import Author
from mohist.gateway.errors import ConflictError, NotThereError, StoreError
from mohist.gateway.registrar import RULE
from mohist.gateway.schema import REGISTER_ENTRIES, REGISTER_PROPOSALS, REGISTER_SETTINGS, USAGE
from mohist.gateway.store import Note, Store
from mohist.policy.errors import RegisterError
from mohist.policy.register import Entry, Register, Settings, as_mapping, entry_of, settings_of

SUBJECT: Final = "register"
_DAY_MS: Final = 86_400_000
_HINT: Final = "See: mohist register list"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the register, whole."""

    entries: tuple[Entry, ...] = ()
    """Made, or put in the place of those of the same id."""
    removed: tuple[str, ...] = ()
    """Ids."""
    settings: Settings | None = None
    """None: they stay."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the entries that it touches."""
        return tuple(dict.fromkeys((*(entry.entry_id for entry in self.entries), *self.removed)))

    @property
    def mapping(self) -> dict[str, Any]:
        """As it is kept."""
        said: dict[str, Any] = {"set": [as_mapping(entry) for entry in self.entries], "removed": list(self.removed)}
        said |= {"settings": asdict(self.settings)} if self.settings is not None else {}
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that waits, or waited."""

    proposal_id: str
    at_ms: int
    user: str
    key_id: str
    edit: Mapping[str, Any]
    """As `Edit.mapping`."""
    before: Mapping[str, Any] = field(repr=False)
    """What it would change, as it was."""
    decided_at_ms: int | None = None
    decided_by: str = ""
    decision: str = ""
    """`approved`, `withdrawn`; empty: it waits."""


class RegisterStore(Store):
    """The database with the register, open; see `Store`."""

    def register(self) -> Register:
        """What is in force.

        Raises:
            StoreError: a row is not understood; a newer program wrote it.
        """
        with self.transaction(write=False) as db:
            return _register(db, self.address.shown)

    def change(self, edit: Edit, *, fresh: bool = False, ids: IdSource | None = None) -> Proposal | None:
        """Makes a change, or proposes it where two persons are asked for.

        Args:
            edit: what is to be.
            fresh: none of its entries may be there yet.
            ids: of proposals.

        Returns:
            None: it is in force; else what waits for somebody else.

        Raises:
            NotThereError: an entry that is to be removed is not there.
            ConflictError: an entry that is to be made is there already.
        """
        with self._change() as note:
            before = _register(note.db, self.address.shown)
            there = {entry.entry_id for entry in before.entries}
            for entry_id in edit.removed:
                if entry_id not in there:
                    raise NotThereError(f"There is no entry {entry_id!r} in the register.", _HINT)
            if fresh and (twice := [entry.entry_id for entry in edit.entries if entry.entry_id in there]):
                raise ConflictError(f"There is an entry {twice[0]!r} already.", f"mohist register set {twice[0]} …")
            if not before.settings.two_persons:
                _make(note, edit, before, self.author)
                return None
            source = ids or RandomIds(SystemClock())
            made = Proposal(
                source.new("proposal"),
                self.author.clock.now_ms(),
                self.author.user,
                self.author.key_id,
                edit.mapping,
                _touched(before, edit),
            )
            row = {"proposal_id": made.proposal_id, "at_ms": made.at_ms, "user": made.user, "key_id": made.key_id}
            row |= {"edit": json.dumps(made.edit, sort_keys=True), "before": json.dumps(made.before, sort_keys=True)}
            note.db.execute(insert(REGISTER_PROPOSALS).values(row))
            note("register.propose", SUBJECT, made.proposal_id, dict(made.edit))
            return made

    def approve(self, proposal_id: str) -> Proposal:
        """Puts a proposal of somebody else in force.

        Raises:
            NotThereError: there is none of that id that waits.
            ConflictError: the same person proposed it, or what it would change was changed meanwhile.
        """
        with self._change() as note:
            found = _waiting(note.db, proposal_id)
            if not self.author.user or found.user == self.author.user:
                raise ConflictError(
                    f"{proposal_id!r} was proposed by {found.user!r}, and needs the approval of somebody else.",
                    "Have another person run: mohist register approve " + proposal_id,
                )
            before = _register(note.db, self.address.shown)
            edit = _edit(found.edit)
            if _touched(before, edit) != found.before:
                raise ConflictError(
                    f"What {proposal_id!r} would change was changed since it was proposed.",
                    f"Look at it, withdraw it (mohist register approve --withdraw {proposal_id}) and propose it again.",
                )
            _make(note, edit, before, self.author, found)
            return _decide(note.db, found, "approved", self.author)

    def withdraw(self, proposal_id: str) -> Proposal:
        """Ends a proposal that waits, one's own too; NotThereError when there is none."""
        with self._change() as note:
            found = _waiting(note.db, proposal_id)
            note("register.withdraw", SUBJECT, proposal_id, {"proposed_by": found.user})
            return _decide(note.db, found, "withdrawn", self.author)

    def users(self, entry_id: str, days: int) -> list[dict[str, Any]]:
        """Who called with what an entry warned of or refused.

        Args:
            entry_id: empty: of all entries.
            days: so far back.
        """
        since_ms = self.author.clock.now_ms() - days * _DAY_MS
        table = USAGE.c
        rule = table.rule.startswith(f"{RULE}{entry_id}", autoescape=True)
        refused = func.sum(case((table.verdict == "policy", 1), else_=0))
        columns = (table.rule, table.user, table.client)
        query = (
            select(*columns, func.count(), refused, func.max(table.started_at_ms))
            .where(table.started_at_ms >= since_ms, rule)
            .group_by(*columns)
            .order_by(*columns)
        )
        found: dict[tuple[str, str, str], list[int]] = {}
        with self.transaction(write=False) as db:
            for said, user, client, calls, stopped, last_ms in db.execute(query):
                # Ids of the policy's rules may follow.
                name = str(said).partition(",")[0].removeprefix(RULE)
                if entry_id in ("", name):
                    row = found.setdefault((name, user, client), [0, 0, 0])
                    found[name, user, client] = [row[0] + calls - stopped, row[1] + stopped, max(row[2], last_ms)]
        return [
            {
                "entry": name,
                "user": user,
                "client": client,
                "warned": warned,
                "refused": stopped,
                "last": _moment(last_ms),
            }
            for (name, user, client), (warned, stopped, last_ms) in found.items()
        ]

    def proposals(self, *, waiting: bool = True) -> list[Proposal]:
        """Oldest first; with `waiting` those alone that nobody decided."""
        query = select(REGISTER_PROPOSALS).order_by(REGISTER_PROPOSALS.c.at_ms, REGISTER_PROPOSALS.c.proposal_id)
        if waiting:
            query = query.where(REGISTER_PROPOSALS.c.decided_at_ms.is_(None))
        with self.transaction(write=False) as db:
            return [_proposal(row) for row in db.execute(query).mappings()]


def _register(db: Connection, shown: str) -> Register:
    try:
        rows = db.execute(select(REGISTER_ENTRIES.c.entry).order_by(REGISTER_ENTRIES.c.entry_id)).scalars()
        entries = tuple(entry_of(json.loads(row)) for row in rows)
        told = {name: json.loads(value) for name, value in db.execute(select(REGISTER_SETTINGS))}
        return Register(entries, settings_of(told, shown), shown)
    except (RegisterError, ValueError) as error:
        raise StoreError(f"The register in {shown!r} can't be read: {error}", "Use the newer program.") from error


def _make(note: Note, edit: Edit, before: Register, author: Author, proposed: Proposal | None = None) -> None:
    """In the transaction of a change: makes it and says so."""
    detail: dict[str, Any] = {**edit.mapping, "before": _touched(before, edit)}
    if proposed is not None:
        detail |= {"proposal": proposed.proposal_id, "proposed_by": proposed.user}
    _write(note.db, edit, author)
    note("register.change", SUBJECT, edit.ids[0] if len(edit.ids) == 1 else "", detail)


def _write(db: Connection, edit: Edit, author: Author) -> None:
    if edit.ids:
        db.execute(delete(REGISTER_ENTRIES).where(REGISTER_ENTRIES.c.entry_id.in_(edit.ids)))
    now_ms = author.clock.now_ms()
    rows = [
        {
            "entry_id": entry.entry_id,
            "entry": json.dumps(as_mapping(entry), sort_keys=True, ensure_ascii=False),
            "changed_at_ms": now_ms,
            "changed_by": author.user,
        }
        for entry in edit.entries
    ]
    if rows:
        db.execute(insert(REGISTER_ENTRIES), rows)
    if edit.settings is not None:
        db.execute(delete(REGISTER_SETTINGS))
        said = [{"name": name, "value": json.dumps(value)} for name, value in asdict(edit.settings).items()]
        db.execute(insert(REGISTER_SETTINGS), said)


def _touched(before: Register, edit: Edit) -> dict[str, Any]:
    """What an edit changes, as it is now."""
    ids = set(edit.ids)
    said: dict[str, Any] = {"entries": [as_mapping(entry) for entry in before.entries if entry.entry_id in ids]}
    return said | ({"settings": asdict(before.settings)} if edit.settings is not None else {})


def _edit(said: Mapping[str, Any]) -> Edit:
    settings = settings_of(said["settings"], "the proposal") if "settings" in said else None
    return Edit(tuple(_entries(said.get("set", ()))), tuple(said.get("removed", ())), settings)


def _entries(tables: Sequence[Mapping[str, Any]]) -> Iterable[Entry]:
    return (entry_of(table) for table in tables)


def _waiting(db: Connection, proposal_id: str) -> Proposal:
    row = (
        db.execute(select(REGISTER_PROPOSALS).where(REGISTER_PROPOSALS.c.proposal_id == proposal_id)).mappings().first()
    )
    if row is None or row["decided_at_ms"] is not None:
        raise NotThereError(f"There is no proposal {proposal_id!r} that waits.", "See: mohist register list --waiting")
    return _proposal(row)


def _proposal(row: Mapping[Any, Any]) -> Proposal:
    said = {str(name): value for name, value in row.items()}
    return Proposal(**{**said, "edit": json.loads(said["edit"]), "before": json.loads(said["before"])})


def _decide(db: Connection, found: Proposal, decision: str, author: Author) -> Proposal:
    at_ms, who = author.clock.now_ms(), author.user
    said = {"decided_at_ms": at_ms, "decided_by": who, "decision": decision}
    db.execute(update(REGISTER_PROPOSALS).where(REGISTER_PROPOSALS.c.proposal_id == found.proposal_id).values(said))
    return replace(found, decided_at_ms=at_ms, decided_by=who, decision=decision)


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
