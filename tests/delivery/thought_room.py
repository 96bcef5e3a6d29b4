"""A delivery on a small real repository, with runs whose outcomes are written by the test."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground_room import ground_over, repository

from fakes.book import FakeBook
from fakes.clock import FakeClock
from fakes.ground import FakeGround
from fakes.mind import ScriptedMind
from fakes.verifier import FakeVerifier
from mohist.delivery.stage import Context, Measure, Verifier
from mohist.delivery.state import Decision, Delivery, Finding, Gate, Spec, StageName, StageRow, StageStatus
from mohist.delivery.verify import Verify, VerifySettings
from mohist.sandbox import Bubblewrap

FILES = {"greet.sh": "echo hello\n", "lib/other.sh": "echo other\n"}
UNDERSTOOD = {"size": "small", "contradictions": [], "questions": []}
SPECIFIED: dict[str, Any] = {
    "title": "Say goodbye",
    "requirement": "The greeter says goodbye, too.",
    "design": "A second line.",
    "criteria": [
        {
            "id": "AC-1",
            "text": "WHEN greet.sh runs THE SYSTEM SHALL say goodbye.",
            "check": "sh $SPEC/checks/goodbye.sh",
        },
        {"id": "AC-2", "text": "WHEN bye.sh runs THE SYSTEM SHALL say bye.", "check": "sh bye.sh | grep -q bye"},
    ],
    "files": [{"path": "checks/goodbye.sh", "content": "sh greet.sh | grep -q goodbye\n"}],
}
PLANNED: dict[str, Any] = {
    "tasks": [
        {"id": "T1", "title": "Goodbye", "text": "Say it.", "may_touch": ["greet.sh"], "criteria": ["AC-1"]},
        {"id": "T2", "title": "Bye", "text": "Say it.", "may_touch": ["bye.sh"], "criteria": ["AC-2"]},
    ]
}
GOODBYE = "echo hello\necho goodbye\n"


@dataclass
class Room:
    """Everything a stage has, and what a test wants to look at."""

    context: Context
    book: FakeBook
    mind: ScriptedMind
    ground: Any

    async def stage(self, module: Any, status: StageStatus = "done") -> str:
        """Runs a stage, records how it ended as the engine does, and tells the detail."""
        ended = await module.run(self.context)
        assert ended.status == status, ended
        name: StageName = module.__name__.rpartition(".")[2]
        self.book.put_stage("d", StageRow(name, self.context.attempt, ended.status, ended.detail))
        return ended.detail

    def again(self) -> None:
        """Begins another attempt."""
        attempt = self.context.attempt + 1
        self.book.change("d", lambda row: dataclasses.replace(row, attempt=attempt))
        self.context = dataclasses.replace(self.context, attempt=attempt)

    def measure(self, **changes: Any) -> None:
        self.context = dataclasses.replace(self.context, measure=dataclasses.replace(Measure(), **changes))

    @property
    def gate(self) -> Gate:
        return self.book.gates("d")[-1]

    def decide(self, verdict: Any, because: str = "", **answers: str) -> None:
        self.book.decide(self.gate.gate_id, Decision("ann", verdict, because, self.gate.digest, 5, answers))

    @property
    def reviewed(self) -> list[Finding]:
        """What the reviewer found."""
        return [one for one in self.book.findings("d") if one.by.startswith("reviewer")]

    @property
    def spec(self) -> Spec:
        spec = self.book.spec("d")
        assert spec is not None
        return spec


def room(tmp_path: Path, script: dict[str, Any], requirement: str = "Say goodbye.", **changes: Any) -> Room:
    """Everything fake but the folders and the commands."""
    ground = FakeGround(tmp_path / "home", FILES)
    book = FakeBook()
    return _room(tmp_path, script, requirement, ground, ground.base, book, FakeVerifier(book, ground), changes)


async def real_room(tmp_path: Path, sandbox: Bubblewrap, script: dict[str, Any], **changes: Any) -> Room:
    """On git and in the sandbox, verified as deliveries are."""
    ground = await ground_over(repository(tmp_path / "user", {**FILES}), tmp_path / "home", sandbox)
    book = FakeBook()
    verify = Verify(ground, book, FakeClock(), VerifySettings(repeats=0))
    return _room(tmp_path, script, "Say goodbye.", ground, await ground.resolve("HEAD"), book, verify, changes)


def _room(
    tmp_path: Path, script: dict[str, Any], requirement: str, ground: Any, base: str, book: FakeBook,
    verify: Verifier, changes: dict[str, Any],
) -> Room:  # fmt: skip
    delivery = Delivery(
        "d", str(tmp_path), requirement, "text", "bob", base, "main", "mohist/d", "working", "clarify", 1, 1, 1
    )
    book.create(dataclasses.replace(delivery, **changes))
    mind = ScriptedMind({"clarify": UNDERSTOOD, "specify": SPECIFIED, **script})
    desk = tmp_path / ".mohist/deliveries/d"
    return Room(Context("d", 1, book, mind, ground, FakeClock(), desk, verify), book, mind, ground)
