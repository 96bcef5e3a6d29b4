"""Routes with the health of their upstreams, and prices."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter, Query
from pydantic import Field

from mohist.admin.fault import FaultError
from mohist.admin.shape import Dialect, Numbered, Page, Searched, Sought, Told
from mohist.admin.turn import READS, Here, Operation
from mohist.gateway.route import Router, Upstream
from mohist.provider.price import PriceRow, Tier

router = APIRouter(route_class=Operation, tags=["routes"])

State = Literal["closed", "open", "resting", "probing"]


class ShownUpstream(Told):
    """One endpoint; its key is not shown."""

    name: str
    dialect: Dialect
    address: str
    provider: str
    model: str = Field(description="What it calls the model; empty: as the client asked.")
    account: str
    region: str
    data_class: str
    self_hosted: bool
    weight: int
    state: State = Field(description="Of its circuit, in the process that answers: closed when it is called.")
    rest_s: float = Field(description="So long it asked to be left alone.")


class ShownRoute(Told):
    """A model name or glob, and who serves it, in order."""

    model: str
    spread: bool
    upstreams: list[ShownUpstream]


class RoutePage(Told):
    data: list[ShownRoute]
    next: str | None = Field(description="Say it as `after` for the next page; null: this is the last.")


class RouteSearch(Page):
    after: Numbered = ""
    model: Sought = Field("", description="The route that serves this model.")


class PriceSearch(Searched):
    model: Annotated[Sought, Field(min_length=1)] = Field(
        description="As clients ask for it.", examples=["qwen3-coder"]
    )


class ShownTier(Told):
    """Millionths of a US dollar per million tokens, of calls whose prompt is longer than `above_tokens`; null: not
    known."""

    above_tokens: int
    input: int | None
    cache_read: int | None
    cache_write_5m: int | None
    cache_write_1h: int | None
    output: int | None


class ShownPrice(Told):
    """One row that calls are billed by."""

    label: str = Field(description="How a call names it.")
    basis: str = Field(description="`contract`, or where the list price was read.")
    tiers: list[ShownTier]
    peak_windows_utc: list[tuple[str, str]]
    peak_tiers: list[ShownTier]
    region_ppm: dict[str, int]
    service_ppm: dict[str, int]
    web_search_microusd: int | None
    from_day: str = Field(description="Of a contract.")
    until_day: str = Field(description="Of a contract; empty: open.")


class UpstreamPrice(Told):
    """What a model costs at one upstream."""

    upstream: str
    model: str = Field(description="As the upstream calls it.")
    in_force: str = Field(description="Label of the row that holds now; empty: no price is known.")
    contracts: list[ShownPrice]
    listed: ShownPrice | None


class PriceBody(Told):
    data: list[UpstreamPrice]


@router.get("/routes", summary="List routes and their health", response_model=RoutePage, **READS)
def list_routes(here: Here, asked: Annotated[RouteSearch, Query()]) -> RoutePage:
    """In the order of the route file, which is where they are changed."""
    table = here.desk.router.table
    start = int(asked.after or 0)
    routes = list(table.routes)
    if asked.model:
        found = table.find(asked.model)
        routes = [] if found is None else [found]
    end = start + asked.limit
    rows = [
        ShownRoute(
            model=route.model,
            spread=route.spread,
            upstreams=[_upstream(here.desk.router, upstream) for upstream in route.upstreams],
        )
        for route in routes[start:end]
    ]
    return RoutePage(data=rows, next=str(end) if end < len(routes) else None)


@router.get("/prices", summary="Show what a model costs", response_model=PriceBody, **READS)
def show_prices(here: Here, asked: Annotated[PriceSearch, Query()]) -> PriceBody:
    """At each upstream of its route, contracts first, as they win."""
    route = here.desk.router.table.find(asked.model)
    if route is None:
        raise FaultError(404, "No route serves this model.", "model")
    now_ms = here.desk.clock.now_ms()
    rows = []
    for upstream in route.upstreams:
        model = upstream.model or asked.model
        tariff = here.desk.prices(upstream, model)
        holds = tariff.row_at(now_ms)
        rows.append(
            UpstreamPrice(
                upstream=upstream.name,
                model=model,
                in_force="" if holds is None else holds.label,
                contracts=[_price(one.row, one.from_day, one.until_day) for one in tariff.contracts],
                listed=None if tariff.listed is None else _price(tariff.listed),
            )
        )
    return PriceBody(data=rows)


def _upstream(router: Router, upstream: Upstream) -> ShownUpstream:
    return ShownUpstream(
        name=upstream.name,
        dialect=upstream.dialect,
        address=_address(upstream.base_url),
        provider=upstream.provider,
        model=upstream.model,
        account=upstream.account,
        region=upstream.region,
        data_class=upstream.data_class,
        self_hosted=upstream.self_hosted,
        weight=upstream.weight,
        state=router.state(upstream.name),
        rest_s=round(router.rest_s(upstream), 1),
    )


def _address(url: str) -> str:
    """Without what may be a secret: a user and password, a query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _price(row: PriceRow, from_day: str = "", until_day: str = "") -> ShownPrice:
    return ShownPrice(
        label=row.label,
        basis=row.basis,
        tiers=_tiers(row.tiers),
        peak_windows_utc=list(row.peak_windows_utc),
        peak_tiers=_tiers(row.peak_tiers),
        region_ppm=dict(row.region_ppm),
        service_ppm=dict(row.service_ppm),
        web_search_microusd=row.web_search_microusd,
        from_day=from_day,
        until_day=until_day,
    )


def _tiers(tiers: tuple[Tier, ...]) -> list[ShownTier]:
    names: tuple[Any, ...] = tuple(ShownTier.model_fields)
    return [ShownTier(**{name: getattr(tier, name) for name in names}) for tier in tiers]
