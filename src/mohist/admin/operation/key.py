"""Virtual keys."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import Field, StringConstraints

from mohist.admin.issue import Order, issue, key_row, roles_of, rotate
from mohist.admin.shape import (
    Asked,
    Dated,
    Dialect,
    Glob,
    Hours,
    KeyId,
    Moment,
    Name,
    Page,
    Period,
    Role,
    Sought,
    Told,
    Whole,
    check_match,
    moment_ms,
    tag,
)
from mohist.admin.turn import CHANGES, READS, Here, Operation
from mohist.gateway.key import Key
from mohist.gateway.roster import KeyFilter, key_page
from mohist.gateway.store import Token

router = APIRouter(route_class=Operation, tags=["keys"])

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag that was read: 412 when somebody changed it since.", max_length=300),
]


class KeyBudget(Asked):
    """A limit of the new key."""

    period: Period
    limit_microusd: Whole | None = Field(None, description="Millionths of a US dollar.")
    limit_tokens: Whole | None = None
    allow_unpriced: bool = Field(False, description="Let models without a known price pass the money limit.")


class NewKey(Asked):
    """What a new key is to be."""

    user: Name = Field(description="Who it is for: a person, a service, a CI.", examples=["ann"])
    project: Name | None = None
    team: Name | None = None
    roles: list[Role] = Field(
        default=["caller"],
        min_length=1,
        max_length=3,
        description="`caller` calls models, `auditor` reads this API, `admin` changes things by it.",
    )
    models: list[Glob] = Field(default=[], max_length=100, description="Globs; empty: all.", examples=[["qwen*"]])
    clients: list[Glob] = Field(default=[], max_length=100, description="Globs; empty: all.")
    dialects: list[Dialect] = Field(default=[], max_length=3, description="Empty: all.")
    expires_at: Moment | None = Field(None, description="When it ends by itself.")
    requests_per_minute: Whole | None = None
    tokens_per_minute: Whole | None = None
    tool: Glob | None = Field(
        None,
        description="The tool that it is made for, with its version: the software register holds its calls for that "
        "tool's, governed, whatever the client says of itself.",
        examples=["qwen-code@0.24.4"],
    )
    repository: Glob | None = Field(None, description="What that tool's project is called: `host/owner/name`.")
    budgets: list[KeyBudget] = Field(
        default=[], max_length=3, description="Of the key itself, the last of a period wins."
    )


class KeyChange(Asked):
    """What is to change; what is left out stays, null takes a limit away."""

    models: list[Glob] | None = Field(None, max_length=100)
    clients: list[Glob] | None = Field(None, max_length=100)
    dialects: list[Dialect] | None = Field(None, max_length=3)
    expires_at: Moment | None = None
    requests_per_minute: Whole | None = Field(None, examples=[60])
    tokens_per_minute: Whole | None = None


class Rotation(Asked):
    grace_hours: Hours = Field(0, description="The old secret works so long.")


class ShownKey(Told):
    """A key; its secret is not kept."""

    key_id: str = Field(examples=["key-01jd0000000000000a"])
    status: Literal["active", "expired", "revoked"]
    user: str = Field(examples=["ann"])
    project: str = Field(examples=["shop"])
    team: str = Field(examples=["core"])
    roles: list[Role] = Field(examples=[["caller"]])
    models: list[str] = Field(examples=[["qwen*"]])
    clients: list[str] = Field(examples=[[]])
    dialects: list[Dialect] = Field(examples=[[]])
    created_at: str = Field(examples=["2026-11-01T09:00:00Z"])
    expires_at: str | None
    revoked_at: str | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    tool: str
    repository: str


class IssuedKey(ShownKey):
    """A key with its secret, which is never shown again."""

    secret: str | None = Field(description="null: this request came a second time; the first answer had it.")


class KeyPage(Told):
    data: list[ShownKey]
    next: str | None = Field(description="Say it as `after` for the next page; null: this is the last.")


class KeySearch(Page):
    after: Dated = ""
    user: Sought = ""
    project: Sought = ""
    team: Sought = ""
    role: Role | None = None
    status: Literal["active", "expired", "revoked"] | None = None


@router.get("/keys", summary="List keys", response_model=KeyPage, **READS)
def list_keys(here: Here, asked: Annotated[KeySearch, Query()]) -> KeyPage:
    """Oldest first, revoked and expired ones too."""
    now_ms = here.desk.clock.now_ms()
    moment, _, key_id = asked.after.partition(":")
    after = (int(moment), key_id) if moment else None
    chosen = KeyFilter(asked.user, asked.project, asked.team, asked.role or "", asked.status)
    with here.desk.reading() as session:
        keys = key_page(session, chosen, now_ms, after, asked.limit + 1)
    more = len(keys) > asked.limit
    last = keys[asked.limit - 1] if more else None
    rows = [ShownKey(**key_row(key, now_ms)) for key in keys[: asked.limit]]
    return KeyPage(data=rows, next=None if last is None else f"{last.created_at_ms}:{last.key_id}")


@router.post("/keys", summary="Make a key", status_code=201, response_model=IssuedKey, **CHANGES)
def create_key(
    here: Here,
    asked: NewKey,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="A name for this request. Sent again within a day it makes no second key: the first is shown, "
            "without its secret. Another request by this name is 409.",
        ),
        StringConstraints(pattern=r"^[!-~]{1,200}$"),
    ] = None,
) -> IssuedKey:
    """The answer holds the secret; it is not shown again."""
    order = Order(
        user=asked.user,
        project=asked.project or "",
        team=asked.team or "",
        roles=roles_of(asked.roles),
        models=tuple(asked.models),
        clients=tuple(asked.clients),
        dialects=tuple(asked.dialects),
        expires_at_ms=moment_ms(asked.expires_at),
        requests_per_minute=asked.requests_per_minute,
        tokens_per_minute=asked.tokens_per_minute,
        budgets=tuple((one.period, one.limit_microusd, one.limit_tokens, one.allow_unpriced) for one in asked.budgets),
        tool=asked.tool or "",
        repository=asked.repository or "",
    )
    token = None
    if idempotency_key is not None:
        digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
        token = Token(here.who.key_id, idempotency_key, digest)
    with here.desk.writing(here.who) as store:
        made = issue(store, order, here.desk.clock, here.desk.ids, token)
    row = key_row(made.key, here.desk.clock.now_ms())
    response.headers["etag"] = tag(row)
    response.headers["location"] = f"/admin/v1/keys/{made.key.key_id}"
    return IssuedKey(**row, secret=made.secret or None)


@router.get("/keys/{key_id}", summary="Show a key", response_model=ShownKey, **READS)
def show_key(here: Here, key_id: KeyId, response: Response) -> ShownKey:
    """Its ETag is for `If-Match` of a change."""
    with here.desk.writing(here.who) as store:
        return _shown(here, store.key(key_id), response)


@router.patch("/keys/{key_id}", summary="Change a key's limits", response_model=ShownKey, **CHANGES)
def change_key(here: Here, key_id: KeyId, asked: KeyChange, response: Response, if_match: IfMatch = None) -> ShownKey:
    """Running servers follow within a second. A key's user, project, team and roles stay what they are."""

    def edited(key: Key) -> Key:
        check_match(if_match, key_row(key, here.desk.clock.now_ms()))
        said = asked.model_fields_set
        changes: dict[str, Any] = {
            name: getattr(asked, name) for name in ("requests_per_minute", "tokens_per_minute") if name in said
        }
        changes |= {
            name: tuple(getattr(asked, name) or ()) for name in ("models", "clients", "dialects") if name in said
        }
        changes |= {"expires_at_ms": moment_ms(asked.expires_at)} if "expires_at" in said else {}
        return replace(key, **changes)

    with here.desk.writing(here.who) as store:
        return _shown(here, store.change_key(key_id, edited), response)


@router.post("/keys/{key_id}/rotate", summary="Give a key a new secret", response_model=IssuedKey, **CHANGES)
def rotate_key(here: Here, key_id: KeyId, asked: Rotation) -> IssuedKey:
    """Its id, budgets and what it spent stay. The answer holds the secret; it is not shown again."""
    with here.desk.writing(here.who) as store:
        made = rotate(store, key_id, here.desk.clock, asked.grace_hours)
    return IssuedKey(**key_row(made.key, here.desk.clock.now_ms()), secret=made.secret)


@router.post("/keys/{key_id}/revoke", summary="End a key for good", response_model=ShownKey, **CHANGES)
def revoke_key(here: Here, key_id: KeyId, response: Response) -> ShownKey:
    """Running servers refuse it within a second, and cut its calls under way. Done again it does nothing."""
    with here.desk.writing(here.who) as store:
        return _shown(here, store.revoke_key(key_id, here.desk.clock.now_ms()), response)


def _shown(here: Here, key: Key, response: Response) -> ShownKey:
    row = key_row(key, here.desk.clock.now_ms())
    response.headers["etag"] = tag(row)
    return ShownKey(**row)
