"""What a run says of the settings and rules it worked under."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mohist.app.config import Config, load_config
from mohist.app.imprint import imprint
from mohist.app.trust import TrustStore
from mohist.base import StatePaths, SystemClock
from mohist.policy import RuleSet, builtin_rules, parse_rules

RULE = """
[[rule]]
id = "no-push"
decision = "deny"
reason = "No."
command = ["git push"]
match = ["git push"]
no_match = ["git status"]
"""
ALONE = "from mohist.app.imprint import _digest;from dataclasses import asdict;from mohist.policy import builtin_rules;"


def config(folder: Path, said: str = "") -> Config:
    paths = StatePaths(folder)
    path = folder / "mohist.toml"
    path.write_text(said, encoding="utf-8")
    env = {"HOME": str(folder), "MOHIST_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    flags = {"mode": "plan"} if said else {}
    return load_config(
        env=env, paths=paths, project_root=None, trust=TrustStore(folder / "trust.json", SystemClock()), flags=flags
    )


def test_other_settings_and_other_rules_have_other_digests(tmp_path: Path) -> None:
    rules = builtin_rules()
    plain = imprint(config(tmp_path), rules)
    assert plain == imprint(config(tmp_path), rules)
    planned = imprint(config(tmp_path, "max_turns = 7\n"), rules)
    assert planned["settings"] != plain["settings"]
    assert planned["rules"] == plain["rules"]
    more = imprint(config(tmp_path), RuleSet((*rules.rules, *parse_rules(RULE, layer="user", origin="f"))))
    assert more["rules"] != plain["rules"]
    assert more["settings"] == plain["settings"]


def test_the_digest_of_rules_is_the_same_in_every_process(tmp_path: Path) -> None:
    program = ALONE + "print(_digest([asdict(rule) for rule in builtin_rules().rules]))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert printed == {imprint(config(tmp_path), builtin_rules())["rules"]}
