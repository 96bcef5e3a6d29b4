"""How the gateway is."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from mohist import __version__
from mohist.admin.shape import Role, Told
from mohist.admin.turn import READS, Here, Operation
from mohist.gateway.errors import StoreError

router = APIRouter(route_class=Operation, tags=["health"])


class Health(Told):
    """Of the process that answers."""

    status: Literal["ok", "degraded"] = Field(description="`degraded`: something below is not as it should be.")
    version: str
    database: str = Field(description="What is wrong with it; empty: nothing.")
    journal: str = Field(description="What keeps usage from being written down; empty: nothing.")
    backlog: int = Field(description="Finished calls that are not in the database yet.")
    policy: str = Field(description="Why the newest rules are not in force; empty: they are.")
    upstreams_away: list[str] = Field(description="Those whose circuit is not closed.")


class Self(Told):
    """Who asks."""

    key_id: str
    user: str
    roles: list[Role]


@router.get("/health", summary="Show how the gateway is", response_model=Health, **READS)
def show_health(here: Here) -> Health:
    """For a load balancer's question there is `/healthz`, which needs no key."""
    desk = here.desk
    database = ""
    try:
        with desk.reading():
            pass
    except StoreError:
        database = "it can't be reached"
    names = {upstream.name for route in desk.router.table.routes for upstream in route.upstreams}
    away = sorted(name for name in names if desk.router.state(name) != "closed")
    well = not (database or desk.gate.trouble or desk.warden.trouble)
    return Health(
        status="ok" if well else "degraded",
        version=__version__,
        database=database,
        journal=desk.gate.trouble,
        backlog=desk.gate.backlog,
        policy=desk.warden.trouble,
        upstreams_away=away,
    )


@router.get("/self", summary="Show who asks", response_model=Self, **READS)
def show_self(here: Here) -> Self:
    """The key of this request, as it is known here."""
    return Self(key_id=here.who.key_id, user=here.who.user, roles=list(here.who.roles))


@router.get(
    "/openapi.json",
    summary="Show this API's description",
    response_class=JSONResponse,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
    **READS,
)
def show_description(request: Request) -> Any:
    """OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())
