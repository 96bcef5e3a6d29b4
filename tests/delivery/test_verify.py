"""Verification by exit codes in clean copies, with real git and the real sandbox."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from ground_room import PYTHON, git
from verify_room import Case, case_of

from fakes.clock import FakeClock
from mohist.delivery.port import Ran
from mohist.delivery.spec import CheckFile, Draft, folder_of, render, spec_of
from mohist.delivery.state import Criterion, Evidence
from mohist.delivery.verify import Verify, VerifySettings
from mohist.guard import Block, Found
from mohist.guard import Finding as FoundByGuard
from mohist.sandbox import Bubblewrap

CODE = "def double(x):\n    return 2 * x\n"
TESTS = """import unittest

from app import double


class TestDouble(unittest.TestCase):
    def test_two(self):
        self.assertEqual(double(2), 4)

    def test_zero(self):
        self.assertEqual(double(0), 0)


if __name__ == "__main__":
    unittest.main()
"""
FILES: dict[str, str | None] = {"app.py": CODE, "test_app.py": TESTS}
TRIPLE = CODE + "\n\ndef triple(x):\n    return 3 * x\n"
TRIPLE_TESTS = TESTS.replace("import double\n", "import double, triple\n").replace(
    "    def test_zero", "    def test_triple(self):\n        self.assertEqual(triple(3), 9)\n\n    def test_zero"
)
RUN = f"{PYTHON} -m unittest -q"
SETTINGS = VerifySettings(checks=(RUN,), repeats=2, timeout_s=60)
Make = Callable[..., Awaitable[Case]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=tmp_path_factory.mktemp("state"), grace_s=0.3)
    yield backend
    backend.close()


@pytest.fixture
def make(tmp_path: Path, sandbox: Bubblewrap) -> Make:
    return lambda files=FILES: case_of(tmp_path, sandbox, files)


async def test_a_good_change_holds_with_evidence_of_each_run(make: Make) -> None:
    case = await make()
    await case.change({"app.py": TRIPLE, "test_app.py": TRIPLE_TESTS})
    check = f"{PYTHON} -m unittest -q test_app.TestDouble.test_triple"
    verified = await case.verify([Criterion("AC-1", "WHEN 3 is tripled THE app SHALL give 9.", check)], SETTINGS)
    assert (verified.ok, verified.reasons) == (True, ())
    assert {(row.subject, row.phase, row.exit_code) for row in case.evidence} == {
        ("AC-1", "before", 1), ("AC-1", "after", 0), ("AC-1/without-code", "before", 1),
        ("tests", "before", 0), ("tests", "after", 0),
    }  # fmt: skip
    for row in case.evidence:
        assert row.commit == (case.delivery.base_commit if row.phase == "before" else case.delivery.commit)
        assert len(row.output_sha256) == 64
    assert case.accused() == []
    home = case.ground.readable[0].parent
    assert list((home / "copies").iterdir()) == []


async def test_asked_again_nothing_is_run_again(make: Make) -> None:
    case = await make()
    await case.change({"app.py": TRIPLE, "test_app.py": TRIPLE_TESTS})
    criteria = [Criterion("AC-1", "", f"{PYTHON} -c 'import app; app.triple(1)'")]
    first = await case.verify(criteria, SETTINGS)
    rows = case.evidence
    assert await case.verify(criteria, SETTINGS) == first
    assert case.evidence == rows


async def test_a_check_that_passes_before_the_change_is_named(make: Make) -> None:
    case = await make()
    await case.change({"app.py": TRIPLE})
    criteria = [
        Criterion("AC-1", "", f"{PYTHON} -c 'import app; app.double(1)'"),
        Criterion("AC-2", "", f"{PYTHON} -c 'import app; app.triple(1)'"),
        Criterion("AC-3", "", f"{PYTHON} -m compileall -q .", "quality"),
        Criterion("AC-4", "", "", "manual"),
    ]
    verified = await case.verify(criteria, SETTINGS)
    assert verified.reasons == ("AC-1: its check passes before the change, so it proves nothing",)
    assert [row.holds for row in verified.matrix[:4]] == [False, True, True, None]


async def test_a_check_file_of_the_spec_is_tried_on_the_base_too(make: Make) -> None:
    """The base doesn't have the file; if that were why the check fails there, it would prove nothing."""
    case = await make()
    files = tuple(CheckFile(f"checks/{name}.py", f"import app\napp.{name}(1)\n") for name in ("double", "triple"))
    criteria = tuple(
        Criterion(f"AC-{n}", "WHEN asked THE SYSTEM SHALL answer.", f"PYTHONPATH=. {PYTHON} $SPEC/{file.path}")
        for n, file in enumerate(files, 1)
    )
    text = render(Draft("Triple", "Triple it.", criteria, files=files))
    spec = spec_of(text.encode(), 1, case.delivery.delivery_id)
    case.store.put_spec(case.delivery.delivery_id, spec)
    folder = folder_of(case.delivery.delivery_id)
    await case.change({"app.py": TRIPLE, **{f"{folder}/{file.path}": file.content for file in files}})
    verified = await case.verify(spec.criteria, SETTINGS)
    assert verified.reasons == ("AC-1: its check passes before the change, so it proves nothing",)
    assert [row.holds for row in verified.matrix[:2]] == [False, True]


async def test_a_change_is_measured_by_the_checks_that_were_agreed_on(make: Make) -> None:
    """A person who works in the worktree could write others there; then somebody must look."""
    case = await make()
    criterion = Criterion(
        "AC-1", "WHEN asked THE SYSTEM SHALL answer.", f"PYTHONPATH=. {PYTHON} $SPEC/checks/triple.py"
    )
    file = CheckFile("checks/triple.py", "import app\napp.triple(1)\n")
    spec = spec_of(render(Draft("Triple", "Triple it.", (criterion,), files=(file,))).encode(), 1, "d-1")
    case.store.put_spec("d-1", spec)
    folder = folder_of("d-1")
    agreed: dict[str, str | None] = {f"{folder}/spec.md": spec.text, f"{folder}/checks/triple.py": file.content}
    weak: dict[str, str | None] = {f"{folder}/checks/triple.py": "", f"{folder}/checks/more.py": ""}
    await case.change({"app.py": f"{CODE}# no\n", **agreed, **weak})
    verified = await case.verify(spec.criteria, SETTINGS)
    assert not verified.ok
    assert verified.matrix[0].holds is False
    assert {(row.severity, row.path) for row in case.findings if "agreed on" in row.text} == {
        ("blocker", f"{folder}/checks/triple.py"),
        ("blocker", f"{folder}/checks/more.py"),
    }
    await case.change({"app.py": TRIPLE, **agreed}, "honest")
    assert (await case.verify(spec.criteria, SETTINGS)).matrix[0].holds is True
    assert not [row for row in case.findings if row.severity == "blocker"]


async def test_a_test_that_passes_without_the_code_is_named(make: Make) -> None:
    case = await make()
    hollow = TESTS.replace(
        "    def test_zero", "    def test_triple(self):\n        self.assertTrue(double)\n\n    def test_zero"
    )
    await case.change({"app.py": TRIPLE, "test_app.py": hollow})
    check = f"{PYTHON} -m unittest -q test_app.TestDouble.test_triple"
    verified = await case.verify([Criterion("AC-1", "", check)], SETTINGS)
    assert verified.reasons == (
        "AC-1: its check passes with the change's tests alone, without its code, so it proves nothing",
    )


async def test_a_failing_check_is_told_from_a_flaky_one_and_from_one_that_failed_before(make: Make) -> None:
    flaky = "test -e .seen || { touch .seen; exit 1; }"
    red = f"{PYTHON} -c 'import sys; sys.exit(1)'"
    broken = f"{PYTHON} -c 'import app; app.double'"
    case = await make()
    await case.change({"app.py": "def other():\n    pass\n"})
    verified = await case.verify([], VerifySettings((flaky, red, broken), repeats=2, timeout_s=60))
    said = {row.command: (row.before, row.after, row.holds) for row in verified.matrix}
    assert said == {
        flaky: ("flaky", "flaky", None), red: ("fails", "fails", None), broken: ("passes", "fails", False),
    }  # fmt: skip
    assert verified.ok is False
    assert [(row.runs, row.passes) for row in case.evidence if row.command == flaky] == [(3, 2), (3, 2)]
    assert any("flaky: 2 of 3 runs pass" in text for text in verified.remarks)


async def test_flakiness_that_the_change_brings_does_not_pass(make: Make) -> None:
    case = await make({"check.sh": "exit 0\n"})
    await case.change({"check.sh": "test -e .seen || { touch .seen; exit 1; }\n"})
    verified = await case.verify(
        [Criterion("AC-1", "", "sh check.sh new", "quality")], VerifySettings(("sh check.sh",), 2, 60)
    )
    assert not verified.ok
    assert any("flaky" in reason for reason in verified.reasons)


async def test_the_copy_is_clean_and_a_hanging_check_ends(make: Make) -> None:
    case = await make({**FILES, ".gitignore": "*.cfg\n"})
    tree = await case.ground.worktree("d/1/change", case.delivery.base_commit)
    (tree / "local.cfg").write_text("x", encoding="utf-8")
    await case.change({"new.txt": "x"})
    checks = ("test ! -e local.cfg", "test ! -e .git/HEAD", "test -e new.txt", "sleep 60")
    verified = await case.verify([], VerifySettings(checks, repeats=3, timeout_s=1))
    assert [row.after for row in verified.matrix] == ["passes", "passes", "passes", "fails"]
    assert case.evidence[-1].exit_code is None
    assert "killed after 1 s" in case.evidence[-1].output_tail


async def test_checks_come_from_the_base_where_the_change_does_not_reach(make: Make) -> None:
    case = await make({**FILES, "Makefile": "test:\n\tpython3 -m unittest -q\n"})
    await case.change({"Makefile": "test:\n\t@true\nlint:\n\t@true\n", "app.py": "def double(x):\n    return x\n"})
    verified = await case.verify()
    assert [row.command for row in verified.matrix] == ["make test"]
    told = [row.path for row in case.findings if row.finding_id.startswith("verify-check-changed")]
    assert told == ["Makefile"]
    assert any("told of 2 tests before the change, and tells of none now" in row.text for row in case.accused())


async def test_what_a_later_attempt_mends_is_marked_as_fixed_and_the_base_is_not_run_again(make: Make) -> None:
    case = await make()
    ran: list[str] = []
    run = case.ground.run

    async def counted(folder: Path, command: str, timeout_s: float, network: bool = False) -> Ran:
        ran.append(folder.name)
        return await run(folder, command, timeout_s, network)

    case.ground.run = counted  # type: ignore[method-assign]
    await case.change({"test_app.py": TESTS.replace("(double(2), 4)", "(double(2), 4)  # noqa")}, "one")
    await case.verify([], SETTINGS)
    assert [row.finding_id.split("-")[1] for row in case.accused()] == ["silenced"]
    await case.change({"app.py": TRIPLE}, "two")
    await case.verify([], SETTINGS)
    assert sum("before" in name for name in ran) == 1, "the base is the same, so what it showed still holds"
    assert [row.attempt for row in case.evidence if row.phase == "before"] == [1, 2]
    assert case.accused() == []
    assert {row.status for row in case.store.findings("d-1") if "silenced" in row.finding_id} == {"fixed"}


async def test_a_change_that_spoils_its_tests_is_shown_in_each_place(make: Make) -> None:
    more = "    def test_three(self):\n        self.assertEqual(double(3), 6)\n\n"
    case = await make(
        {
            **FILES,
            "test_app.py": TESTS.replace("    def test_zero", more + "    def test_zero"),
            "Makefile": "test:\n\tpython3 -m unittest -q\n",
        }
    )
    spoiled = TESTS.replace("    def test_two", "    @unittest.skip('later')\n    def test_two")
    spoiled = spoiled.replace("assertEqual(double(0), 0)", "assertIsNotNone(double(0))")
    await case.change({"test_app.py": spoiled, "Makefile": "test:\n\tpython3 -m unittest -q || true\n"})
    verified = await case.verify()
    assert verified.ok, "nothing fails: that is why it must be shown"
    told = {(row.finding_id.split("-")[1], row.path, row.line) for row in case.accused()}
    lines = spoiled.splitlines()
    assert told == {
        ("removed", "test_app.py", 10),
        ("skipped", "test_app.py", 1 + next(n for n, text in enumerate(lines) if "test_two" in text)),
        ("loosened", "test_app.py", 1 + next(n for n, text in enumerate(lines) if "assertIsNotNone" in text)),
        ("swallowed", "Makefile", 2), ("check", "Makefile", 2), ("fewer", "", 0),
    }  # fmt: skip
    assert any("findings to be weighed" in text for text in verified.remarks)


async def test_a_pass_that_was_interrupted_goes_on_where_it_was(make: Make) -> None:
    case = await make()
    await case.change({"app.py": TRIPLE, "test_app.py": TRIPLE_TESTS})
    criteria = [Criterion("AC-1", "", f"{PYTHON} -c 'import app; app.triple(1)'")]
    limit = 2
    put = case.store.put_evidence

    def put_some(delivery_id: str, row: Evidence) -> None:
        nonlocal limit
        if not limit:
            raise KeyboardInterrupt
        limit -= 1
        put(delivery_id, row)

    case.store.put_evidence = put_some  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await case.verify(criteria, SETTINGS)
    half = case.evidence
    case.store.put_evidence = put  # type: ignore[method-assign]
    assert (await case.verify(criteria, SETTINGS)).ok
    assert [row.evidence_id for row in case.evidence[:2]] == [row.evidence_id for row in half]
    assert case.evidence[:2] == half


async def test_the_guard_speaks_when_it_is_there_and_its_absence_is_said(make: Make) -> None:
    case = await make()
    await case.change({"app.py": TRIPLE})
    await case.verify([], SETTINGS)
    assert [row.text for row in case.findings if "guard" in row.finding_id] == [
        "The guard is switched off: the diff was not inspected for secrets and data."
    ]
    seen: list[Block] = []

    def scan(blocks: Sequence[Block]) -> list[Found]:
        seen.extend(blocks)
        at = blocks[0].text.index("triple")
        key = FoundByGuard("secret", "test.key", "secret.token", at, at + 6, 0.95, "… (6 characters)", "0" * 32)
        return [Found(blocks[0], (key,))]

    await Verify(case.ground, case.store, FakeClock(), SETTINGS, scan)(case.delivery, [])
    assert [(block.path, block.source) for block in seen] == [("app.py", "file")]
    (accused,) = case.accused()
    assert (accused.severity, accused.path) == ("blocker", "app.py")
    assert "secret.token (test.key)" in accused.text


async def test_the_licences_that_are_allowed_are_read_from_the_base(make: Make) -> None:
    case = await make({**FILES, ".mohist/deliver.toml": '[licences]\nallow = ["MIT"]\n'})
    gpl = "# SPDX-License-Identifier: GPL-3.0-only\n"
    await case.change({"new.py": gpl, ".mohist/deliver.toml": '[licences]\nallow = ["GPL-3.0-only"]\n'})
    await case.verify([], SETTINGS)
    assert [(row.severity, row.path) for row in case.accused()] == [("major", "new.py")]


async def test_tests_are_never_laid_over_through_a_link(make: Make, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    case = await make({**FILES, "data.txt": "x"})
    (case.user / "tests").symlink_to(outside)
    git(case.user, "add", "--all")
    git(case.user, "commit", "--quiet", "-m", "link")
    case.delivery = dataclasses.replace(case.delivery, base_commit=git(case.user, "rev-parse", "HEAD"))
    tree = await case.ground.worktree("d/1/link", case.delivery.base_commit)
    (tree / "tests").unlink()
    await case.change({"tests/test_new.py": "assert True\n"}, "link")
    await case.verify([Criterion("AC-1", "", "test -e tests/test_new.py")], SETTINGS)
    assert list(outside.iterdir()) == []
