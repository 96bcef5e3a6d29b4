"""`mohist policy`: what it prints and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mohist.cli.main import main

RULES = """
default = "allow"
[[rule]]
id = "eu"
reason = "Payroll stays in the EU."
cedar = 'forbid(principal in Project::"payroll", action, resource) unless { resource.region == "eu" };'
examples = [
  {expect = "deny", project = "payroll", upstream = {region = "us"}},
  {expect = "allow", project = "payroll", upstream = {region = "eu"}},
]
[[rule]]
id = "old"
reason = "Update."
cedar = 'forbid(principal, action, resource) when { context.client.name == "qwencode" && context.client.version < version("0.24") };'
examples = [{expect = "deny", client = "QwenCode/0.23.9"}, {expect = "allow", client = "QwenCode/0.24.4"}]
"""
ROUTES = """
[[routes]]
model = "m*"
[[routes.upstreams]]
name = "here"
dialect = "openai-chat"
url = "http://127.0.0.1:1/v1"
region = "eu"
self_hosted = true
[[routes.upstreams]]
name = "there"
dialect = "openai-chat"
url = "http://127.0.0.1:2/v1"
region = "us"
data_class = "public"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, text: str = RULES) -> Path:
    file = home / "gateway-policy.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_it_says_that_everything_is_allowed(home, capsys):
    for verb in (["test"], ["explain", "user=ann"], ["show"]):
        assert main(["policy", *verb]) == 0
    assert capsys.readouterr().err.count("no policy") == 3


def test_examples_that_hold_are_listed(home, capsys):
    write(home)
    assert main(["policy", "test"]) == 0
    out = capsys.readouterr()
    assert out.out.count("holds") == 4
    assert "4 of 4 examples of 2 rules hold" in out.err
    assert main(["policy", "test", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [item["holds"] for item in listed] == [True] * 4
    assert listed[0]["rules"] == ["eu"]


def test_an_example_that_fails_ends_with_1_and_says_what_was_expected(home, capsys):
    file = write(home, RULES.replace('"QwenCode/0.24.4"', '"QwenCode/0.1"'))
    assert main(["policy", "test", str(file)]) == 1
    assert "expects allow, but the file says deny (by old)" in capsys.readouterr().out


def test_a_file_that_is_not_understood_ends_with_2(home, capsys):
    write(home, RULES.replace("resource.region", "resource.regoin"))
    assert main(["policy", "test"]) == 2
    assert "regoin" in capsys.readouterr().err
    assert main(["policy", "test", str(home / "none.toml")]) == 2


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["project=payroll", "upstream.region=us"], 3, "deny by eu: Payroll stays in the EU."),
        (["project=payroll", "upstream.region=eu", "client=qwencode/0.1"], 3, "deny by old: Update."),
        (
            ["project=payroll", "upstream.region=eu", "stream=true", "prompt_tokens=5", "tools=a,b"],
            0,
            "allow by default",
        ),
    ],
)
def test_a_call_is_explained_by_the_rules_that_decide_it(home, capsys, words, code, told):
    write(home)
    assert main(["policy", "explain", *words]) == code
    assert told in capsys.readouterr().out


def test_a_call_is_explained_for_each_upstream_of_its_route(home, capsys, monkeypatch):
    write(home)
    (home / "r.toml").write_text(ROUTES, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"project": "payroll", "model": "m1"}'))
    assert main(["policy", "explain", "-", "--routes", str(home / "r.toml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decision"] == "allow"
    assert [(item["upstream"], item["decision"], item["rules"]) for item in told["upstreams"]] == [
        ("here", "allow", ["default"]),
        ("there", "deny", ["eu"]),
    ]
    assert main(["policy", "explain", "model=other", "--routes", str(home / "r.toml")]) == 2


def test_the_route_of_the_state_folder_is_taken_unless_the_call_names_an_upstream(home, capsys):
    write(home)
    (home / "routes.toml").write_text(ROUTES, encoding="utf-8")
    for words, told in (
        (["model=m1"], ["here", "there"]),
        (["model=other"], [""]),
        (["model=m1", "upstream.region=us"], [""]),
    ):
        main(["policy", "explain", "project=payroll", *words, "--json"])
        assert [item["upstream"] for item in json.loads(capsys.readouterr().out)["upstreams"]] == told


@pytest.mark.parametrize(
    "words",
    [["usr=ann"], ["nothing.json"], ["prompt_tokens=many"], ["stream=perhaps"], ["user", "ann"], ["user.name=a"]],
)
def test_a_request_that_is_not_understood_ends_with_2(home, words):
    write(home)
    assert main(["policy", "explain", *words]) == 2


def test_rules_are_shown_as_plain_cedar(home, capsys):
    write(home)
    assert main(["policy", "show"]) == 0
    shown = capsys.readouterr().out
    assert '@id("old")' in shown
    assert "version(" not in shown
    assert main(["policy", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"][0]["reads"] == ["project", "region", "team", "user"]
