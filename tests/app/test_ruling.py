"""Rules are those of the base that a delivery stands on now, and of the company's file as it is now."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from mohist.app.ruling import Rulings
from mohist.delivery.errors import RuleError
from mohist.delivery.ground import GitGround, Room
from mohist.delivery.spec import spec_of
from mohist.delivery.state import Delivery, Facts, Spec
from mohist.sandbox import Author

STRICT = """
[[gates]]
id = "money"
kind = "merge"
needs = ["bob"]
[[environments]]
name = "staging"
target = {kind = "command", activate = "true", rollback = "true"}
probe = {url = "http://127.0.0.1:1/"}
"""


def git(folder: Path, *args: str) -> str:
    who = ("-c", "user.name=U", "-c", "user.email=u@example.invalid", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def committed(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "more")
    return git(folder, "rev-parse", "HEAD")


@dataclasses.dataclass
class Scene:
    user: Path
    ground: GitGround
    rulings: Rulings
    company: Path
    delivery: Delivery

    async def needs(self) -> set[tuple[str, ...]]:
        """Who must decide before the merge."""
        await self.rulings.know(self.delivery, self.ground)
        gates = self.rulings.known(Facts(self.delivery))["merge"]
        return {group for gate in gates for group in gate.needs}


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    user = tmp_path / "user"
    user.mkdir()
    git(user, "init", "--quiet", "--initial-branch=main")
    base = committed(user, {"pay.py": "pass\n"})
    change = committed(user, {"pay.py": "pay()\n"})
    ground = await GitGround.open(user, tmp_path / "home", Room(None), Author("M", "m@example.invalid", 1))  # type: ignore[arg-type]

    async def opens(_: Delivery) -> GitGround:
        return ground

    rulings = Rulings(tmp_path / "state", opens, tmp_path / "company.toml")
    row = Delivery(
        "d", str(user), "x", "text", "ann", base, "main", "mohist/d", "working", "merge", 1, 1, 1, commit=change
    )
    return Scene(user, ground, rulings, tmp_path / "company.toml", row)


async def test_a_base_that_moved_brings_its_own_rules_owners_and_environments(scene: Scene) -> None:
    assert await scene.needs() == set()
    assert scene.rulings.plan("d").environments == ()
    tip = committed(scene.user, {".mohist/deliver.toml": STRICT, ".github/CODEOWNERS": "* @carol\n"})
    scene.delivery = dataclasses.replace(
        scene.delivery, base_commit=tip, commit=committed(scene.user, {"pay.py": "z\n"})
    )
    assert await scene.needs() == {("bob",), ("carol",)}
    assert [one.name for one in scene.rulings.plan("d").environments] == ["staging"]


async def test_the_same_change_on_another_base_is_measured_anew(scene: Scene) -> None:
    owned = committed(scene.user, {".github/CODEOWNERS": "pay.py @carol\n"})
    both = committed(scene.user, {"other.py": "pass\n"})
    scene.delivery = dataclasses.replace(scene.delivery, base_commit=scene.delivery.base_commit, commit=both)
    assert await scene.needs() == set()
    scene.delivery = dataclasses.replace(scene.delivery, base_commit=owned)
    assert await scene.needs() == set(), "pay.py is not part of the change any more"


async def test_what_the_company_tightens_holds_for_a_worker_that_runs(scene: Scene) -> None:
    assert await scene.needs() == set()
    scene.company.write_text('[[gates]]\nid = "c"\nkind = "merge"\nneeds = ["dora"]\n', encoding="utf-8")
    assert await scene.needs() == {("dora",)}
    scene.company.write_text("[[gates]\n", encoding="utf-8")
    with pytest.raises(RuleError):
        await scene.needs()
    scene.company.unlink()
    assert await scene.needs() == set()


RISKY = """
[risk]
data = ["personal"]
[[gates]]
id = "privacy"
kind = "merge"
data = ["personal"]
needs = ["dpo"]
[[gates]]
id = "grave"
kind = "merge"
risk = "high"
needs = ["boss"]
[[waive]]
kind = "merge"
risk = "low"
"""


def spec_with(data: str = "", irreversible: str = "") -> Spec:
    text = (
        "# T\n\n## Requirement\n\nx\n\n"
        f"## Data touched\n\n{data or 'None.'}\n\n## Irreversible\n\n{irreversible or 'None.'}\n\n"
        "## Acceptance criteria\n\n### AC-1\n\nWHEN a THE SYSTEM SHALL b.\n\nCheck: manual\n"
    )
    return spec_of(text.encode(), 1, "d")


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        (spec_with(), set()),
        (spec_with("- Personal data: the customers' names"), {("dpo",), ("boss",)}),
        (spec_with("- impersonal counters"), set()),
        (spec_with(irreversible="- the column `name` is dropped"), {("boss",)}),
    ],
    ids=["nothing", "data", "another-word", "irreversible"],
)
async def test_what_a_spec_declares_counts_once_the_change_is_measured(
    scene: Scene, spec: Spec, asked: set[tuple[str, ...]]
) -> None:
    base = committed(scene.user, {".mohist/deliver.toml": RISKY})
    folder = ".mohist/deliveries/d"
    change = committed(scene.user, {"pay.py": "z\n", f"{folder}/spec.md": spec.text, f"{folder}/checks/a.sh": "true\n"})
    delivery = dataclasses.replace(scene.delivery, base_commit=base, commit=change)
    await scene.rulings.know(delivery, scene.ground)
    gates = scene.rulings.known(Facts(delivery, spec=spec))["merge"]
    assert {group for gate in gates for group in gate.needs} == asked
    merge = [gate for gate in gates if gate.kind == "merge"]
    if asked:
        assert merge[0].facts["risk"] == "high"
    else:
        assert merge == [], "a change of one line is one of low risk, though its spec lies below .mohist"


async def test_the_spec_of_another_delivery_and_the_rules_are_no_part_of_its_own(scene: Scene) -> None:
    base = committed(scene.user, {".mohist/deliver.toml": RISKY})
    change = committed(scene.user, {".mohist/deliveries/d2/spec.md": "x\n"})
    delivery = dataclasses.replace(scene.delivery, base_commit=base, commit=change)
    await scene.rulings.know(delivery, scene.ground)
    gates = scene.rulings.known(Facts(delivery))["merge"]
    assert {group for gate in gates for group in gate.needs} == {("boss",)}
