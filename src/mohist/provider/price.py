"""What a call cost: token classes, tiers by prompt size, days, hours, regions, service tiers.

All integers: prices in millionths of a US dollar per million tokens, costs in millionths of a US dollar, factors in
parts per million. A price that is not known stays unknown; it never counts as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from mohist.base import Clock, light_dataclass
from mohist.provider.message import Usage

_PER = 1_000_000

# Names by which answers say that nothing special was paid for: OpenAI `default`, Anthropic `standard`, Groq `on_demand`;
# a server may echo the request's `auto`.
_STANDARD = frozenset({"", "default", "standard", "on_demand", "auto"})
_GLOBAL = frozenset({"", "global", "not_available"})


@light_dataclass(frozen=True, slots=True)
class Terms:
    """How one call was served, where that changes its price."""

    service: str = ""
    """The service tier that the answer names, e.g. `priority`, `flex`, `batch`."""
    region: str = ""
    """Where it was served, as the answer says or else as the upstream is configured."""
    web_searches: int = 0
    """Searches that the vendor ran for the model, billed beside the tokens."""

    @property
    def special_service(self) -> str:
        """The tier, empty where it is the ordinary one."""
        return "" if self.service in _STANDARD else self.service

    @property
    def own_region(self) -> str:
        """The region, empty where it is anywhere."""
        return "" if self.region in _GLOBAL else self.region


PLAIN = Terms()
"""Nothing special."""


@light_dataclass(frozen=True, slots=True)
class Bill:
    """What one call cost and by which row."""

    cost_microusd: int | None
    """None: not known. With `unpriced` of tools alone it is the cost of the tokens."""
    row: str
    """The row's label; empty when there is none."""
    unpriced: tuple[str, ...] = ()
    """What was used and has no known price: token classes, `service:NAME`, `web_search`, or `model`."""
    list_cost_microusd: int | None = None
    """What it would have cost without a contract; None: not known."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices of a call whose prompt has more than `above_tokens` tokens; None: not known."""

    above_tokens: int
    input: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What another source says."""

    source: str
    date: str
    above_tokens: int
    token_class: str
    value: int
    factor: float | None
    """The larger number over the smaller; None when one is zero."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """The prices of one model at one provider, with where and when they were read."""

    tiers: tuple[Tier, ...]
    """Sorted by `above_tokens`, the first from 0. A call is billed whole at the tier its prompt falls in."""
    source: str
    date: str
    """Day the source was read, `YYYY-MM-DD`."""
    basis: Literal["vendor", "reseller", "configuration", "contract"] = "vendor"
    page: str = ""
    later: tuple[tuple[str, tuple[Tier, ...]], ...] = ()
    """Announced changes: from this day on (UTC), these tiers instead."""
    peak_windows_utc: tuple[tuple[str, str], ...] = ()
    """Hours of the day, `HH:MM` to `HH:MM`, at which `peak_tiers` hold."""
    peak_tiers: tuple[Tier, ...] = ()
    differs: tuple[Difference, ...] = ()
    region_ppm: Mapping[str, int] = field(default_factory=dict)
    """Factor on all tokens where a call is served in this region; other regions pay the plain price."""
    service_ppm: Mapping[str, int] = field(default_factory=dict)
    """Factor on all tokens by service tier; the price of a tier that is not here is unknown."""
    web_search_microusd: int | None = None
    """Price of one search."""

    @property
    def label(self) -> str:
        """How a call says by which row it was billed: `SOURCE DATE`."""
        return f"{self.source} {self.date}".strip()

    def bill(self, usage: Usage, *, at_ms: int, terms: Terms = PLAIN) -> Bill:
        """The cost of one call made at `at_ms`, rounded up, and what of it has no known price."""
        parts = _parts(usage, _reached(self._tiers_at(at_ms), usage.prompt_tokens))
        unpriced = [name for name, tokens, price in parts if tokens and price is None]
        factor_ppm = self.region_ppm.get(terms.own_region, _PER)
        if (service := terms.special_service) and usage.prompt_tokens + usage.output_tokens:
            if (service_ppm := self.service_ppm.get(service)) is None:
                unpriced.append(f"service:{service}")
            else:
                factor_ppm = factor_ppm * service_ppm // _PER
        cost = None if unpriced else _cost(parts, factor_ppm)
        if terms.web_searches:
            if self.web_search_microusd is None:
                unpriced.append("web_search")
            elif cost is not None:
                cost += terms.web_searches * self.web_search_microusd
        return Bill(cost, self.label, tuple(unpriced), cost)

    def cost_microusd(self, usage: Usage, *, at_ms: int | None = None, region: str = "") -> int | None:
        """Cost of one call's tokens, rounded up; None when a class that was used has no known price.

        Args:
            usage: tokens of the call.
            at_ms: when it was made; None: at the dearest hour of any day, so that a budget is never overdrawn.
            region: where it is served.
        """
        if at_ms is not None:
            sets = [self._tiers_at(at_ms)]
        else:
            sets = [tiers for tiers in (self.tiers, self.peak_tiers, *(tiers for _, tiers in self.later)) if tiers]
        factor_ppm = self.region_ppm.get(region, _PER)
        costs = [_cost(_parts(usage, _reached(tiers, usage.prompt_tokens)), factor_ppm) for tiers in sets]
        known = [cost for cost in costs if cost is not None]
        return max(known) if len(known) == len(costs) else None

    def _tiers_at(self, at_ms: int) -> tuple[Tier, ...]:
        moment = datetime.fromtimestamp(at_ms / 1000, UTC)
        changed = [tiers for start, tiers in self.later if moment.date().isoformat() >= start]
        if changed:
            return changed[-1]
        hour = moment.strftime("%H:%M")
        if any(_within(hour, start, end) for start, end in self.peak_windows_utc):
            return self.peak_tiers
        return self.tiers


def cost_microusd(usage: Usage, row: PriceRow | None, *, at_ms: int | None = None) -> int | None:
    """Like `PriceRow.cost_microusd`; None when there is no row."""
    return None if row is None else row.cost_microusd(usage, at_ms=at_ms)


def meter(row: PriceRow | None, clock: Clock) -> Callable[[Usage], int | None]:
    """A function that prices a call at the moment it is asked; what the adapters take as `price`."""
    return lambda usage: cost_microusd(usage, row, at_ms=clock.now_ms())


def price_row(data: Mapping[str, Any]) -> PriceRow:
    """The row from its form in the catalogue."""
    peak = data.get("peak", {})
    return PriceRow(
        tiers=_tiers(data["tiers"]),
        source=data["source"],
        date=data["date"],
        basis=data.get("basis", "vendor"),
        page=data.get("page", ""),
        later=tuple(sorted((change["from"], _tiers(change["tiers"])) for change in data.get("later", ()))),
        peak_windows_utc=tuple((start, end) for start, end in peak.get("windows_utc", ())),
        peak_tiers=_tiers(peak.get("tiers", ())),
        differs=tuple(
            Difference(row["source"], row["date"], row["above"], row["class"], row["value"], row.get("factor"))
            for row in data.get("differs", ())
        ),
        region_ppm=data.get("regions", {}),
        service_ppm=data.get("services", {}),
        web_search_microusd=data.get("web_search"),
    )


def _tiers(rows: Sequence[Mapping[str, int]]) -> tuple[Tier, ...]:
    tiers = [Tier(above_tokens=row["above"], **{k: v for k, v in row.items() if k != "above"}) for row in rows]
    return tuple(sorted(tiers, key=lambda tier: tier.above_tokens))


def _reached(tiers: tuple[Tier, ...], prompt_tokens: int) -> Tier:
    reached = tiers[0]
    for tier in tiers[1:]:
        if prompt_tokens > tier.above_tokens:
            reached = tier
    return reached


_Parts = tuple[tuple[str, int, int | None], ...]


def _parts(usage: Usage, tier: Tier) -> _Parts:
    """Class, tokens and price. Where a provider has one price for writing, it holds for an hour too."""
    hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    hour_price = tier.cache_write_5m if tier.cache_write_1h is None else tier.cache_write_1h
    return (
        ("input", usage.input_tokens, tier.input),
        ("cache_read", usage.cache_read_tokens, tier.cache_read),
        ("cache_write", usage.cache_write_tokens - hour, tier.cache_write_5m),
        ("cache_write_1h", hour, hour_price),
        ("output", usage.output_tokens, tier.output),
    )


def _cost(parts: _Parts, factor_ppm: int) -> int | None:
    total = 0
    for _, tokens, price in parts:
        if tokens == 0:
            continue
        if price is None:
            return None
        total += tokens * price
    return -(-total * factor_ppm // (_PER * _PER))


def _within(hour: str, start: str, end: str) -> bool:
    return start <= hour < end if start <= end else hour >= start or hour < end
