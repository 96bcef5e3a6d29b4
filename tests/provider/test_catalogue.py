"""The table of models that ships: whole, dated, and honest about its sources."""

from __future__ import annotations

import datetime as dt
import json
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest

from mohist.provider.catalogue import Catalogue, catalogue
from mohist.provider.message import Usage
from mohist.provider.price import Terms

TABLE: dict[str, Any] = json.loads(files("mohist.provider").joinpath("data", "catalogue.json").read_text("utf-8"))
NAMES = catalogue().model_names


def test_every_provider_that_is_promised_is_there() -> None:
    promised = {"anthropic", "openai", "qwen", "qwen-cn", "deepseek", "kimi", "glm", "doubao", "minimax"}
    assert promised <= set(catalogue().provider_names)
    assert all(catalogue().default_model(name) for name in promised)


@pytest.mark.parametrize("name", catalogue().provider_names)
def test_a_provider_has_an_https_address_with_no_door_and_a_key_variable(name: str) -> None:
    provider = catalogue().provider(name)
    assert provider is not None
    assert provider.key_env
    for url in provider.urls.values():
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert not parts.path.endswith(("/", "/chat/completions", "/messages"))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_can_answer_within_its_context(name: str) -> None:
    entry = catalogue().model(name)
    assert entry is not None
    assert 0 < entry.caps.output_tokens <= entry.caps.context_tokens


@pytest.mark.parametrize("name", NAMES)
def test_a_price_says_where_and_when_it_was_read_and_its_tiers_rise(name: str) -> None:
    entry = catalogue().model(name)
    assert entry is not None
    provider = catalogue().provider(entry.provider)
    assert provider is not None
    if provider.plan:
        assert entry.price is None, "a plan's quota has no price per token"
        return
    assert entry.price is not None
    assert entry.price.source
    assert dt.date.fromisoformat(entry.price.date) <= dt.date.fromisoformat(catalogue().generated)
    bounds = [tier.above_tokens for tier in entry.price.tiers]
    assert bounds[0] == 0
    assert bounds == sorted(set(bounds))
    for tier in entry.price.tiers:
        assert tier.input is not None
        assert tier.output is not None
        assert tier.cache_read is None or tier.cache_read <= tier.input


def test_prices_of_known_models_are_what_their_vendors_say() -> None:
    sonnet = catalogue().model("anthropic/claude-sonnet-5")
    assert sonnet is not None
    assert sonnet.price is not None
    [tier] = sonnet.price.tiers
    assert (tier.input, tier.cache_read, tier.cache_write_5m, tier.cache_write_1h, tier.output) == (
        2_000_000,
        200_000,
        2_500_000,
        4_000_000,
        10_000_000,
    )
    gpt = catalogue().model("openai/gpt-5.5")
    assert gpt is not None
    assert gpt.price is not None
    assert [tier.above_tokens for tier in gpt.price.tiers] == [0, 272_000]


def test_sources_that_differ_stay_visible_with_the_factor() -> None:
    entry = catalogue().model("deepseek/deepseek-v4-pro")
    assert entry is not None
    assert entry.price is not None
    cached = [row for row in entry.price.differs if row.token_class == "cache_read"]
    assert cached
    assert cached[0].source != entry.price.source
    chosen = entry.price.tiers[0].cache_read
    assert chosen is not None
    assert cached[0].factor == round(chosen / cached[0].value, 2)
    assert cached[0].factor > 6


def test_a_price_that_is_a_reseller_s_says_so() -> None:
    entry = catalogue().model("doubao/doubao-seed-2.0-code")
    assert entry is not None
    assert entry.price is not None
    assert entry.price.basis == "reseller"


def test_names_are_found_in_any_case_and_unknown_ones_are_none() -> None:
    entry = catalogue().model("MINIMAX/minimax-m3")
    assert entry is not None
    assert entry.name == "minimax/MiniMax-M3"
    assert catalogue().model("minimax/none") is None
    assert catalogue().provider("nobody") is None


def test_a_quirk_that_no_adapter_knows_is_an_error() -> None:
    table = json.loads(json.dumps(TABLE))
    table["providers"]["anthropic"]["quirks"] = ["levitates"]
    with pytest.raises(ValueError, match="levitates"):
        Catalogue(table).provider("anthropic")


def test_regions_service_tiers_and_searches_have_the_vendor_s_prices() -> None:
    noon_ms = 1_795_262_400_000
    usage = Usage(input_tokens=1000, output_tokens=100)

    def cost(name: str, terms: Terms) -> int | None:
        entry = catalogue().model(name)
        assert entry is not None
        assert entry.price is not None
        return entry.price.bill(usage, at_ms=noon_ms, terms=terms).cost_microusd

    assert cost("anthropic/claude-opus-5", Terms()) == 7_500
    assert cost("anthropic/claude-opus-5", Terms(region="us", web_searches=1)) == 8_250 + 10_000
    assert cost("anthropic/claude-haiku-4-5", Terms(region="us")) == cost("anthropic/claude-haiku-4-5", Terms())
    assert cost("openai/gpt-5.5", Terms(service="flex")) == 4_000
    assert cost("openai/gpt-5.5", Terms(service="priority")) == 20_000
    assert cost("openai/gpt-6.1-sol", Terms(service="priority")) is None
