"""The register, as a governed run asks it: by what the installation's records say, not by what a file is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohist.app.govern.client import Client, clients, unknown
from mohist.app.govern.installation import Installation
from mohist.app.govern.order import Use
from mohist.app.govern.registration import registered, tool_of
from mohist.policy.register import known_tools

BAN = """
[[entry]]
id = "no-claude"
tool = "claude-code"
versions = "<3"
disposition = "banned"
reason = "It was not examined."
alternative = "qwen-code"
first_step = "mohist govern -- qwen"
"""
ONLY = """
[register]
unlisted = "deny"
[[entry]]
id = "claude"
tool = "claude-code"
disposition = "allowed"
"""
LATER = BAN.replace('disposition = "banned"', 'disposition = "banned"\neffective = 2999-01-01')
MODELS = """
[[entry]]
id = "some"
tool = "claude-code"
disposition = "restricted"
conditions = { governed = true, models = ["good-*"] }
reason = "Only these."
first_step = "mohist govern --model good-one -- claude"
"""
CLAUDE = clients()["claude-code"]
PACKAGE = "npm:@anthropic-ai/claude-code"


def use(root: Path, package: str, client: Client = CLAUDE, called: str = "claude", model: str = "good-1") -> Use:
    installation = Installation(root / "bin" / called, (), (), package, "2.1.0" if package else "", "0" * 64)
    return Use(client, installation, called, model, root)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop/.mohist").mkdir(parents=True)
    return tmp_path / "shop"


def asked(project: Path, register: str, one: Use) -> tuple[str, str]:
    (project / ".mohist/register.toml").write_text(register, encoding="utf-8")
    standing = registered({"HOME": str(project.parent), "MOHIST_HOME": str(project.parent / "state")})(one)
    return standing.verdict, standing.text


def test_what_is_banned_is_refused_with_the_alternative_and_the_first_step(project: Path) -> None:
    verdict, text = asked(project, BAN, use(project, PACKAGE))
    assert verdict == "refused"
    assert "Use instead: qwen-code. First step: mohist govern -- qwen." in text


def test_before_its_date_it_is_warned_of(project: Path) -> None:
    verdict, text = asked(project, LATER, use(project, PACKAGE))
    assert verdict == "warned"
    assert "From 2999-01-01 on it is refused." in text


@pytest.mark.parametrize("package", ["", "npm:@somebody/fork"])
def test_a_ban_holds_for_whatever_goes_by_the_name(project: Path, package: str) -> None:
    assert asked(project, BAN, use(project, package))[0] == "refused"


def test_an_approval_holds_for_the_package_alone(project: Path) -> None:
    assert asked(project, ONLY, use(project, PACKAGE))[0] == "allowed"
    assert asked(project, ONLY, use(project, "npm:@somebody/claude"))[0] == "refused"
    mine = unknown("mine", "openai-chat")
    assert asked(project, ONLY, use(project, "", mine, "mine"))[0] == "refused"


def test_conditions_on_governing_and_models_are_judged(project: Path) -> None:
    assert asked(project, MODELS, use(project, PACKAGE))[0] == "allowed"
    verdict, text = asked(project, MODELS, use(project, PACKAGE, model="other"))
    assert verdict == "refused"
    assert "not with the model 'other'" in text


def test_clients_that_both_know_have_one_name_in_both(project: Path) -> None:
    for client in clients().values():
        for package in client.packages:
            tool = tool_of(use(project, package, client, client.programs[0]))
            known = next((one for one in known_tools().values() if package in one.packages), None)
            assert known is None or client.name in (*tool.names, *tool.claims, known.tool_id), (client.name, tool)
