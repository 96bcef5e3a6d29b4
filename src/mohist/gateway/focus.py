"""Usage in the columns of FOCUS, the FinOps Open Cost and Usage Specification.

Version 1.2, whose mandatory columns are all here, with the conditional ones that fit
(https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec/tree/v1.2/specification/columns, read 2026-11-22).
One row stands for the calls of one day that share key, model, upstream and price. Names that begin with `x_` are our own, as the
specification has it. A cost can't be null there and must not be 0 for unknown: rows without any known cost are left out,
and where a row lacks the cost of some calls, or of a part of them, `x_UnpricedCalls` counts these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from mohist.gateway.database import Session
from mohist.gateway.listing import Filter, Total, totals

VERSION: Final = "1.2"
_BY: Final = (
    "day",
    "provider",
    "upstream",
    "model",
    "region",
    "tier",
    "price",
    "unpriced",
    "key",
    "user",
    "project",
    "team",
)
_MICRO: Final = Decimal(1_000_000)

COLUMNS: Final = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_Calls",
    "x_UnpricedCalls",
    "x_InputTokens",
    "x_CacheReadTokens",
    "x_CacheWriteTokens",
    "x_CacheWrite1hTokens",
    "x_OutputTokens",
    "x_WebSearches",
    "x_ServiceTier",
)


def focus_rows(
    session: Session,
    chosen: Filter,
    title: Callable[[str], str] = str,
    lacking: Callable[[int], None] = lambda _calls: None,
) -> Iterator[dict[str, Any]]:
    """The charges of the calls that reached an upstream, oldest first.

    Args:
        session: the database.
        chosen: which calls.
        title: how people call a provider, by its name in the catalogue.
        lacking: told how many calls there are whose cost is not known, or only in part.
    """
    for total in totals(session, _BY, chosen, oldest_first=True):
        facts = dict(zip(_BY, total.names, strict=True))
        if not facts["upstream"]:
            continue
        if total.unpriced:
            lacking(total.unpriced)
        if total.cost_microusd or not total.unpriced:
            yield _row(facts, total, title)


def _row(facts: dict[str, str], total: Total, title: Callable[[str], str]) -> dict[str, Any]:
    day = date.fromisoformat(facts["day"])
    month = day.replace(day=1)
    after = (month + timedelta(days=32)).replace(day=1)
    seller = title(facts["provider"]) if facts["provider"] else facts["upstream"]
    cost = _usd(total.cost_microusd)
    quantity = total.prompt_tokens + total.output_tokens
    tags = {name: facts[name] for name in ("key", "user", "project", "team") if facts[name]}
    return {
        "BilledCost": cost,
        "BillingAccountId": facts["upstream"],
        "BillingAccountName": None,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _moment(after),
        "BillingPeriodStart": _moment(month),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"{total.calls - total.refused} calls of {facts['model'] or 'an unnamed model'}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _moment(day + timedelta(days=1)),
        "ChargePeriodStart": _moment(day),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": seller,
        "ListCost": _usd(total.list_cost_microusd),
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": "Tokens",
        "ProviderName": seller,
        "PublisherName": seller,
        "RegionId": facts["region"] or None,
        "RegionName": facts["region"] or None,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": f"{seller} models",
        "ServiceSubcategory": "Generative AI",
        "SkuId": "/".join(filter(None, (facts["provider"], facts["model"]))) or None,
        "SkuMeter": "Tokens",
        "SkuPriceId": facts["price"] or None,
        "SubAccountId": facts["project"] or facts["team"] or None,
        "SubAccountName": facts["project"] or facts["team"] or None,
        "Tags": json.dumps(tags, sort_keys=True) if tags else None,
        "x_Calls": total.calls - total.refused,
        "x_UnpricedCalls": total.unpriced,
        "x_InputTokens": total.input_tokens,
        "x_CacheReadTokens": total.cache_read_tokens,
        "x_CacheWriteTokens": total.cache_write_tokens,
        "x_CacheWrite1hTokens": total.cache_write_1h_tokens,
        "x_OutputTokens": total.output_tokens,
        "x_WebSearches": total.web_searches,
        "x_ServiceTier": facts["tier"] or None,
    }


def _usd(microusd: int) -> str:
    return f"{Decimal(microusd) / _MICRO:f}"


def _moment(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
