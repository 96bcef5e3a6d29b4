"""The commands beside `run`: runs, config, models, doctor, demo, help."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from developer import Developer, Endpoint, says, shell

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]
COMMANDS = ("run", "demo", "runs", "trust", "models", "config", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(dev: Developer, command: str) -> None:
    said = dev.mohist(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"mohist {command}" in said.out
    assert "example" in said.out


def test_what_is_no_command_or_option_is_wrong_usage(dev: Developer) -> None:
    assert dev.mohist("--version").out.startswith("mohist ")
    assert dev.mohist().code == 2
    for words, told in (
        (("frobnicate",), "invalid choice: 'frobnicate'"),
        (("run", "--frobnicate", "x"), "mohist run: error: unknown: --frobnicate"),
        (("run", "--mode", "wild", "x"), "invalid choice: 'wild'"),
        (("runs",), "required: VERB"),
        (("config", "show", "moode"), "Did you mean 'mode'?"),
    ):
        said = dev.mohist(*words)
        assert (said.code, said.out) == (2, ""), words
        assert told in said.err


def test_runs_can_be_listed_shown_and_exported(dev: Developer, upstream: Start) -> None:
    empty = dev.mohist("runs", "list")
    assert empty.code == 0
    assert "no runs yet" in empty.out
    assert dev.mohist("runs", "list", "--json").json == []
    for words in (("show", "last"), ("undo", "last"), ("export", "last"), ("resume", "last")):
        said = dev.mohist("runs", *words)
        assert said.code == 2
        assert "There are no runs yet" in said.err
    assert dev.run(upstream(shell("echo 1 > made"), says("Done.")), task="the first").code == 0
    assert dev.run(upstream(says("Nothing to do.")), task="the second").code == 0
    rows = dev.mohist("runs", "list", "--json").json
    assert [(row["task"], row["status"]) for row in rows] == [("the first", "done"), ("the second", "done")]
    first = rows[0]["run_id"]
    assert first in dev.mohist("runs", "list").out
    shown = dev.mohist("runs", "show", first[-6:])
    assert shown.code == 0
    for text in ("user: the first", "about to: shell echo 1 > made", "changed", "ended: done"):
        assert text in shown.out
    assert len(dev.mohist("runs", "show", first, "--json").json) == len(dev.records(0))
    exported = dev.mohist("runs", "export", first).out
    assert exported == dev.logs()[0].read_text("ascii")
    another = first[:-1] + ("y" if first.endswith("x") else "x")
    unknown = dev.mohist("runs", "show", another)
    assert unknown.code == 2
    assert f"Nearest: {first}" in unknown.err
    done = dev.mohist("runs", "resume", first)
    assert done.code == 2
    assert "is done" in done.err


def test_an_undo_is_done_once(dev: Developer, upstream: Start) -> None:
    assert dev.run(upstream(shell("echo 1 > made"), says("Done."))).code == 0
    assert dev.mohist("runs", "undo", "last").out == "restored  made\n"
    assert "nothing is left to take back" in dev.mohist("runs", "undo", "last").out
    assert dev.run(upstream(says("Done."))).code == 0
    assert "the run changed nothing" in dev.mohist("runs", "undo", "last").out


def test_a_finished_run_goes_on_with_more_words(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("It prints hello."), says("It prints bye."))
    assert dev.run(endpoint).code == 0
    said = dev.mohist("runs", "resume", "last", "and now?")
    assert said.code == 0, said.err
    assert endpoint.requests[1].json["messages"][-1]["content"] == "and now?"
    before, after = (request.json["messages"] for request in endpoint.requests)
    assert after[: len(before)] == before, "the prefix stays, so that a cache of prompts stays warm"


def test_settings_are_shown_with_their_origin(dev: Developer) -> None:
    dev.home.mkdir()
    (dev.home / "mohist.toml").write_text('mode = "edit"\n', "utf-8")
    shown = dev.mohist("config", "show", "mode", MOHIST_MODE="plan")
    assert shown.out.startswith('mode = "plan"  (environment MOHIST_MODE)')
    explained = dev.mohist("config", "explain", "mode", MOHIST_MODE="plan")
    assert "mohist.toml" in explained.out
    rows = dev.mohist("config", "show", "--json").json
    assert {"mode", "network", "max_turns", "limits.output_tokens"} <= {row["key"] for row in rows}


def test_models_are_connected_by_any_of_their_keys(dev: Developer) -> None:
    rows = dev.mohist("models", "--json").json
    assert not any(row["connected"] for row in rows)
    alternatives = _keys_of_several()
    for name, variable in alternatives:
        rows = dev.mohist("models", name + "/", "--json", **{variable: "set"}).json
        own = [row for row in rows if row["name"].startswith(name + "/")]
        assert own
        assert all(row["connected"] and row["key_env"] == variable for row in own)
    assert "qwen" in dev.mohist("models", "qwen").out


def _keys_of_several() -> list[tuple[str, str]]:
    """Providers that take their key from one of several variables, with the last of these."""
    from mohist.provider.catalogue import catalogue

    table = catalogue()
    providers = {entry.provider for name in table.model_names if (entry := table.model(name)) is not None}
    found = {name: provider.key_env for name in sorted(providers) if (provider := table.provider(name)) is not None}
    return [(name, keys[-1]) for name, keys in found.items() if len(keys) > 1][:2] or [("openai", "OPENAI_API_KEY")]


def test_the_doctor_says_what_holds(dev: Developer) -> None:
    said = dev.mohist("doctor")
    assert said.code == 0, said.out
    assert "✓ network: no network but an empty loopback" in said.out
    rows = dev.mohist("doctor", "--json").json
    assert {row["holds"] for row in rows if row["area"] == "sandbox"} <= {"yes", "weak"}
    assert [row["holds"] for row in rows if row["name"] == "connected"] == ["no"]


def test_the_demo_fixes_a_bug_without_a_model_and_says_that_it_replays(dev: Developer) -> None:
    said = dev.mohist("demo", "--run", "--output", "json", TMPDIR=str(dev.room))
    assert said.code == 0, said.out + said.err
    first = said.err.splitlines()[0]
    assert first == "model: replay of a recorded run; commands, edits and tests are real"
    assert said.json["status"] == "done"
    assert said.json["diff_stat"]
    assert [check["exit_code"] for check in said.json["evidence"]] == [0] * len(said.json["evidence"]) != []
    assert Path(said.json["workspace"]).is_relative_to(dev.room)
    assert json.loads(dev.mohist("runs", "export", "last").out.splitlines()[-1])["status"] == "done"
