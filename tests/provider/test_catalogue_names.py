"""What people may call a model, and what they hear when they misspell it."""

from __future__ import annotations

import secrets

import pytest

from mohist.base import ExitCode
from mohist.provider.catalogue import catalogue
from mohist.provider.errors import ModelNameError, NoModelError
from mohist.provider.price import PriceRow, Tier
from mohist.provider.resolution import URL_KEY_ENV, Endpoint, nearest, resolve

KEY = secrets.token_hex(16)
ALL_KEYS = {name: KEY for entry in catalogue().providers() for name in entry.key_env}


@pytest.mark.parametrize("name", catalogue().model_names)
def test_every_model_of_the_catalogue_resolves_by_its_name(name: str) -> None:
    found = resolve(name, ALL_KEYS)
    assert found.name == name
    assert found.wire
    assert found.key_env in ALL_KEYS
    assert found.base_url.startswith("https://")


def test_a_model_s_name_alone_is_enough_when_one_provider_has_it() -> None:
    assert resolve("claude-sonnet-5", ALL_KEYS).name == "anthropic/claude-sonnet-5"


def test_a_provider_of_one_s_own_goes_before_its_regions_and_plans() -> None:
    assert resolve("glm-5.2", ALL_KEYS).provider == "glm"


def test_a_region_is_taken_when_only_its_key_is_set() -> None:
    assert resolve("glm-5.2", {"ZHIPU_API_KEY": KEY}).provider in ("glm", "glm-cn")
    assert resolve("qwen3.7-max", {"ALIBABA_CODING_PLAN_API_KEY": KEY}).provider == "qwen-coding"


def test_a_provider_s_name_alone_means_its_default_model() -> None:
    found = resolve("deepseek", ALL_KEYS)
    assert found.name == "deepseek/deepseek-v4-pro"


def test_a_wire_name_that_differs_from_the_shown_one_is_sent() -> None:
    found = resolve("doubao/doubao-seed-2.0-code", ALL_KEYS)
    assert found.wire == "doubao-seed-2-0-code-preview-260215"
    assert any("reseller" in note for note in found.notes)


def test_an_open_provider_takes_any_name_and_says_that_nothing_is_known() -> None:
    found = resolve("openrouter/qwen/qwen3-coder", ALL_KEYS)
    assert (found.wire, found.price) == ("qwen/qwen3-coder", None)
    assert found.notes


def test_the_key_is_read_anew_and_never_shown() -> None:
    env = {"ANTHROPIC_API_KEY": KEY}
    found = resolve("anthropic", env)
    secret = found.key(env)
    assert secret is not None
    renewed = secrets.token_hex(16)
    env["ANTHROPIC_API_KEY"] = renewed
    assert secret.reveal() == renewed
    assert KEY not in repr(found) + repr(secret)


def test_a_missing_key_names_its_variable_and_ends_with_five() -> None:
    with pytest.raises(NoModelError, match="ANTHROPIC_API_KEY is not set") as caught:
        resolve("anthropic/claude-sonnet-5", {"ANTHROPIC_API_KEY": "  "})
    assert caught.value.exit_code is ExitCode.NO_MODEL


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("claude-sonet-5", "anthropic/claude-sonnet-5"),
        ("anthropic/claude-sonnet5", "anthropic/claude-sonnet-5"),
        ("deepsek", "deepseek"),
        ("qwen/qwen3.7max", "qwen/qwen3.7-max"),
        ("ofice/big", "office"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(typo: str, meant: str) -> None:
    with pytest.raises(ModelNameError) as caught:
        resolve(typo, ALL_KEYS, {"office": Endpoint("office", "https://models.example.com/v1")})
    assert meant in caught.value.mend
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_model_newer_than_the_catalogue_is_reached_by_the_address_that_the_error_names() -> None:
    with pytest.raises(ModelNameError) as caught:
        resolve("openai/gpt-99", ALL_KEYS)
    address = caught.value.mend.rpartition(" ")[2].rstrip(".")
    found = resolve(address, ALL_KEYS)
    assert (found.provider, found.wire, found.key_env) == ("openai", "gpt-99", "OPENAI_API_KEY")
    assert found.caps.quirks == resolve("openai", ALL_KEYS).caps.quirks


@pytest.mark.parametrize(
    ("text", "url", "dialect", "wire"),
    [
        ("http://localhost:8000/v1#m", "http://localhost:8000/v1", "openai-chat", "m"),
        ("http://localhost:8000", "http://localhost:8000/v1", "openai-chat", ""),
        ("http://127.0.0.1:9/v1/chat/completions#a/b", "http://127.0.0.1:9/v1", "openai-chat", "a/b"),
        ("https://x.example/anthropic/v1/messages#m", "https://x.example/anthropic/v1", "anthropic-messages", "m"),
        ("anthropic+https://x.example/v1#m", "https://x.example/v1", "anthropic-messages", "m"),
        ("https://api.deepseek.com#deepseek-v9", "https://api.deepseek.com/v1", "openai-chat", "deepseek-v9"),
    ],
)
def test_a_url_is_a_model(text: str, url: str, dialect: str, wire: str) -> None:
    found = resolve(text, ALL_KEYS)
    assert (found.base_url, found.dialect, found.wire) == (url, dialect, wire)
    assert found.notes, "what was guessed is said"


def test_a_key_never_goes_to_an_address_it_was_not_made_for() -> None:
    assert resolve("https://elsewhere.example/v1#gpt-5.5", ALL_KEYS).key_env is None
    assert resolve("https://elsewhere.example/v1#m", {URL_KEY_ENV: KEY}).key_env == URL_KEY_ENV
    assert resolve("https://api.openai.com.evil.example/v1#gpt-5.5", ALL_KEYS).key_env is None
    assert resolve("https://api.deepseek.com.evil.example#deepseek-v4-pro", ALL_KEYS).key_env is None
    assert resolve("https://api.deepseek.com/v1/../evil#deepseek-v4-pro", ALL_KEYS).key_env is None
    assert resolve("http://api.openai.com/v1#gpt-5.5", ALL_KEYS).key_env is None, "not over an open wire"


def test_an_open_wire_to_another_machine_is_said() -> None:
    assert any("not encrypted" in note for note in resolve("http://10.1.2.3:8000/v1#m", {}).notes)
    assert not any("not encrypted" in note for note in resolve("http://localhost:8000/v1#m", {}).notes)


@pytest.mark.parametrize(
    "text", ["ftp://x/v1", "https://", "http://h:99999/v1", "vertex+https://x/v1", "https://x/v1?a=b"]
)
def test_a_url_that_can_t_be_one_is_refused(text: str) -> None:
    with pytest.raises(ModelNameError):
        resolve(text, {})


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ModelNameError) as caught:
        resolve(f"https://me:{KEY}@x.example/v1", {})
    assert KEY not in str(caught.value)


def test_a_replay_is_a_model() -> None:
    found = resolve("replay:/some/where.jsonl", {})
    assert (found.dialect, found.base_url) == ("replay", "/some/where.jsonl")
    with pytest.raises(ModelNameError):
        resolve("replay:", {})


def test_an_endpoint_of_the_configuration_is_a_model_with_its_own_limits_and_price() -> None:
    price = PriceRow(tiers=(Tier(0, input=1, output=1),), source="mohist.toml", date="", basis="configuration")
    end = Endpoint(
        "office", "http://10.0.0.5:8000/v1", key_env="OFFICE_KEY", model="big", context_tokens=32_000, price=price,
        native_tools=False, headers={"x-team": "a"},
    )  # fmt: skip
    found = resolve("office", {"OFFICE_KEY": KEY}, {"office": end})
    assert (found.name, found.wire, found.key_env) == ("office/big", "big", "OFFICE_KEY")
    assert (found.caps.context_tokens, found.caps.native_tools, found.price) == (32_000, False, price)
    assert found.headers == {"x-team": "a"}
    assert resolve("office/small", {"OFFICE_KEY": KEY}, {"office": end}).wire == "small"


def test_an_endpoint_named_like_a_provider_is_another_way_to_it() -> None:
    end = Endpoint("anthropic", "https://gateway.example.com/v1", key_env="GATEWAY_KEY")
    found = resolve("anthropic/claude-sonnet-5", {"GATEWAY_KEY": KEY}, {"anthropic": end})
    own = resolve("anthropic/claude-sonnet-5", ALL_KEYS)
    assert found.base_url == "https://gateway.example.com/v1"
    assert found.key_env == "GATEWAY_KEY"
    assert (found.dialect, found.caps, found.price) == (own.dialect, own.caps, own.price)


def test_nearest_gives_nothing_for_what_looks_like_nothing() -> None:
    assert nearest("zzzz", ["alpha", "beta"]) == []


@pytest.mark.parametrize(
    "said", ["anthropic+http://127.0.0.1:9/v1#m", "http://127.0.0.1:9/v1#m", "openai+http://127.0.0.1:9/anthropic#m"]
)
def test_the_name_of_an_endpoint_means_the_same_when_it_is_said_again(said: str) -> None:
    first = resolve(said, {})
    again = resolve(first.name, {})
    assert (again.dialect, again.base_url, again.wire) == (first.dialect, first.base_url, first.wire)
