"""Prices that were agreed with a provider: `prices.toml`, read when the gateway starts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mohist.app.errors import ConfigError
from mohist.provider.price import PriceRow, Tier
from mohist.provider.tariff import Contract

MANAGED_PRICES = Path("/etc/mohist/prices.toml")
_MICRO = 1_000_000

Money = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Factor = Annotated[Decimal, Field(gt=0, le=1_000, allow_inf_nan=False)]
Hour = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TierTable(_Table):
    """Prices per million tokens of a call whose prompt has more than `above` tokens."""

    above: int = Field(0, ge=0)
    input: Money | None = None
    cache_read: Money | None = None
    cache_write: Money | None = None
    cache_write_1h: Money | None = None
    output: Money | None = None


class PeakTable(_Table):
    """Hours of the day (UTC) at which other prices hold."""

    windows_utc: tuple[tuple[Hour, Hour], ...] = Field(min_length=1)
    tiers: tuple[TierTable, ...] = Field(min_length=1)


class PriceEntry(_Table):
    """`[[prices]]`: one agreed row."""

    contract: str = Field(min_length=1, max_length=80)
    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    first_day: date = Field(alias="from")
    last_day: date | None = Field(None, alias="until")
    region: str = ""
    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    usd_rate: Factor | None = None
    tiers: tuple[TierTable, ...] = Field(min_length=1)
    peak: PeakTable | None = None
    regions: dict[str, Factor] = Field(default_factory=dict)
    services: dict[str, Factor] = Field(default_factory=dict)
    web_search: Money | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError("`until` is before `from`")
        if (self.currency != "USD") == (self.usd_rate is None):
            raise ValueError("`usd_rate`, the agreed dollars for one unit, goes with a currency other than USD")
        for tiers in (self.tiers, self.peak.tiers if self.peak else self.tiers):
            bounds = [tier.above for tier in tiers]
            if bounds[0] != 0 or sorted(set(bounds)) != bounds:
                raise ValueError("tiers go from `above = 0` upwards")
        return self

    def made(self) -> Contract:
        """The row in millionths of a dollar."""
        rate = self.usd_rate or Decimal(1)
        row = PriceRow(
            tiers=_tiers(self.tiers, rate),
            source=f"contract {self.contract}",
            date=self.first_day.isoformat(),
            basis="contract",
            peak_windows_utc=self.peak.windows_utc if self.peak else (),
            peak_tiers=_tiers(self.peak.tiers, rate) if self.peak else (),
            region_ppm={name: _micro(factor) for name, factor in self.regions.items()},
            service_ppm={name: _micro(factor) for name, factor in self.services.items()},
            web_search_microusd=None if self.web_search is None else _micro(self.web_search * rate),
        )
        until = self.last_day.isoformat() if self.last_day else ""
        return Contract(row, self.provider, self.model, self.first_day.isoformat(), until, self.region)


class PriceFile(_Table):
    """`prices.toml`."""

    prices: tuple[PriceEntry, ...] = ()


def contracts(home: Path, managed: Path = MANAGED_PRICES) -> tuple[Contract, ...]:
    """The agreed prices of the machine, or, where it has none, of this installation; ConfigError names what is wrong."""
    path = managed if managed.exists() else home / "prices.toml"
    if not path.exists():
        return ()
    try:
        table = PriceFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"The prices {str(path)!r} can't be read: {error}.", "See docs/gateway.md.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where!r}: {first['msg']}.", "See docs/gateway.md.") from None
    made = tuple(entry.made() for entry in table.prices)
    seen: set[tuple[str, ...]] = set()
    for contract in made:
        place = (contract.provider, contract.model, contract.region, contract.from_day)
        if place in seen:
            what = f"{path}: two rows for {contract.provider}/{contract.model} begin on {contract.from_day}."
            raise ConfigError(what, "Keep one; a row that begins later takes over from one that began before.")
        seen.add(place)
    return made


def check_providers(made: Iterable[Contract], names: Iterable[str]) -> None:
    """ConfigError for a contract with nobody that is called: it would silently price nothing."""
    known = sorted(set(names))
    for contract in made:
        if contract.provider not in known:
            raise ConfigError(
                f"{contract.row.label!r} is with {contract.provider!r}, which is no provider or upstream here.",
                f"Known: {', '.join(known)}.",
            )


def _tiers(tables: Iterable[TierTable], rate: Decimal) -> tuple[Tier, ...]:
    def micro(price: Decimal | None) -> int | None:
        return None if price is None else _micro(price * rate)

    return tuple(
        Tier(
            table.above,
            input=micro(table.input),
            cache_read=micro(table.cache_read),
            cache_write_5m=micro(table.cache_write),
            cache_write_1h=micro(table.cache_write_1h),
            output=micro(table.output),
        )
        for table in tables
    )


def _micro(value: Decimal) -> int:
    return int((value * _MICRO).to_integral_value(ROUND_HALF_EVEN))
