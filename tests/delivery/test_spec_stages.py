"""Clarify, specify and plan, with runs whose answers are written by the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from thought_room import PLANNED, UNDERSTOOD, room

from mohist.delivery import clarify, plan, specify
from mohist.sandbox import Bubblewrap

QUESTION = {"question": "In which language?", "recommended": "English", "why": "Its text differs.", "options": []}


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=tmp_path_factory.mktemp("state"), grace_s=0.3)
    yield backend
    backend.close()


def asking(**changes: Any) -> dict[str, Any]:
    return {"clarify": {**UNDERSTOOD, "questions": [QUESTION], **changes}}


async def test_from_a_requirement_to_a_plan(tmp_path: Path, sandbox: Bubblewrap) -> None:
    at = await room(tmp_path, sandbox, {"plan": PLANNED})
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
    assert (at.context.desk / "spec.md").read_text() == spec.text
    assert (at.context.desk / "checks/goodbye.sh").is_file()
    assert at.book.get("d").spent_microusd == 30
