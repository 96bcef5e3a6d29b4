"""The reference page says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mohist.app import key as keys
from mohist.app import setting
from mohist.app.manual import configuration_manual, provider_table
from mohist.provider.catalogue import catalogue

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "configuration.md"
MODELS = DOCS / "models.md"


def test_the_reference_is_as_the_code_says(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--renew-pins"):
        PAGE.write_text(configuration_manual(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == configuration_manual()


def test_the_reference_names_every_key_and_variable() -> None:
    text = configuration_manual()
    for model in (setting.LimitsTable, setting.EndpointTable, setting.PriceTable, setting.GatewayTable):
        assert all(f"| `{name}` |" in text for name in model.model_fields)
    for name in setting.SettingFile.model_fields:
        assert f"| `{name}` |" in text or f"`[{name}" in text
        assert keys.KEYS[name].variable in text
    assert all(f"`{variable}`" in text for variable in keys.VARIABLES.values())


def test_the_keys_and_their_defaults_are_those_of_the_check() -> None:
    assert list(keys.KEYS) == list(setting.SettingFile.model_fields)
    assert list(keys.LIMITS) == list(setting.LimitsTable.model_fields)
    table = setting.SettingFile.model_validate({}).model_dump()
    limits = {f"limits.{name}": value for name, value in table.pop("limits").items()}
    server = {f"server.{name}": value for name, value in table.pop("server").items()}
    gateway = {f"gateway.{name}": value for name, value in table.pop("gateway").items()}
    guard = {f"guard.{name}": value for name, value in table.pop("guard").items()}
    ledger = {f"ledger.{name}": value for name, value in table.pop("ledger").items()}
    assert table.pop("endpoints") == {}
    assert keys.defaults() == table | server | gateway | limits | guard | ledger
    assert set(keys.VARIABLES) == set(gateway) | {"guard.mode", "ledger.database_url", "ledger.database_password_file"}


def test_the_example_of_the_reference_is_accepted() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", configuration_manual(), re.S)
    assert tomllib.loads(example)
    said = setting.parse(example.encode(), "the example")
    assert said["model"] == "office/qwen3-coder"


def test_the_page_on_models_lists_the_providers_of_the_catalogue(request: pytest.FixtureRequest) -> None:
    head, mark, tail = MODELS.read_text(encoding="utf-8").partition("<!-- providers -->\n")
    assert mark
    after = re.sub(r"\A(\n\|.*)*\n*", "", tail)
    page = f"{head}{mark}\n{provider_table(catalogue())}\n{after}"
    if request.config.getoption("--renew-pins"):
        MODELS.write_text(page, encoding="utf-8")
    assert MODELS.read_text(encoding="utf-8") == page


def test_the_examples_on_models_are_accepted() -> None:
    text = MODELS.read_text(encoding="utf-8")
    for example in re.findall(r"```toml\n(.*?)```", text, re.S):
        assert setting.parse(example.encode(), "the example")
