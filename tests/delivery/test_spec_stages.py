"""Clarify, specify and plan, with runs whose answers are written by the test."""

from __future__ import annotations

import copy
import errno
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thought_room import PLANNED, SPECIFIED, UNDERSTOOD, room

from mohist.base import sha256_hex
from mohist.delivery import clarify, plan, specify
from mohist.delivery.machine import advance, exhausted
from mohist.delivery.port import Outcome
from mohist.delivery.state import Bound, Gate, PlanTask
from mohist.delivery.task import outside, plan_of, render

QUESTION = {"question": "In which language?", "recommended": "English", "why": "Its text differs.", "options": []}


def asking(**changes: Any) -> dict[str, Any]:
    return {"clarify": {**UNDERSTOOD, "questions": [QUESTION], **changes}}


async def test_from_a_requirement_to_a_plan(tmp_path: Path) -> None:
    at = room(tmp_path, {"plan": PLANNED})
    await at.stage(clarify)
    assert await at.stage(specify) == "2 criteria"
    assert await at.stage(plan) == "2 tasks"
    spec, made = at.spec, at.book.plan("d")
    assert made is not None
    assert spec.criteria[0].check == "sh .mohist/deliveries/d/checks/goodbye.sh"
    assert [task.may_touch for task in made.tasks] == [("greet.sh",), ("bye.sh",)]
    rows = at.book.evidence("d")
    assert [(row.subject, row.phase, row.exit_code == 0) for row in rows] == [
        ("AC-1", "before", False),
        ("AC-2", "before", False),
    ]
    assert (at.context.desk / "spec.md").read_text(encoding="utf-8") == spec.text
    assert (at.context.desk / "checks/goodbye.sh").is_file()
    assert at.book.get("d").spent_microusd == 30


async def test_questions_wait_for_a_person_and_their_answers_go_into_the_spec(tmp_path: Path) -> None:
    at = room(tmp_path, asking())
    await at.stage(clarify, "waiting")
    assert at.gate.facts["questions"][0]["recommended"] == "English"
    await at.stage(clarify, "waiting")
    assert len(at.book.gates("d")) == 1
    at.decide("answer", Q1="Latin")
    await at.stage(clarify)
    await at.stage(specify)
    assert "Latin" in at.mind.task("specify")
    assert "English" not in at.mind.task("specify")
    assert at.mind.steps == ["clarify", "specify"]


async def test_told_to_go_on_it_goes_on_with_the_recommendations(tmp_path: Path) -> None:
    at = room(tmp_path, asking(), options={"yes": True})
    await at.stage(clarify)
    await at.stage(specify)
    assert not at.book.gates("d")
    assert [note.facts["answers"] for note in at.book.notes("d") if note.kind == "answers"] == [{"Q1": "English"}]
    assert "English" in at.mind.task("specify")


async def test_no_more_is_asked_than_allowed(tmp_path: Path) -> None:
    at = room(tmp_path, asking(questions=[QUESTION] * 5))
    at.measure(questions=2)
    await at.stage(clarify, "waiting")
    assert [one["id"] for one in at.gate.facts["questions"]] == ["Q1", "Q2"]


async def test_a_requirement_that_contradicts_itself_is_never_guessed(tmp_path: Path) -> None:
    script = asking(questions=[], contradictions=["It must be red; it must be blue."])
    at = room(tmp_path, script, options={"yes": True})
    assert "It must be red; it must be blue." in await at.stage(clarify, "failed")
    other = room(tmp_path / "other", script)
    await other.stage(clarify, "waiting")
    other.decide("answer")
    assert "No answer was given to Q1" in await other.stage(clarify, "failed")


@pytest.mark.parametrize("requirement", ["", "  \n", "..."])
async def test_an_empty_requirement_is_refused_without_a_run(tmp_path: Path, requirement: str) -> None:
    at = room(tmp_path, {}, requirement)
    assert "empty" in await at.stage(clarify, "failed")
    assert not at.mind.jobs


async def test_an_answer_that_can_not_be_used_is_told_back_once(tmp_path: Path) -> None:
    bad = {**UNDERSTOOD, "size": "huge", "note": "x"}
    at = room(tmp_path, {"clarify": bad, "clarify/again": UNDERSTOOD})
    await at.stage(clarify)
    told = at.mind.task("clarify/again")
    assert "size: Input should be 'tiny', 'small' or 'large'" in told
    assert "note: Extra inputs are not permitted" in told
    other = room(tmp_path / "other", {"clarify": None, "clarify/again": "no json"})
    assert "can't be used" in await other.stage(clarify, "failed")
    assert other.mind.steps == ["clarify", "clarify/again"]


async def test_a_check_that_passes_before_is_sent_back_once_then_shown(tmp_path: Path) -> None:
    idle = copy.deepcopy(SPECIFIED)
    idle["criteria"][1]["check"] = "true"
    at = room(tmp_path, {"specify": idle, "specify/prove": SPECIFIED})
    await at.stage(clarify)
    assert await at.stage(specify) == "2 criteria"
    assert "- AC-2: true" in at.mind.task("specify/prove")
    other = room(tmp_path / "other", {"specify": idle, "specify/prove": idle})
    await other.stage(clarify)
    assert "proves nothing, for it passes before the change: AC-2" in await other.stage(specify)
    rows = [row for row in other.book.evidence("d") if row.subject == "AC-2"]
    assert rows[-1].exit_code == 0


async def test_a_criterion_that_is_no_sentence_of_ears_is_told_back(tmp_path: Path) -> None:
    vague = copy.deepcopy(SPECIFIED)
    vague["criteria"][0]["text"] = "Be nice."
    at = room(tmp_path, {"specify": vague, "specify/again": SPECIFIED})
    await at.stage(clarify)
    await at.stage(specify)
    assert "AC-1 must read `WHEN … THE SYSTEM SHALL …`" in at.mind.task("specify/again")


async def test_a_rejected_spec_is_written_anew_with_its_ids_kept(tmp_path: Path) -> None:
    swapped = copy.deepcopy(SPECIFIED)
    swapped["criteria"].reverse()
    swapped["criteria"][0]["id"], swapped["criteria"][1]["id"] = "AC-1", "AC-2"
    better = {**copy.deepcopy(SPECIFIED), "title": "Say goodbye, better"}
    at = room(tmp_path, {"specify": [SPECIFIED, swapped], "specify/again": better})
    await at.stage(clarify)
    await at.stage(specify)
    at.book.open_gate("d", Gate("", "spec", "plan", "spec v1", at.spec.digest, (), False))
    at.decide("reject", "Call it better.")
    at.again()
    await at.stage(specify)
    assert "Call it better." in at.mind.task("specify/again")
    assert "keep AC-2" in at.mind.task("specify/again")
    assert at.spec.version == 2
    assert at.spec.text.startswith("# Say goodbye, better")


async def test_a_comment_is_heard_by_the_stage_that_it_is_for(tmp_path: Path) -> None:
    at = room(tmp_path, {"plan": PLANNED})
    at.book.note("d", "comment", "Mind the tests.", {"by": "ann"})
    at.book.note("d", "comment", "One task only.", {"by": "ann", "stage": "plan"})
    for stage in (clarify, specify, plan):
        await at.stage(stage)
    assert "ann: Mind the tests." in at.mind.task("specify")
    assert "One task only." not in at.mind.task("specify")
    assert "ann: One task only." in at.mind.jobs[-1].task


async def test_a_persons_edit_of_the_spec_is_a_new_version(tmp_path: Path) -> None:
    at = room(tmp_path, {"plan": PLANNED})
    await at.stage(clarify)
    await at.stage(specify)
    path = at.context.desk / "spec.md"
    path.write_text(path.read_text(encoding="utf-8").replace("say goodbye.", "say a polite goodbye."), encoding="utf-8")
    (at.context.desk / "checks/goodbye.sh").write_text("sh greet.sh | grep -q please\n", encoding="utf-8")
    assert await at.stage(plan, "pending") == "spec v2 was edited"
    assert "a polite goodbye" in at.spec.text
    assert "grep -q please" in at.spec.text
    assert path.read_text(encoding="utf-8") == at.spec.text
    assert await at.stage(plan) == "2 tasks"
    path.write_text(at.spec.text.replace("### AC-2", "### AC 2"), encoding="utf-8")
    at.again()
    assert "'AC 2' is no id" in await at.stage(plan, "failed")


async def test_a_tiny_change_takes_the_short_way_and_says_so(tmp_path: Path) -> None:
    at = room(tmp_path, {"clarify": {**UNDERSTOOD, "size": "tiny"}})
    await at.stage(clarify)
    assert "delta" in await at.stage(specify)
    assert "The change is tiny" in at.mind.task("specify")
    assert "short way" in await at.stage(plan, "skipped")
    made = at.book.plan("d")
    assert made is not None
    assert [task.criteria for task in made.tasks] == [("AC-1", "AC-2")]
    other = room(tmp_path / "other", {}, options={"short": True})
    assert "short way" in await other.stage(clarify, "skipped")
    assert not other.mind.jobs
    full = room(tmp_path / "full", {"clarify": {**UNDERSTOOD, "size": "tiny"}}, options={"short": False})
    await full.stage(clarify)
    await full.stage(specify)
    assert "The change is tiny" not in full.mind.task("specify")


async def test_a_plan_that_can_not_be_is_told_back(tmp_path: Path) -> None:
    tasks = copy.deepcopy(PLANNED["tasks"])
    tasks[0] |= {"needs": ["T2"], "may_touch": ["../x"], "criteria": ["AC-9"]}
    tasks[1] |= {"needs": ["T1"], "cost_microusd": 2_000_000}
    at = room(tmp_path, {"plan": {"tasks": tasks}, "plan/again": PLANNED}, bound=Bound(cost_microusd=1_000_000))
    for stage in (clarify, specify, plan):
        await at.stage(stage)
    told = next(job.task for job in at.mind.jobs if job.key.endswith("/again"))
    for wrong in (
        "tasks wait for each other",
        "T1 names AC-9, which is no criterion",
        "no task is to meet AC-1",
        "T1 may touch '../x': it must lie in the repository",
        "the tasks' budgets come to 2000000",
    ):
        assert wrong in told


async def test_nothing_runs_once_the_budget_is_spent(tmp_path: Path) -> None:
    at = room(tmp_path, {}, bound=Bound(tokens=100))
    await at.stage(clarify)
    assert "budget" in await at.stage(specify, "waiting")
    assert at.mind.steps == ["clarify"]


async def test_a_disk_that_is_full_ends_the_stage_and_not_the_worker(tmp_path: Path) -> None:
    def full(_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "/state/jobs")

    at = room(tmp_path, {"clarify": full})
    told = await at.stage(clarify, "failed")
    assert told == "No space left on device (/state/jobs). Mend it, then `mohist deliver retry`."


@pytest.mark.parametrize(("unpriced", "held"), [("held", 1_000_000), ("free", 0)])
async def test_a_run_of_unknown_price_takes_all_that_it_was_allowed_to_spend(
    tmp_path: Path, unpriced: str, held: int
) -> None:
    unknown = Outcome("", "done", "", "scripted/one", None, 100, json.dumps(UNDERSTOOD))
    at = room(tmp_path, {"clarify": lambda _: unknown}, bound=Bound(cost_microusd=1_000_000))
    at.measure(unpriced=unpriced)
    await at.stage(clarify)
    now = at.book.get("d")
    assert (now.spent_microusd, now.unpriced, now.held_microusd) == (0, 1, held)
    assert exhausted(at.book.facts("d")) == (("cost_microusd",) if held else ())
    assert at.book.stages("d")[0].unpriced == 1
    if held:
        assert "budget" in await at.stage(specify, "waiting")
        gate = advance(at.book.facts("d"), 5).opens[0]
        assert (gate.kind, gate.facts["unpriced"], gate.facts["held_microusd"]) == ("budget", 1, held)


async def test_a_repository_can_not_lead_the_spec_elsewhere(tmp_path: Path) -> None:
    at = room(tmp_path, {})
    await at.stage(clarify)
    checkout = at.ground.copy

    async def copy(key: str, commit: str) -> Path:
        folder: Path = await checkout(key, commit)
        (folder / ".mohist").symlink_to(tmp_path)
        return folder

    at.ground.copy = copy
    assert "is a link" in await at.stage(specify, "failed")


@given(
    st.lists(
        st.builds(
            PlanTask,
            st.integers(1, 99).map("T{}".format),
            st.text(min_size=1).filter(str.strip).map(str.strip),
            st.text().map(str.strip),
            st.lists(st.text(), max_size=2).map(tuple),
            st.lists(st.text(min_size=1).filter(str.strip).map(str.strip), min_size=1, max_size=2).map(tuple),
            st.lists(st.text(), max_size=2).map(tuple),
            st.none() | st.integers(1, 10**9),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_plan_reads_as_it_was_written(tasks: list[PlanTask]) -> None:
    data = render(tasks).encode()
    made = plan_of(data, 4)
    assert made.tasks == tuple(tasks)
    assert made.digest == sha256_hex(data)


def test_globs_stay_within_folders_unless_told() -> None:
    paths = ["a.py", "src/a.py", "src/b/c.py", "docs/x.md", "srcs/a.py"]
    assert outside(paths, ["src/**", "a.py"]) == ("docs/x.md", "srcs/a.py")
    assert outside(paths, ["src/*.py"]) == ("a.py", "src/b/c.py", "docs/x.md", "srcs/a.py")
    assert outside(paths, ["**/*.py", "docs/"]) == ()
    assert outside(["a[1].py", "a1.py"], ["a[1].py"]) == ("a1.py",)
