"""The guard's settings: who may say what, and what comes of several files' rules."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from fakes.clock import FakeClock
from mohist.app import guard, guard_table, screening
from mohist.app.config import HEARD_TOO, Config, load_config
from mohist.app.detector import Allowed, detectors
from mohist.app.errors import ConfigError
from mohist.app.screening import Screening
from mohist.app.trust import TrustStore
from mohist.base import StatePaths
from mohist.guard import Finding, GuardRuleError, Source, preset, ruling
from mohist.guard.ruling import Flow

SECRET = Finding("d", "x.y", "secret.token", 0, 4, 0.95, "…", "ab" * 16)
OUT = Flow("out", vendor="acme")


class Files:
    """The three files that may say something, and the environment."""

    def __init__(self, folder: Path) -> None:
        self.paths = StatePaths(folder / "state")
        self.project = folder / "repo"
        self.managed = folder / "etc.toml"
        self.env: dict[str, str] = {}
        (self.project / ".mohist").mkdir(parents=True)
        self.paths.home.mkdir()

    def say(self, *, user: str = "", project: str = "", managed: str = "") -> Config:
        self.paths.user_config.write_text(user, "utf-8")
        (self.project / ".mohist" / "mohist.toml").write_text(project, "utf-8")
        self.managed.write_text(managed, "utf-8")
        trust = TrustStore(self.paths.home / "trust.json", FakeClock())
        return load_config(
            env=self.env, paths=self.paths, project_root=self.project, trust=trust, managed_file=self.managed
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def rule(name: str, action: str, **more: str) -> str:
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[guard.rules]]\nname = "{name}"\naction = "{action}"\nclasses = ["secret"]\n{extra}'


def decided(config: Config, finding: Finding = SECRET) -> tuple[str, str]:
    decision = guard.rulebook(config.guard).ways(OUT).decide(finding, "user")
    return decision.action, decision.rule


def test_the_words_are_the_guard_s_own() -> None:
    assert guard_table.Action == ruling.Action
    assert guard_table.Direction == ruling.Direction
    assert guard_table.Mode == ruling.Mode
    assert guard_table.Preset == preset.Preset
    assert guard_table.Source == Source
    assert screening._ORDERS["guard.mode"] == ruling.MODES
    assert screening._ORDERS["guard.preset"] == get_args(preset.Preset)
    assert set(preset.PRESETS) == set(get_args(preset.Preset))
    fields = set(guard_table.GuardRuleTable.model_fields)
    assert fields == set(ruling.Rule.__dataclass_fields__)


def test_reading_a_file_that_speaks_of_the_guard_does_not_load_it() -> None:
    code = "import sys, mohist.app.setting; sys.exit('mohist.guard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unsaid_everything_is_enforced(files: Files) -> None:
    config = files.say()
    assert config.guard == Screening()
    assert decided(config) == ("block", "secret")


@pytest.mark.parametrize(
    ("user", "project", "held"),
    [
        ("", 'mode = "off"', "enforce"),
        ("", 'mode = "observe"', "enforce"),
        ('mode = "observe"', 'mode = "enforce"', "enforce"),
        ('mode = "observe"', 'mode = "off"', "observe"),
    ],
)
def test_a_project_may_tighten_the_mode_and_not_loosen_it(files: Files, user: str, project: str, held: str) -> None:
    assert files.say(user=f"[guard]\n{user}", project=f"[guard]\n{project}").guard.mode == held


def test_a_project_has_no_say_in_what_is_looked_for(files: Files) -> None:
    config = files.say(
        project='[guard]\nwithout = ["secret"]\nallow_list = "/x"\nhint = false\nkey_file = "/dev/zero"\n'
    )
    assert config.guard == Screening()


def test_the_machine_s_file_is_a_bound_and_the_environment_wins_over_the_user(files: Files) -> None:
    files.env["MOHIST_GUARD_MODE"] = "off"
    assert files.say(user='[guard]\nmode = "observe"').guard.mode == "off"
    assert files.say(managed='[guard]\nmode = "observe"').guard.mode == "observe"
    files.env["MOHIST_GUARD_MODE"] = "enforce"
    assert files.say(managed='[guard]\nmode = "observe"').guard.mode == "enforce"
    files.env["MOHIST_GUARD_MODE"] = "loud"
    with pytest.raises(ConfigError):
        files.say()


def test_managed_rules_stand_above_the_user_s_and_all_above_the_preset(files: Files) -> None:
    user, managed = rule("mine", "allow"), rule("theirs", "mask")
    assert decided(files.say(user=user)) == ("allow", "mine")
    assert decided(files.say(user=user, managed=managed)) == ("mask", "theirs")


def test_a_project_s_rules_are_heard_where_they_are_stricter(files: Files) -> None:
    loose, tight = rule("loose", "allow"), rule("tight", "ask")
    config = files.say(project=loose)
    assert decided(config) == ("block", "secret")
    assert decided(files.say(user=rule("mine", "note"), project=tight)) == ("ask", "tight")
    [told] = [one for one in config.explained if one.key == "guard.rules"]
    assert [said.fate for said in told.said if said.layer == "project"] == [HEARD_TOO]
    assert [row["name"] for row in told.value] == ["loose"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[guard]\nmodes = "off"\n', "mode"),
        ('[[guard.rules]]\nname = "x"\naction = "drop"\n', "action"),
        ('[[guard.rules]]\nname = "x"\naction = "note"\nclass = "secret"\n', "classes"),
        ('[[guard.rules]]\nname = "x"\naction = "note"\nmin_confidence = 2\n', "min_confidence"),
        ('[guard]\nkey_file = "key"\n', "key_file"),
    ],
)
def test_what_means_nothing_is_refused_and_named(files: Files, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        files.say(user=text)


def test_two_rules_of_one_name_are_refused(files: Files) -> None:
    config = files.say(user=rule("a", "note"), managed=rule("a", "mask"))
    with pytest.raises(GuardRuleError, match="'a'"):
        guard.rulebook(config.guard)


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    paths = StatePaths(tmp_path / "state")
    first = guard.guard_key(Screening(), paths)
    assert first == guard.guard_key(Screening(), paths)
    assert stat.S_IMODE((paths.home / "guard.key").stat().st_mode) == 0o600
    assert [path.name for path in paths.home.iterdir()] == ["guard.key"]
    assert guard.digest(Screening(), paths)("x") != guard.digest(Screening(), StatePaths(tmp_path / "other"))("x")
    short = tmp_path / "short"
    short.write_bytes(b"abc")
    for path in (short, tmp_path / "none"):
        with pytest.raises(ConfigError):
            guard.guard_key(Screening(key_file=path), paths)


def test_detectors_can_be_left_out_by_name(tmp_path: Path) -> None:
    key = bytes(32)
    names = {one.name for one in detectors(Screening(), tmp_path, key)}
    assert {"secret", "keyword", "personal", "covert"} <= names
    assert {one.name for one in detectors(Screening(without=("personal", "keyword")), tmp_path, key)} == names - {
        "personal",
        "keyword",
    }
    with pytest.raises(ConfigError, match=r"'secrets'.*There are: secret"):
        detectors(Screening(without=("secrets",)), tmp_path, key)


def test_the_allow_list_lets_pass_until_its_day(tmp_path: Path) -> None:
    path = tmp_path / "allow.toml"
    path.write_text(
        f'[[allow]]\nvalue = "{"ab" * 16}"\nreason = "a hash"\nowner = "core"\nuntil = 2023-11-15\n', "utf-8"
    )
    clock = FakeClock()
    allowed = Allowed(path, clock)
    assert allowed.by("ab" * 16, "x.y") == "core"
    assert allowed.by("cd" * 16, "x.y") == ""
    clock.advance(2 * 86_400)
    assert allowed.by("ab" * 16, "x.y") == ""
    assert Allowed(None, clock).by("ab" * 16, "x.y") == ""
    for text in (b"[[allow]]\n", b"\xff"):
        path.write_bytes(text)
        with pytest.raises((ConfigError, GuardRuleError)):
            Allowed(path, clock)
    with pytest.raises(ConfigError):
        Allowed(tmp_path / "none", clock)


def test_what_is_in_force_is_told_in_one_line() -> None:
    own = ({"name": "a", "action": "note"},)
    assert guard.describe(Screening()) == "guard: enforcing the rules 'default'"
    assert "off" in guard.describe(Screening(mode="off"))
    told = guard.describe(
        Screening(mode="observe", rules=own, tightening=own, without=("personal",), on_failure="open")
    )
    for word in ("observing", "1 rule(s) of your own", "tightened by 1", "without personal", "pass unseen"):
        assert word in told
