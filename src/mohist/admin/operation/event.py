"""Who changed what."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from mohist.admin.issue import moment
from mohist.admin.shape import Numbered, Page, Sought, Subject, Told
from mohist.admin.turn import READS, Here, Operation
from mohist.gateway.change import Action
from mohist.gateway.roster import change_page

router = APIRouter(route_class=Operation, tags=["events"])


class ShownEvent(Told):
    """One change of a key, a budget or the software register, made here, by the command line or by a program."""

    number: int = Field(description="Grows with each change; numbers may be missing.")
    at: str
    door: str = Field(description="`api`, `command` or `program`.")
    key_id: str = Field(description="Of who changed it; empty: it was nobody with a key.")
    user: str
    action: Action
    subject: Subject | Literal["register"]
    name: str
    detail: dict[str, Any] = Field(description="What it is now, or before and after.")


class EventPage(Told):
    data: list[ShownEvent]
    next: str | None = Field(description="Say it as `after` for the next page; null: this is the last.")


class EventSearch(Page):
    after: Numbered = ""
    subject: Subject | Literal["register"] | None = None
    name: Sought = ""
    order: Literal["newest", "oldest"] = Field("newest", description="Which comes first.")


@router.get("/events", summary="List changes of keys, budgets and the register", response_model=EventPage, **READS)
def list_events(here: Here, asked: Annotated[EventSearch, Query()]) -> EventPage:
    """No event is ever taken away. Model calls are no events; they are under `/calls`."""
    after = int(asked.after) if asked.after else None
    newest = asked.order == "newest"
    with here.desk.reading() as session:
        found = change_page(session, asked.subject or "", asked.name, after, asked.limit + 1, newest_first=newest)
    rows = [
        ShownEvent(
            number=change.number,
            at=moment(change.at_ms),
            door=change.door,
            key_id=change.key_id,
            user=change.user,
            action=change.action,
            subject=_subject(change.subject),
            name=change.name,
            detail=dict(change.detail),
        )
        for change in found[: asked.limit]
    ]
    return EventPage(data=rows, next=str(rows[-1].number) if len(found) > asked.limit else None)


def _subject(text: str) -> Any:
    return text
