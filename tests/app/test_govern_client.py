"""The table of clients, and the settings that are made of it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.app.errors import ConfigError
from mohist.app.govern import advice, form
from mohist.app.govern.client import SERVED, TABLE, Client, Residual, clients, find, named, read, unknown
from mohist.app.govern.outfit import Place, outfit, put
from mohist.cli.main import main

PLACE = Place("http://gateway.internal", "the-key", "some/model:1", "/home/agent")
KNOWN = list(clients().values())


def name_of(client: object) -> str:
    return client.name if isinstance(client, Client) else str(client)


def test_the_clients_that_were_measured_are_known() -> None:
    measured = (
        "claude-code codex qwen-code opencode gemini-cli pi aider mini-swe-agent mistral-vibe openhands kimi-code"
    )
    assert set(clients()) == {*measured.split(), "kimi-cli", "trae-agent", "goose", "qoder"}


def test_no_entry_depends_on_a_version() -> None:
    assert re.findall(r"\b\d+\.\d+\.\d+\b", TABLE.read_text("utf-8")) == []


@pytest.mark.parametrize("client", [one for one in KNOWN if not one.unsupported], ids=name_of)
def test_a_client_is_led_to_the_gateway_by_name_key_and_model(client: Client) -> None:
    made = outfit(client, PLACE)
    said = json.dumps([made.env, made.files, made.args])
    assert client.dialect in SERVED
    assert "http://gateway.internal" in said
    assert "the-key" in said
    assert "some/model:1" in said
    assert "@" not in re.sub(r"@ai-sdk", "", said)
    for name, value in made.files.items():
        assert form.read(name, form.write(name, value)) == value


@pytest.mark.parametrize("client", [one for one in KNOWN if one.unsupported], ids=name_of)
def test_a_client_that_can_not_be_led_is_refused_with_the_reason(client: Client) -> None:
    with pytest.raises(ConfigError, match=re.escape(client.unsupported)):
        outfit(client, PLACE)


def test_a_client_is_found_by_program_name_and_package() -> None:
    assert find("claude") is clients()["claude-code"]
    assert find("qwen-code") is clients()["qwen-code"]
    assert find("anything", "pypi:aider-chat") is clients()["aider"]
    assert (find("kimi", "npm:@moonshot-ai/kimi-code"), find("kimi", "pypi:kimi-cli")) == (
        clients()["kimi-code"],
        clients()["kimi-cli"],
    )
    assert find("no-such") is None


def test_an_unknown_client_is_told_with_the_nearest_ones() -> None:
    with pytest.raises(ConfigError, match="'cluade'") as caught:
        named("cluade")
    assert "claude" in caught.value.mend
    assert "--dialect" in caught.value.mend


@pytest.mark.parametrize("dialect", SERVED)
def test_any_program_is_led_by_what_libraries_of_its_dialect_listen_to(dialect: str) -> None:
    made = outfit(unknown("mine", dialect), PLACE)
    prefix = "ANTHROPIC" if dialect == "anthropic-messages" else "OPENAI"
    assert made.env[f"{prefix}_BASE_URL"].startswith("http://gateway.internal")


def test_a_dialect_that_is_not_served_is_refused() -> None:
    with pytest.raises(ConfigError, match="'gemini'"):
        unknown("mine", "gemini")


@pytest.mark.parametrize(
    "text", ["x = 1", "[a]\nx = 1", "[a]\ntitle = 'A'\nprograms = []\npackages = []\ndialect = 'openai-chat'", "["]
)
def test_a_table_that_says_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no table of clients"):
        read(text, "test")


@pytest.mark.parametrize("model", ['a"b', "a b", "$(x)", "a\nb", "", "x" * 300, "`id`"])
def test_a_model_whose_name_could_break_out_of_settings_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="no client's settings can hold"):
        outfit(clients()["codex"], Place("http://x", "k", model))


_KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
_LEAVES = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_what_is_written_as_toml_is_read_back_the_same(table: dict[str, Any]) -> None:
    assert tomllib.loads(form.write("config.toml", table)) == table


@given(st.dictionaries(_KEYS, _VALUES, max_size=4), st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_merged_settings_say_all_that_the_second_says_and_lose_nothing_else(first: Any, second: Any) -> None:
    both = form.merged(first, second)
    assert form.merged(both, second) == both
    assert both.keys() == first.keys() | second.keys()
    for key, value in second.items():
        assert both[key] == value or (isinstance(value, dict) and isinstance(first.get(key), dict))
    for key in first.keys() - second.keys():
        assert both[key] == first[key]


def test_settings_of_a_kept_home_stay_but_for_what_must_hold(tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    config = tmp_path / ".codex/config.toml"
    config.write_text(
        'model = "other"\npersonality = "mine"\n[analytics]\nenabled = true\nlevel = 2\n', encoding="utf-8"
    )
    put(outfit(clients()["codex"], PLACE).files, tmp_path)
    said = tomllib.loads(config.read_text("utf-8"))
    assert (said["personality"], said["analytics"]) == ("mine", {"enabled": False, "level": 2})
    assert said["model_providers"]["mohist"]["base_url"] == "http://gateway.internal/v1"
    assert config.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("linked", [".codex", ".codex/config.toml"])
def test_a_link_in_a_kept_home_leads_no_settings_elsewhere(tmp_path: Path, linked: str) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    (other / "config.toml").write_text("", encoding="utf-8")
    (home / linked).parent.mkdir(exist_ok=True)
    (home / linked).symlink_to(other if linked == ".codex" else other / "config.toml")
    with pytest.raises(ConfigError, match="is a link"):
        put(outfit(clients()["codex"], PLACE).files, home)
    assert (other / "config.toml").read_text("utf-8") == ""


def test_broken_settings_in_a_kept_home_are_told(tmp_path: Path) -> None:
    (tmp_path / ".qwen").mkdir()
    (tmp_path / ".qwen/settings.json").write_text("{ // mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"settings\.json"):
        put(outfit(clients()["qwen-code"], PLACE).files, tmp_path)


def test_settings_for_outside_the_fence_are_printed_for_one_and_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["govern", "--print-config", "codex", "--server", "http://models.example.com/v1", "--model", "m1"]) == 0
    said = capsys.readouterr().out
    assert 'base_url = "http://models.example.com/v1"' in said
    assert "export MOHIST_API_KEY='mhk-…'" in said
    assert main(["govern", "--print-config", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["client"] for row in rows] == list(clients())
    assert not any(row["served"] for row in rows if row["client"] in ("gemini-cli", "qoder"))
    assert main(["govern", "--print-config", "--json", "--", "claude"]) == 0
    assert json.loads(capsys.readouterr().out)["client"] == "claude-code"


def test_printed_settings_of_all_clients_can_be_read_by_people() -> None:
    said = advice.text(advice.advice(""))
    for client in clients().values():
        assert f"# {client.title}" in said
    assert "Still looks for registry.npmjs.org" in said


def test_no_client_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["govern"]) == 2
    assert "mohist govern -- CLIENT ARGS" in capsys.readouterr().err
    assert main(["govern", "--", "no-such-client-here"]) == 2
    assert "'no-such-client-here'" in capsys.readouterr().err


def test_hosts_without_a_switch_have_a_reason() -> None:
    told = [one for client in clients().values() for one in client.residual]
    assert told
    assert all(isinstance(one, Residual) and one.host and one.why for one in told)
