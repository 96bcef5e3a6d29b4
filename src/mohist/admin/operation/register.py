"""The software register."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints

from mohist.admin.fault import FaultError
from mohist.admin.issue import moment
from mohist.admin.shape import Asked, Day, Searched, Told
from mohist.admin.turn import CHANGES, READS, Here, Operation
from mohist.gateway.register import Edit, Proposal
from mohist.policy.errors import RegisterError
from mohist.policy.register import Settings, as_mapping, entry_of

router = APIRouter(route_class=Operation, tags=["register"])

# One line of what can be read aloud: no controls, nothing unseen, no space at the ends.
_LINE = r"^([!-~]([ -~]{0,498}[!-~])?)?$"
Line = Annotated[str, StringConstraints(pattern=_LINE, max_length=500)]
EntryId = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$"),
    Path(description="Of the entry.", examples=["claude-code"]),
]
ProposalId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,80}$"), Path(description="Of the proposal.")]
Globs = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]], Field(max_length=100)]


class AskedConditions(Asked):
    """What must hold where a restricted tool is used."""

    governed: bool = Field(False, description="Only under `mohist govern`, or with a key that was made for the tool.")
    models: Globs = Field(default=[], description="Globs; empty: all.")
    not_repositories: Globs = Field(default=[], description="Globs of `host/owner/name`.")


class AskedEvidence(Asked):
    """What an entry rests on."""

    place: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,500}$")] = Field(examples=["vet/report.json"])
    digest: Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""


class NewEntry(Asked):
    """An entry as it is to be, whole."""

    tool: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")] = Field(examples=["claude-code"])
    versions: Line = Field("", description="A range; empty: all versions.", examples=["<2.1.197"])
    disposition: Literal["allowed", "restricted", "banned"] = Field(examples=["banned"])
    reason: Line = Field("", examples=["It marks prompts."])
    conditions: AskedConditions | None = Field(None, description="Of a restricted tool; at least one.")
    evidence: list[AskedEvidence] = Field(default=[], max_length=100)
    effective: Day | None = Field(None, description="The first day (UTC) on which it binds; null: at once.")
    expires: Day | None = Field(None, description="The first day on which it holds no more.")
    owner: Line = ""
    alternative: Line = Field("", description="A ban needs one.", examples=["qwen-code"])
    first_step: Line = Field("", description="A ban and a restriction need one.", examples=["mohist govern -- qwen"])


class NewSettings(Asked):
    """What holds of the register as a whole."""

    unlisted: Literal["allow", "deny"] = Field(description="Tools that no entry speaks of.")
    two_persons: bool = Field(description="A change is in force once somebody else approves it.")
    ask: Line = Field("", description="The first step for who needs a tool that is not listed.")


class ShownProposal(Told):
    """A change that waits for a second person, or waited."""

    proposal_id: str
    at: str
    user: str = Field(description="Who proposed it.")
    change: dict[str, Any] = Field(description="`set`, `removed`, `settings`: as it is to be.")
    before: dict[str, Any] = Field(description="What it changes, as it was.")
    decision: str = Field(description="`approved`, `withdrawn`; empty: it waits.")
    decided_by: str


class ShownRegister(Told):
    """What is in force; the machine's own file, where there is one, holds beside it."""

    settings: dict[str, Any]
    entries: list[dict[str, Any]] = Field(description="As the register's file has them.")
    waiting: list[ShownProposal]


class ShownChange(Told):
    """What became of a change."""

    in_force: bool
    proposal_id: str | None = Field(description="What waits for somebody else's approval; null: it is in force.")


class ShownUser(Told):
    """Somebody who called with what an entry warned of or refused."""

    entry: str
    user: str
    client: str
    warned: int
    refused: int
    last: str


class Users(Told):
    data: list[ShownUser]


class UserSearch(Searched):
    entry: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]{0,64}$")] = ""
    days: int = Field(30, ge=1, le=3660, description="So far back.")


@router.get("/register", summary="Show the software register", response_model=ShownRegister, **READS)
def show_register(here: Here) -> ShownRegister:
    """Which tools may be used, from when on, and what instead."""
    with here.desk.register(here.who) as store:
        register, waiting = store.register(), store.proposals()
    settings = register.settings
    return ShownRegister(
        settings={"unlisted": settings.unlisted, "two_persons": settings.two_persons, "ask": settings.ask},
        entries=[as_mapping(entry) for entry in register.entries],
        waiting=[_proposal(one) for one in waiting],
    )


@router.get("/register/users", summary="List who uses what is warned of or refused", response_model=Users, **READS)
def list_register_users(here: Here, asked: Annotated[UserSearch, Query()]) -> Users:
    """From the calls of this gateway."""
    with here.desk.register(here.who) as store:
        return Users(data=[ShownUser(**row) for row in store.users(asked.entry, asked.days)])


@router.put("/register/entries/{entry_id}", summary="Make or replace an entry", response_model=ShownChange, **CHANGES)
def set_register_entry(here: Here, entry_id: EntryId, asked: NewEntry) -> ShownChange:
    """An entry that does not hold together, such as a ban without an alternative, is a conflict."""
    try:
        entry = entry_of({"id": entry_id, **asked.model_dump(exclude_none=True)})
    except RegisterError as error:
        # Its text would repeat what was sent.
        raise FaultError(409, f"The entry does not hold together. {error.mend}".rstrip(), "body") from None
    return _change(here, Edit((entry,)))


@router.delete("/register/entries/{entry_id}", summary="Take an entry away", response_model=ShownChange, **CHANGES)
def remove_register_entry(here: Here, entry_id: EntryId) -> ShownChange:
    """What it said stays in the ledger."""
    return _change(here, Edit(removed=(entry_id,)))


@router.put("/register/settings", summary="Set what holds of the register", response_model=ShownChange, **CHANGES)
def set_register_settings(here: Here, asked: NewSettings) -> ShownChange:
    """Lifting the rule of two persons needs two, too."""
    return _change(here, Edit(settings=Settings(asked.unlisted, asked.two_persons, asked.ask)))


_APPROVE = "/register/proposals/{proposal_id}/approve"
_WITHDRAW = "/register/proposals/{proposal_id}/withdraw"


@router.post(_APPROVE, summary="Approve somebody else's change", response_model=ShownProposal, **CHANGES)
def approve_register_proposal(here: Here, proposal_id: ProposalId) -> ShownProposal:
    """The user of the key must be another than who proposed it."""
    with here.desk.register(here.who) as store:
        return _proposal(store.approve(proposal_id))


@router.post(_WITHDRAW, summary="End a proposed change unmade", response_model=ShownProposal, **CHANGES)
def withdraw_register_proposal(here: Here, proposal_id: ProposalId) -> ShownProposal:
    """One's own or somebody else's."""
    with here.desk.register(here.who) as store:
        return _proposal(store.withdraw(proposal_id))


def _change(here: Here, edit: Edit) -> ShownChange:
    with here.desk.register(here.who) as store:
        waiting = store.change(edit, ids=here.desk.ids)
    return ShownChange(in_force=waiting is None, proposal_id=None if waiting is None else waiting.proposal_id)


def _proposal(one: Proposal) -> ShownProposal:
    return ShownProposal(
        proposal_id=one.proposal_id,
        at=moment(one.at_ms),
        user=one.user,
        change=dict(one.edit),
        before=dict(one.before),
        decision=one.decision,
        decided_by=one.decided_by,
    )
