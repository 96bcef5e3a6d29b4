"""What `scripts/lock` wrote still fits `pyproject.toml` and the rules of docs/adr/0001."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_tree import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = PYPROJECT["project"]["dependencies"]
DEV = PYPROJECT["dependency-groups"]["dev"]
OTHER = [
    text
    for part in (PYPROJECT["project"]["optional-dependencies"], PYPROJECT["dependency-groups"])
    for name, texts in part.items()
    for text in texts
    if name != "dev"
]


def locked(kind: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split()[0].split("==") for line in lines if line[:1].isalnum())
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize(("kind", "wanted"), [("runtime", RUNTIME), ("dev", RUNTIME + DEV)])
def test_the_lock_meets_every_requirement(kind: str, wanted: list[str]) -> None:
    pins = locked(kind)
    requirements = [Requirement(text) for text in wanted]
    unmet = [r.name for r in requirements if not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))]
    assert unmet == [], "run scripts/lock"


def test_tests_run_on_the_versions_that_users_get() -> None:
    dev = locked("dev")
    assert {name: dev.get(name) for name in locked("runtime")} == locked("runtime")


@pytest.mark.parametrize("kind", sorted(path.stem for path in (ROOT / "requirements").glob("*.txt")))
def test_every_locked_package_has_hashes_and_no_host(kind: str) -> None:
    text = (ROOT / "requirements" / f"{kind}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text


def test_every_dependency_says_why_it_is_there() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if re.match(r'  "[a-z0-9-]+(\[[a-z,-]+\])?[><=]', line)]
    assert len(named) == len(RUNTIME) + len(DEV) + len(OTHER)
    assert [line for line in named if "  # " not in line] == []


def test_what_an_extra_brings_is_what_tests_run_on() -> None:
    # `names` is 200 MB that hardly a test needs: scripts/test-names has an environment of its own.
    extras = [
        text
        for name, texts in PYPROJECT["project"]["optional-dependencies"].items()
        for text in texts
        if name != "names"
    ]
    assert [text for text in extras if text not in DEV] == []
