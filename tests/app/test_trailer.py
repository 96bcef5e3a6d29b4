"""What commits of deliveries say of where they come from."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mohist.app.evidence import Evidence
from mohist.app.ledger_setting import DEFAULTS, ledger_settings
from mohist.app.trailer import trailers_of
from mohist.delivery.chronicle import DeliveryChronicle
from mohist.delivery.ground import GitGround, Room
from mohist.delivery.state import Delivery
from mohist.ledger import Draft
from mohist.sandbox import Author

SAID = {"Mohist-Delivery": "dlv-1", "Mohist-Task": "T1", "Mohist-Run": "run-1", "Mohist-Model": "acme/m"}
DELIVERY = Delivery("dlv-1", "/srv/shop", "Add b", "text", "ann", "a" * 40, "main", "b", "working", "plan", 1, 1, 1)


def made(home: Path, policy: str) -> Evidence:
    settings = replace(ledger_settings(DEFAULTS | {"ledger.origin": "log.example/x"}, home), trailers=policy)
    return Evidence(home / "state", settings, dict(os.environ))


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A ledger with a delivery (entry 1) and a run of it (entry 2)."""
    evidence = made(tmp_path, "run")
    DeliveryChronicle(evidence, evidence.name).begun(DELIVERY)
    evidence.append(Draft("run.open", "run:run-1", "model:m", key="run:run-1/0"))
    evidence.append(Draft("heartbeat", "heartbeat", "system:notary"))
    evidence.close()
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "run", "merge"),
    [
        ("off", {"Mohist-Delivery": "dlv-1", "Mohist-Task": "T1"}, {}),
        ("run", SAID, {}),
        ("entry", {**SAID, "Ledger-Entry": "log.example/x#2"}, {"Ledger-Entry": "log.example/x#1"}),
    ],
)
def test_a_policy_says_what_commits_tell_of_runs(
    begun: Path, policy: str, run: dict[str, str], merge: dict[str, str]
) -> None:
    said = trailers_of(made(begun, policy), "dlv-1")
    assert said(SAID) == run
    # A merge is no run's: it names the delivery's own first entry.
    assert said({}) == merge


def test_what_the_ledger_does_not_know_is_not_named(begun: Path) -> None:
    said = trailers_of(made(begun, "entry"), "dlv-2")
    assert said({"Mohist-Run": "run-9"}) == {"Mohist-Run": "run-9"}
    assert said({}) == {}
    assert trailers_of(made(begun / "empty", "entry"), "dlv-1")(SAID) == SAID


async def test_git_reads_the_trailers_of_a_deliverys_commits_and_merges(begun: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(begun), "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {f"GIT_{role}_{part}": "p@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=user, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    user = begun / "user"
    user.mkdir()
    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "begin")
    base = git("rev-parse", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "go on")
    said = trailers_of(made(begun, "entry"), "dlv-1")
    room = Room(None)  # type: ignore[arg-type]  # nothing runs in it
    ground = await GitGround.open(user, begun / "ground", room, Author("M", "m@example.invalid", 1), said)
    folder = await ground.worktree("k", base)
    (folder / "a").write_text("a\n", encoding="utf-8")
    commit = await ground.commit(folder, "Add a", SAID)
    await ground.merge(folder, git("rev-parse", "HEAD"), "Merge main", {"Mohist-Delivery": "dlv-1"})
    await ground.publish(await ground.head(folder), "side", None)
    for revision, run, entry in ((commit, "run-1", 2), ("side", "", 1)):
        shown = git("log", "-1", "--format=%(trailers:only)", revision)
        expected = {**(SAID if run else {"Mohist-Delivery": "dlv-1"}), "Ledger-Entry": f"log.example/x#{entry}"}
        assert dict(line.split(": ", 1) for line in shown.splitlines()) == expected
