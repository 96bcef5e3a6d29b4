"""What the guard found, and what was let pass."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from mohist.admin.issue import moment
from mohist.admin.shape import Dated, Day, Dialect, Page, Searched, Told, ms_of
from mohist.admin.turn import READS, Here, Operation
from mohist.gateway.screen.archive import Archive
from mohist.guard.ruling import Action, Direction, Mode

router = APIRouter(route_class=Operation, tags=["guard"])


class ShownFinding(Told):
    """One finding, without what was found."""

    at: str
    call_id: str
    direction: Direction = Field(description="`out`: on its way to a model; `in`: in its answer.")
    mode: Mode = Field(description="`observe`: nothing was done; `action` is what would have been.")
    action: Action
    ruling: str = Field(description="The rule that decided.")
    released: str = Field(description="Who had let it pass; empty: nobody had.")
    alarm: bool
    detector: str
    rule: str = Field(description="Of the detector.", examples=["betterleaks.github-pat"])
    data_class: str = Field(examples=["secret.token"])
    confidence_percent: int
    digest: str = Field(description="Keyed hash of the value.")
    place: str = Field(examples=["the result of tool Read, message 3, line 4"])
    via: str = Field(description="Encodings that were looked through, outermost first.")
    dialect: Dialect
    client: str
    session_id: str
    model: str
    key_id: str
    user: str
    project: str
    team: str
    upstream: str
    vendor: str
    region: str
    self_hosted: bool


class FindingPage(Told):
    data: list[ShownFinding]
    next: str | None = Field(description="Say it as `after` for the next page; null: this is the last.")


class FindingSearch(Page):
    after: Dated = ""
    since: Day | None = Field(None, description="From this day on (UTC).")


class ShownRelease(Told):
    """A value that may pass, or might."""

    release_id: str
    digest: str
    rule: str = Field(description="Of a detector; empty: whichever finds the value.")
    at: str
    until: str | None = Field(description="Null: for good.")
    user: str = Field(description="Who let it pass.")
    because: str
    ended_at: str | None
    ended_by: str


class Releases(Told):
    data: list[ShownRelease]


class ReleaseSearch(Searched):
    over: bool = Field(False, description="Those too that are over.")


@router.get("/findings", summary="List what the guard found", response_model=FindingPage, **READS)
def list_findings(here: Here, asked: Annotated[FindingSearch, Query()]) -> FindingPage:
    """Newest first; once for each session, destination and outcome, and each time a call was stopped."""
    at_ms, _, finding_id = asked.after.partition(":")
    since_ms = 0 if asked.since is None else ms_of(asked.since)
    with Archive(here.desk.address) as archive:
        found = archive.list(since_ms, asked.limit + 1, (int(at_ms), finding_id) if finding_id else None)
    page = found[: asked.limit]
    rows = [
        ShownFinding(
            **{name: row[name] for name in ShownFinding.model_fields if name not in ("at", "alarm", "self_hosted")},
            at=moment(row["at_ms"]),
            alarm=bool(row["alarm"]),
            self_hosted=bool(row["self_hosted"]),
        )
        for row in page
    ]
    more = len(found) > asked.limit
    return FindingPage(data=rows, next=f"{page[-1]['at_ms']}:{page[-1]['finding_id']}" if more else None)


@router.get("/releases", summary="List what was let pass", response_model=Releases, **READS)
def list_releases(here: Here, asked: Annotated[ReleaseSearch, Query()]) -> Releases:
    """Made by `mohist guard release`. No release is ever taken away."""
    with Archive(here.desk.address) as archive:
        found = archive.releases(None if asked.over else here.desk.clock.now_ms())
    return Releases(
        data=[
            ShownRelease(
                release_id=one.release_id,
                digest=one.digest,
                rule=one.rule,
                at=moment(one.at_ms),
                until=None if one.until_ms is None else moment(one.until_ms),
                user=one.user,
                because=one.because,
                ended_at=None if one.ended_at_ms is None else moment(one.ended_at_ms),
                ended_by=one.ended_by,
            )
            for one in found
        ]
    )
