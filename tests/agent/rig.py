"""A run's core with simple tools: real log, real loop, real executor, a scripted model."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.clock import FakeClock
from mohist.agent.execute import Answer, Approve, Executor
from mohist.agent.log import RunLog
from mohist.agent.loop import Loop
from mohist.agent.record import Assistant, Ended, Fragment, Header, Intent, Outcome, Record, User
from mohist.agent.setting import RunSettings
from mohist.agent.tool import FileLedger, Result, SpillStore, ToolContext, ToolError
from mohist.agent.tree import TreeWatch
from mohist.event import ApprovalAsked, Event
from mohist.policy import Access, Allow, Verdict
from mohist.provider.message import AssistantMessage, Provider, ToolMessage

Act = Callable[[Mapping[str, Any], ToolContext, Callable[[str], None]], Awaitable[Result]]


async def say_ok(args: Mapping[str, Any], ctx: ToolContext, progress: Callable[[str], None]) -> Result:
    return Result(f"ok {json.dumps(args, sort_keys=True)}")


NOTHING = Access()


class FakeTool:
    """A tool whose access and act are given."""

    description = "a fake"
    parameters: Mapping[str, Any] = {"type": "object"}

    def __init__(
        self, name: str, act: Act = say_ok, access: Access | Callable[[Mapping[str, Any]], Any] = NOTHING
    ) -> None:
        self.name = name
        self._act = act
        self._access = access
        self.ran: list[Mapping[str, Any]] = []

    def parse(self, arguments: str) -> Mapping[str, Any]:
        try:
            args = json.loads(arguments)
        except ValueError:
            raise ToolError("The arguments are not valid JSON.") from None
        assert isinstance(args, dict)
        return args

    def access(self, args: Mapping[str, Any], ctx: ToolContext) -> Access:
        return self._access(args) if callable(self._access) else self._access

    def title(self, args: Mapping[str, Any]) -> str:
        return f"{self.name} {json.dumps(args)}"

    async def run(self, args: Mapping[str, Any], ctx: ToolContext, progress: Callable[[str], None]) -> Result:
        self.ran.append(args)
        return await self._act(args, ctx, progress)


def allow_all(tool: str, access: Access) -> Verdict:
    return Allow("test.all", "a test")


async def no_objection(said: str) -> str:
    return ""


@dataclass
class Rig:
    """Builds the parts on first use and keeps what came of them."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    settings: RunSettings = field(default_factory=RunSettings)
    tools: Sequence[Any] = ()
    decide: Callable[[str, Access], Verdict] = allow_all
    approve: Approve | None = None
    finish: Callable[[str], Awaitable[str]] = no_objection
    tree: TreeWatch | None = None
    task: str = "do it"
    slept_s: list[float] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    steering: Callable[[], list[str]] = field(default=list)
    live_state: str = ""
    granted: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = (self.folder / "work").resolve()
        self.root.mkdir(exist_ok=True)
        self.log = RunLog.create(self.folder / "runs" / "run-1", header(self.root), self.clock)
        self.log.append(User(self.task))

    @property
    def ctx(self) -> ToolContext:
        return ToolContext(self.root, self.root, None, None, FileLedger(), SpillStore(self.log.folder / "spill"))

    def loop(self, provider: Provider) -> Loop:
        async def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            self.clock.advance(seconds)

        return Loop(
            log=self.log,
            provider=provider,
            wire_model="scripted-1",
            executor=self.executor(),
            settings=self.settings,
            emit=self.events.append,
            clock=self.clock,
            sleep=sleep,
            finish=self.finish,
            live_state=lambda: self.live_state,
            steering=self.steering,
        )

    def executor(self) -> Executor:
        return Executor(
            log=self.log,
            ctx=self.ctx,
            tools={tool.name: tool for tool in self.tools},
            decide=self.decide,
            approve=self.approve,
            emit=self.events.append,
            clock=self.clock,
            tree=self.tree,
            width=self.settings.parallel_calls,
            granted=lambda tool, covers: self.granted.append((tool, covers)),
        )

    async def run(self, provider: Provider) -> Ended:
        return await self.loop(provider).run()

    def reopen(self) -> None:
        """As another process would after this one was killed."""
        self.log.close()
        self.log = RunLog.resume(self.log.folder, self.clock)

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for record in self.log.records if isinstance(record, kind)]

    @property
    def outcomes(self) -> list[Outcome]:
        return self.of(Outcome)

    @property
    def intents(self) -> list[Intent]:
        return self.of(Intent)

    @property
    def topics(self) -> list[str]:
        return [record.topic for record in self.of(Fragment)]

    def heard(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def header(root: Path) -> Header:
    return Header(
        run_id="run-1",
        task="do it",
        model="fake/scripted",
        mode="auto",
        workspace=str(root),
        cwd=str(root),
        base_commit="0" * 40,
        system="You are a test.",
        tools=({"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}},),
        sandbox="fake",
        network="none",
    )


def answering(answer: Answer, asked: list[ApprovalAsked] | None = None) -> Approve:
    async def approve(question: ApprovalAsked) -> Answer:
        if asked is not None:
            asked.append(question)
        return answer

    return approve


def well_formed(messages: Sequence[Any]) -> list[str]:
    """What is wrong with a request's messages: each call must be followed by its one result, in call order."""
    wrong: list[str] = []
    expected: list[str] = []
    seen: set[str] = set()
    for number, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if not expected or expected.pop(0) != message.call_id:
                wrong.append(f"message {number}: result {message.call_id!r} out of place")
            continue
        if expected:
            wrong.append(f"message {number}: no result for {expected}")
            expected = []
        if isinstance(message, AssistantMessage):
            expected = [call.id for call in message.calls]
            wrong += [f"message {number}: id {call_id!r} again" for call_id in expected if call_id in seen]
            seen |= set(expected)
    return wrong + ([f"at the end: no result for {expected}"] if expected else [])


def answered(turn: int, *parts: Any, failure: str = "") -> Record:
    return Assistant(turn, tuple(parts), "end", None, None, "", failure)
