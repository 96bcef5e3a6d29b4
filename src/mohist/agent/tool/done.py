"""The `done` tool: the model says it is finished, and the completion gate looks whether that holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mohist.agent.tool.argument import Fields
from mohist.agent.tool.spec import Result, ToolContext
from mohist.policy import Access


@dataclass(frozen=True, slots=True)
class DoneArgs:
    summary: str
    checks: tuple[str, ...]


Gate = Callable[[Sequence[str], Callable[[str], None]], Awaitable[str]]
"""Checks the model names, and a progress sink, to "" (all held) or what failed."""


class DoneTool:
    """Ends the run when the gate holds."""

    name = "done"
    description = (
        "Finish: a summary for the user, and the commands that show the work is right. They run in a clean copy of "
        "your change, together with the agreed ones; if one fails you are told and go on."
    )
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"summary": {"type": "string"}, "checks": {"type": "array", "items": {"type": "string"}}},
        "required": ["summary"],
    }

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def parse(self, arguments: str) -> DoneArgs:
        fields = Fields.of(self.name, arguments)
        args = DoneArgs(fields.text("summary"), fields.texts("checks"))
        fields.done()
        return args

    def access(self, args: DoneArgs, ctx: ToolContext) -> Access:  # noqa: ARG002
        # Alone: it checks what the calls before it left behind. It only reads the workspace; the copy is its own.
        return Access(reads=frozenset({ctx.workspace}), writes=frozenset(), effect="none", scope="done")

    def title(self, args: DoneArgs) -> str:
        return "done: checking the change" if args.checks else "done"

    async def run(self, args: DoneArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        objection = await self._gate(args.checks, progress)
        if objection:
            return Result(objection, ok=False, summary="the checks do not hold")
        return Result(args.summary, summary="the checks hold" if args.checks else "done")
