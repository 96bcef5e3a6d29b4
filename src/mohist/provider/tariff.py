"""Which price row holds for a call: the list's, or a contract's for its days and region."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from mohist.provider.message import Usage
from mohist.provider.price import PLAIN, Bill, PriceRow, Terms


@dataclass(frozen=True, slots=True)
class Contract:
    """Prices that were agreed with a provider."""

    row: PriceRow
    provider: str
    model: str
    """As the provider names it, or a glob."""
    from_day: str
    """First day, `YYYY-MM-DD`, UTC."""
    until_day: str = ""
    """Last day; empty: open."""
    region: str = ""
    """Holds for upstreams of this region alone; empty: for all."""

    def covers(self, provider: str, model: str, region: str) -> bool:
        """Whether it is about this model there; on which days is another question."""
        return (
            provider == self.provider
            and (model == self.model or fnmatchcase(model, self.model))
            and self.region in ("", region)
        )

    def holds_on(self, day: str) -> bool:
        return self.from_day <= day and (not self.until_day or day <= self.until_day)


@dataclass(frozen=True, slots=True)
class Tariff:
    """All rows that one model at one upstream may be billed by."""

    listed: PriceRow | None = None
    """The catalogue's or the configuration's; None: it has none."""
    contracts: tuple[Contract, ...] = ()
    """In the order in which they win."""
    region: str = ""
    """Of the upstream."""

    def row_at(self, at_ms: int) -> PriceRow | None:
        """The row that holds at this moment; None when no price is known."""
        if not self.contracts:
            return self.listed
        day = f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
        return next((contract.row for contract in self.contracts if contract.holds_on(day)), self.listed)

    def bill(self, usage: Usage, *, at_ms: int, terms: Terms = PLAIN) -> Bill:
        """The cost of a call that was made at `at_ms`."""
        row = self.row_at(at_ms)
        if row is None:
            return Bill(None, "", ("model",))
        placed = terms if terms.own_region or not self.region else replace(terms, region=self.region)
        bill = row.bill(usage, at_ms=at_ms, terms=placed)
        if row is self.listed:
            return bill
        listed = None if self.listed is None else self.listed.bill(usage, at_ms=at_ms, terms=placed).cost_microusd
        return replace(bill, list_cost_microusd=listed)

    def dearest_microusd(self, usage: Usage, *, at_ms: int) -> int | None:
        """The most that these tokens can cost by the row that holds at this moment, for a hold; None: not known.

        A written prefix counts as kept for an hour, since nobody knows yet what the client will ask for.
        """
        row = self.row_at(at_ms)
        if row is None:
            return None
        if usage.cache_write_tokens:
            usage = replace(usage, cache_write_1h_tokens=usage.cache_write_tokens)
        return row.cost_microusd(usage, region=self.region)


def tariff(
    listed: PriceRow | None, contracts: Iterable[Contract], *, provider: str, model: str, region: str = ""
) -> Tariff:
    """The tariff of one model at one upstream.

    Contracts of the very region come before those of all, those that name the model before globs; among equals the one
    that began last wins.
    """
    covering = sorted(
        (contract for contract in contracts if contract.covers(provider, model, region)),
        key=lambda contract: contract.from_day,
        reverse=True,
    )
    covering.sort(key=lambda contract: (contract.region == "", contract.model != model))
    return Tariff(listed, tuple(covering), region)
