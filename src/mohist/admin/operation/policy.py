"""The rules in force."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from mohist.admin.explain import decided
from mohist.admin.shape import Asked, Moment, Told, Whole
from mohist.admin.turn import READS, Here, Operation
from mohist.policy import describe_call

router = APIRouter(route_class=Operation, tags=["policy"])

Text = Annotated[str, StringConstraints(max_length=500)]
Stance = Literal["allow", "deny"]


class ShownRule(Told):
    id: str
    effect: str
    reason: str
    cedar: str
    reads: list[str] = Field(description="The facts of a call that it looks at.")
    examples: int


class ShownPolicy(Told):
    """The rules that model calls are decided by now."""

    in_force: bool = Field(description="false: there are no rules, and everything that a key may do is allowed.")
    since: str | None = Field(description="When this server took them over.")
    origin: str = Field(description="The file they were read from.")
    digest: str = Field(description="SHA-256 of that file.")
    default: Stance = Field(description="What becomes of a call that no rule speaks of.")
    timezone: str
    trouble: str = Field(description="Why the file's newest state is not in force; empty: it is.")
    rules: list[ShownRule]


class CalledUpstream(Asked):
    """Where a call would go."""

    name: Text | None = None
    vendor: Text | None = None
    region: Text | None = None
    data_class: Text | None = None
    self_hosted: bool | None = None
    model: Text | None = None


class Call(Asked):
    """A call to be decided; what is left out is unknown or empty."""

    user: Text | None = Field(None, examples=["ann"])
    team: Text | None = None
    project: Text | None = None
    key: Text | None = None
    client: Text | None = Field(None, examples=["claude-cli/2.1.330"])
    dialect: Text | None = None
    model: Text | None = Field(None, examples=["qwen3-coder"])
    tools: Annotated[list[Text], Field(max_length=1000)] | None = None
    vendor_tools: Annotated[list[Text], Field(max_length=1000)] | None = None
    stream: bool | None = None
    prompt_tokens: Whole | None = None
    session: Text | None = None
    at: Moment | None = Field(None, description="When; left out: now.")
    upstream: CalledUpstream | None = Field(None, description="Left out: each of the model's route.")


class DecidedUpstream(Told):
    upstream: str = Field(description="Empty: as it was described.")
    decision: Stance
    rules: list[str]
    reason: str


class Explanation(Told):
    """What becomes of a call."""

    decision: Stance
    upstreams: list[DecidedUpstream]
    digest: str = Field(description="Of the rules that decided; empty: there are none.")


@router.get("/policy", summary="Show the rules in force", response_model=ShownPolicy, **READS)
def show_policy(here: Here) -> ShownPolicy:
    """They are changed by their file."""
    warden = here.desk.warden
    book = warden.rulebook
    since = warden.since_ms
    return ShownPolicy(
        in_force=book is not None,
        since=None if book is None or since is None else _utc(since),
        origin="" if book is None else book.origin,
        digest="" if book is None else book.digest,
        default="allow" if book is None else book.default,
        timezone="UTC" if book is None else book.zone.key,
        trouble=warden.trouble,
        rules=[]
        if book is None
        else [
            ShownRule(
                id=rule.id,
                effect=rule.policy.effect,
                reason=rule.reason,
                cedar=rule.policy.text,
                reads=sorted(rule.policy.uses),
                examples=len(rule.examples),
            )
            for rule in book.rules
        ],
    )


@router.post("/policy/explain", summary="Ask what becomes of a call", response_model=Explanation, **READS)
def explain_policy(here: Here, asked: Call) -> Explanation:
    """Nothing is called and nothing changes. With a model that is routed and no upstream, each of the route's is
    decided."""
    table: dict[str, Any] = asked.model_dump(exclude_none=True)
    table["at"] = table.get("at") or datetime.fromtimestamp(here.desk.clock.now_ms() / 1000, UTC)
    call = describe_call(table, "the request")
    book = here.desk.warden.rulebook
    if book is None:
        return Explanation(decision="allow", upstreams=[], digest="")
    route = None if "upstream" in table else here.desk.router.table.find(call.model)
    rulings = decided(book, call, route)
    rows = [
        DecidedUpstream(
            upstream=name,
            decision="allow" if ruling.allowed else "deny",
            rules=list(ruling.rule_ids),
            reason=ruling.reason,
        )
        for name, ruling in rulings
    ]
    allowed = any(ruling.allowed for _, ruling in rulings)
    return Explanation(decision="allow" if allowed else "deny", upstreams=rows, digest=book.digest)


def _utc(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
