"""What a call cost: four token classes, tiers by prompt size, prices that change by day and hour.

All integers: prices in millionths of a US dollar per million tokens, costs in millionths of a US dollar. A price
that is not known stays unknown; it never counts as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mohist.base import Clock
from mohist.provider.message import Usage

CacheLife = Literal["5m", "1h"]
"""How long a marked prefix is kept; where a provider has one price for writing, both mean that one."""

_PER = 1_000_000


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
    basis: Literal["vendor", "reseller", "configuration"] = "vendor"
    page: str = ""
    later: tuple[tuple[str, tuple[Tier, ...]], ...] = ()
    """Announced changes: from this day on (UTC), these tiers instead."""
    peak_windows_utc: tuple[tuple[str, str], ...] = ()
    """Hours of the day, `HH:MM` to `HH:MM`, at which `peak_tiers` hold."""
    peak_tiers: tuple[Tier, ...] = ()
    differs: tuple[Difference, ...] = ()

    def cost_microusd(self, usage: Usage, *, at_ms: int | None = None, cache_life: CacheLife = "5m") -> int | None:
        """Cost of one call, rounded up; None when a class that was used has no known price.

        Args:
            usage: tokens of the call.
            at_ms: when it was made; None: at the dearest hour of any day, so that a budget is never overdrawn.
            cache_life: of the prefixes that were written.
        """
        if at_ms is not None:
            sets = [self._tiers_at(at_ms)]
        else:
            sets = [tiers for tiers in (self.tiers, self.peak_tiers, *(tiers for _, tiers in self.later)) if tiers]
        costs = [_cost(usage, _reached(tiers, usage.prompt_tokens), cache_life) for tiers in sets]
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


def cost_microusd(
    usage: Usage, row: PriceRow | None, *, at_ms: int | None = None, cache_life: CacheLife = "5m"
) -> int | None:
    """Like `PriceRow.cost_microusd`; None when there is no row."""
    return None if row is None else row.cost_microusd(usage, at_ms=at_ms, cache_life=cache_life)


def meter(row: PriceRow | None, clock: Clock, *, cache_life: CacheLife = "5m") -> Callable[[Usage], int | None]:
    """A function that prices a call at the moment it is asked; what the adapters take as `price`."""
    return lambda usage: cost_microusd(usage, row, at_ms=clock.now_ms(), cache_life=cache_life)


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


def _cost(usage: Usage, tier: Tier, cache_life: CacheLife) -> int | None:
    write = tier.cache_write_5m
    if cache_life == "1h" and tier.cache_write_1h is not None:
        write = tier.cache_write_1h
    total = 0
    for tokens, price in (
        (usage.input_tokens, tier.input),
        (usage.cache_read_tokens, tier.cache_read),
        (usage.cache_write_tokens, write),
        (usage.output_tokens, tier.output),
    ):
        if tokens == 0:
            continue
        if price is None:
            return None
        total += tokens * price
    return -(-total // _PER)


def _within(hour: str, start: str, end: str) -> bool:
    return start <= hour < end if start <= end else hour >= start or hour < end
