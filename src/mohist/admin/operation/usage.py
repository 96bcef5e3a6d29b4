"""What was used: sums, and single calls."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any, Literal, cast, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, StringConstraints

from mohist.admin.fault import FaultError
from mohist.admin.shape import Dated, Day, Page, Searched, Sought, Told, after_ms, ms_of
from mohist.admin.turn import READS, Here, Operation
from mohist.gateway.export import EXPORTED, shown, write_csv
from mohist.gateway.listing import DIMENSIONS, Filter, Total, calls, cursor, totals

router = APIRouter(route_class=Operation, tags=["usage"])

Dimension = Literal[
    "key", "user", "project", "team", "client", "session", "model", "asked", "dialect", "upstream", "provider", "region",
    "tier", "verdict", "rule", "price", "unpriced", "status", "day", "month",
]  # fmt: skip
assert set(get_args(Dimension)) == set(DIMENSIONS), "what usage is summed by is said in two places"

_SUMS = tuple(name for name in Total.__dataclass_fields__ if name != "names")
_CSV = "text/csv"
Names = Annotated[list[Sought], Field(max_length=100)]


class CallSearch(Searched):
    """Which calls: those that fit all that is said. Of one parameter said several times any fits; a name that ends in
    `*` is a beginning."""

    since: Day | None = Field(None, description="From this day on (UTC).")
    until: Day | None = Field(None, description="Up to and with this day (UTC).")
    key: Names = Field([])
    user: Names = Field([])
    project: Names = Field([])
    team: Names = Field([])
    client: Names = Field([], examples=[["claude-cli/*"]])
    session: Names = Field([])
    model: Names = Field([], description="Asked for or served.")
    upstream: Names = Field([])
    provider: Names = Field([])
    region: Names = Field([])
    dialect: Names = Field([])
    verdict: Names = Field([], description="`allowed`, or why not.")
    rule: Names = Field([])
    status: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[1-5]([0-9]{2}|xx)$")]], Field(max_length=50)
    ] = Field([], description="`404`, or `4xx`.")

    def chosen(self) -> Filter:
        """As the listing takes it."""
        names = {name: cast(list[str], getattr(self, name)) for name in _NAMES}
        return Filter(
            0 if self.since is None else ms_of(self.since),
            None if self.until is None else after_ms(self.until),
            {name: values for name, values in names.items() if values},
            self.status,
        )


_NAMES = tuple(name for name in CallSearch.model_fields if name not in ("since", "until", "status"))


class UsageSearch(CallSearch):
    by: Annotated[list[Dimension], Field(min_length=1, max_length=2)] = Field(
        ["model"], description="What the calls of a row share: one or two."
    )


class CallPageSearch(CallSearch, Page):
    after: Dated = ""
    order: Literal["newest", "oldest"] = Field("newest", description="Which comes first.")


class Sums(Told):
    """Calls that share `names`."""

    names: dict[str, str] = Field(description="By what was asked for as `by`.", examples=[{"user": "ann"}])
    calls: int
    refused: int = Field(description="Not made; part of `calls`.")
    failed: int = Field(description="Made, and ended in an error status; part of `calls`.")
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    web_searches: int
    cost_microusd: int = Field(description="Of what has a known price, in millionths of a US dollar.")
    list_cost_microusd: int
    unpriced: int = Field(description="Calls of which some part has no known price; `cost_microusd` lacks it.")
    cache_share: float | None


class UsageBody(Told):
    data: list[Sums]


class ShownCall(Told, extra="allow"):
    """One call; the columns are those of `mohist usage --calls --json`."""

    started_at: str
    call_id: str
    user: str
    key_id: str
    model_asked: str
    model_served: str
    status: int
    verdict: str
    cost_microusd: int | None


class CallPage(Told):
    data: list[ShownCall]
    next: str | None = Field(description="Say it as `after` for the next page; null: this is the last.")


_AS_CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {_CSV: {"schema": {"type": "string"}}},
        "description": "As JSON, or as CSV where `accept` asks for it.",
    }
}
Accept = Annotated[str, Header(description="`text/csv` for CSV.", include_in_schema=False)]


@router.get("/usage", summary="Sum up usage", response_model=UsageBody, responses=_AS_CSV, **READS)
def sum_usage(here: Here, asked: Annotated[UsageSearch, Query()], accept: Accept = "") -> Response:
    """The dearest first; by day and month the oldest."""
    by: list[str] = list(dict.fromkeys(asked.by))
    as_csv = _wants_csv(accept)
    with here.desk.reading() as session:
        found = totals(session, by, asked.chosen())
    rows = [_sums(total) for total in found]
    if as_csv:
        flat = [{**dict(zip(by, total.names, strict=True)), **row} for total, row in zip(found, rows, strict=True)]
        return _csv(flat, [*by, *_SUMS, "cache_share"], {})
    named = [{"names": dict(zip(by, total.names, strict=True)), **row} for total, row in zip(found, rows, strict=True)]
    return JSONResponse({"data": named})


@router.get("/calls", summary="List calls", response_model=CallPage, responses=_AS_CSV, **READS)
def list_calls(
    here: Here, asked: Annotated[CallPageSearch, Query()], request: Request, accept: Accept = ""
) -> Response:
    """A page of them, which the header `link` names the next of, for CSV too."""
    as_csv = _wants_csv(accept)
    with here.desk.reading() as session:
        order = asked.order == "newest"
        found = calls(session, asked.chosen(), newest_first=order, after=asked.after, limit=asked.limit + 1)
        rows = list(islice(found, asked.limit + 1))
    more = cursor(rows[asked.limit - 1]) if len(rows) > asked.limit else None
    headers = {} if more is None else {"link": f'<{_next(request, more)}>; rel="next"'}
    told = [shown(row) for row in rows[: asked.limit]]
    if as_csv:
        return _csv(told, EXPORTED, headers)
    return JSONResponse({"data": told, "next": more}, headers=headers)


def _wants_csv(accept: str) -> bool:
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")} - {""}
    if not kinds or kinds & {"application/json", "application/*", "*/*"}:
        return _CSV in kinds and "application/json" not in kinds
    if kinds & {_CSV, "text/*"}:
        return True
    raise FaultError(406, "There is application/json and text/csv.", "accept")


def _csv(rows: Sequence[dict[str, Any]], names: Sequence[str], headers: dict[str, str]) -> Response:
    file = io.StringIO()
    write_csv(rows, names, file)
    return Response(file.getvalue(), media_type=_CSV, headers=headers)


def _sums(total: Total) -> dict[str, Any]:
    row = asdict(total)
    del row["names"]
    return row | {"cache_share": None if total.cache_share is None else round(total.cache_share, 4)}


def _next(request: Request, after: str) -> str:
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
    return f"{request.url.path}?{urlencode([*asked, ('after', after)])}"
