"""What a run may do unasked: modes, rules of the user, settings of a repository."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from developer import Developer, Endpoint, call, says, shell

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]
WRITE, UNKNOWN = "write made.txt", "$ frobnicate --all"
RULE = """
[[rule]]
id = "ours.tool"
command = ["frobnicate *"]
decision = "allow"
reason = "our own tool"
match = ["frobnicate now"]
no_match = ["frob"]

[[rule]]
id = "ours.list"
command = ["ls -la"]
decision = "deny"
reason = "we do not list"
match = ["ls -la"]
no_match = ["ls"]
"""


@pytest.mark.parametrize(
    ("mode", "denied", "by"),
    [
        ("plan", {WRITE, UNKNOWN}, "Refused by policy"),
        ("ask", {WRITE, UNKNOWN}, "nobody can be asked"),
        ("edit", {UNKNOWN}, "nobody can be asked"),
        ("auto", {UNKNOWN}, "nobody can be asked"),
        ("full", set(), ""),
    ],
)
def test_each_mode_denies_headless_what_it_would_ask_about_and_says_so(
    dev: Developer, upstream: Start, mode: str, denied: set[str], by: str
) -> None:
    endpoint = upstream(
        says("", call("write", path="made.txt", content="1\n")),
        shell("frobnicate --all"),
        shell("ls"),
        says("All done."),
    )
    said = dev.run(endpoint, "--mode", mode, "--output", "json")
    assert said.code == 0, said.err
    assert {item.removeprefix("denied: ") for item in said.json["denied"]} == denied
    assert (dev.repo / "made.txt").exists() is (WRITE not in denied)
    assert sum(by in text for text in endpoint.results()) == len(denied) or not by
    assert "greet.py" in endpoint.results()[-1]


def test_a_rule_of_the_user_is_in_force(dev: Developer, upstream: Start) -> None:
    dev.home.mkdir()
    (dev.home / "policy.toml").write_text(RULE, "utf-8")
    endpoint = upstream(shell("frobnicate now"), shell("ls -la"), says("All done."))
    said = dev.run(endpoint, "--output", "json")
    assert said.code == 0, said.err
    assert said.json["denied"] == ["denied: $ ls -la"]
    assert "command not found" in endpoint.results()[0]
    assert "we do not list" in endpoint.results()[1]


def test_settings_of_a_repository_wait_until_what_is_shown_is_trusted(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("hello"), says("hello"), says("hello"))
    dev.write(".mohist/mohist.toml", f'model = "{endpoint.model}"\nchecks = ["true"]\nmax_turns = 7\n')
    before = dev.mohist("run", "do it")
    assert before.code == 5
    assert "not heard until: mohist trust" in before.err
    assert endpoint.requests == []
    shown = dev.mohist("trust")
    assert shown.code == 3
    assert f'model = "{endpoint.model}"' in shown.out
    assert 'checks = ["true"]' in shown.out
    assert "max_turns" not in shown.out, "it only tightens, so it holds already"
    assert dev.mohist("trust", "--yes").code == 0
    assert dev.mohist("run", "do it").code == 0
    dev.write(".mohist/mohist.toml", f'model = "{endpoint.model}"\nchecks = ["false"]\n')
    assert dev.mohist("run", "do it").code == 5
    assert 'checks = ["false"]' in dev.mohist("trust").out
    assert dev.mohist("trust", "--remove").out == "removed\n"
    assert dev.mohist("trust", "--list").out == ""


def test_a_repository_can_tighten_but_not_loosen(dev: Developer, upstream: Start) -> None:
    dev.write(".mohist/mohist.toml", 'mode = "full"\nnetwork = "full"\n')
    said = dev.run(upstream(says("hello")), "--output", "json")
    assert (said.json["mode"], said.json["network"]) == ("auto", "none")
    dev.write(".mohist/mohist.toml", 'mode = "plan"\n')
    endpoint = upstream(says("", call("write", path="x", content="1")), says("hello"))
    said = dev.run(endpoint, "--output", "json")
    assert said.json["mode"] == "plan"
    assert not (dev.repo / "x").exists()


def test_a_folder_that_the_user_names_is_shown_to_commands(dev: Developer, upstream: Start) -> None:
    shared = dev.room / "shared"
    shared.mkdir()
    (shared / "fact.txt").write_text("forty-two\n", "utf-8")
    look = f"cat {shared}/fact.txt; echo x > {shared}/new.txt || echo refused"
    hidden = upstream(shell(look), says("looked"))
    assert dev.run(hidden, "--mode", "full").code == 0
    assert "forty-two" not in hidden.results()[0]
    (dev.home / "mohist.toml").write_text(f'readable = ["{shared}"]\n', "utf-8")
    shown = upstream(shell(look), says("looked"))
    assert dev.run(shown, "--mode", "full").code == 0
    assert "forty-two" in shown.results()[0]
    assert "refused" in shown.results()[0]
    assert not (shared / "new.txt").exists()
