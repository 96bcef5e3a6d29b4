"""`mohist keys`, as a person at a terminal uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mohist.base import ExitCode
from mohist.cli.main import main
from mohist.gateway.key import well_formed


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


class Shell:
    """Runs commands and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *argv: str) -> str:
        assert main(argv) == ExitCode.DONE, self._capsys.readouterr().err
        return self._capsys.readouterr().out

    def fails(self, *argv: str) -> str:
        try:
            code: object = main(argv)
        except SystemExit as stop:
            code = stop.code
        assert code in {ExitCode.FAILED, ExitCode.USAGE}
        return self._capsys.readouterr().err


@pytest.fixture
def mohist(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_a_key_is_shown_once_and_then_never_again(mohist: Shell, home: Path) -> None:
    key_id, secret, *_ = mohist("keys", "create", "--user", "ann").split("\n")
    assert well_formed(secret)
    for words in (["list"], ["list", "--json"], ["budget", "list"], ["revoke", key_id], ["revoke", key_id, "--json"]):
        assert secret[4:] not in mohist("keys", *words)
    assert all(secret[4:].encode() not in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_a_key_is_made_with_all_that_is_asked(mohist: Shell) -> None:
    made = json.loads(
        mohist(
            *("keys", "create", "--json", "--user", "ann", "--project", "shop", "--team", "core"),
            *("--model", "qwen*", "--model", "gpt-5", "--client", "codex*", "--dialect", "openai-chat"),
            *("--expires-days", "30", "--rpm", "60", "--tpm", "100000", "--budget-usd-month", "50.25"),
            *("--budget-tokens-day", "1000000", "--allow-unpriced"),
        )
    )
    assert well_formed(made.pop("secret"))
    listed = json.loads(mohist("keys", "list", "--json"))
    assert listed == [made]
    assert made["expires_at"] > made["created_at"]
    assert {name: made[name] for name in ("status", "user", "project", "team", "models", "clients", "dialects")} == {
        "status": "active",
        "user": "ann",
        "project": "shop",
        "team": "core",
        "models": ["qwen*", "gpt-5"],
        "clients": ["codex*"],
        "dialects": ["openai-chat"],
    }
    assert (made["requests_per_minute"], made["tokens_per_minute"]) == (60, 100_000)
    budgets = json.loads(mohist("keys", "budget", "list", "--json"))
    assert [(row["period"], row["limit_microusd"], row["limit_tokens"], row["allow_unpriced"]) for row in budgets] == [
        ("day", None, 1_000_000, True),
        ("month", 50_250_000, None, True),
    ]


def test_a_rotated_key_keeps_its_id_and_a_revoked_one_is_not_rotated(mohist: Shell) -> None:
    key_id, old, *_ = mohist("keys", "create", "--user", "ann").split("\n")
    same, new, *_ = mohist("keys", "rotate", key_id, "--grace-hours", "1").split("\n")
    assert (same, new != old, well_formed(new)) == (key_id, True, True)
    mohist("keys", "revoke", key_id)
    assert "revoked  " in mohist("keys", "list")
    assert "is revoked" in mohist.fails("keys", "rotate", key_id)


def test_budgets_are_set_listed_and_removed(mohist: Shell) -> None:
    mohist("keys", "budget", "set", "team", "core", "--usd-day", "100", "--tokens-total", "5000")
    mohist("keys", "budget", "set", "team", "core", "--usd-day", "20")
    assert mohist("keys", "budget", "list").split("\n") == [
        "team     core  day    $20.00",
        "team     core  total  5,000 tokens",
        "",
    ]
    assert mohist("keys", "budget", "remove", "team", "core") == "removed 2\n"
    assert "no budgets yet" in mohist("keys", "budget", "list")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["keys", "create"], "--user"),
        (["keys", "create", "--user", ""], "not a name"),
        (["keys", "create", "--user", "a\nb"], "not a name"),
        (["keys", "create", "--user", "ann", "--budget-usd-day", "-1"], "not an amount"),
        (["keys", "create", "--user", "ann", "--budget-usd-day", "nan"], "not an amount"),
        (["keys", "create", "--user", "ann", "--rpm", "1.5"], "not a whole number"),
        (["keys", "create", "--user", "ann", "--expires-days", "0"], "days"),
        (["keys", "revoke", "key-none"], "There is no key 'key-none'"),
        (["keys", "budget", "set", "user", "ann"], "No limit is named"),
        (["keys", "budget", "set", "key", "key-none", "--usd-day", "1"], "There is no key"),
    ],
)
def test_a_wrong_word_is_told(mohist: Shell, argv: list[str], said: str) -> None:
    assert said in mohist.fails(*argv)


def test_a_key_calls_models_unless_it_is_given_other_roles(mohist: Shell) -> None:
    plain = json.loads(mohist("keys", "create", "--json", "--user", "ann"))
    admin = json.loads(mohist("keys", "create", "--json", "--user", "ops", "--role", "admin", "--role", "auditor"))
    assert plain["roles"] == ["caller"]
    assert admin["roles"] == ["admin", "auditor"]
    assert "(admin, auditor)" in mohist("keys", "list")
    mohist.fails("keys", "create", "--user", "ann", "--role", "root")


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
@pytest.mark.parametrize("flag", ["--port", "--metrics-port"])
def test_what_is_no_port_is_wrong_usage(flag: str, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(("serve", f"{flag}={port}"))
    assert ended.value.code == ExitCode.USAGE
    assert "not a port" in capsys.readouterr().err


def test_budgets_are_aligned_and_none_is_said(mohist: Shell) -> None:
    assert "no budgets yet" in mohist("keys", "budget", "list")
    mohist("keys", "budget", "set", "team", "core", "--usd-day", "100")
    mohist("keys", "budget", "set", "user", "annabel", "--usd-month", "50")
    lines = mohist("keys", "budget", "list").splitlines()
    assert len({line.index("$") for line in lines}) == 1
