"""The `plan` tool: the steps of the work, for the person who watches and for the model after a summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import ToolArgumentError
from mohist.agent.tool.spec import Result, ToolContext
from mohist.policy import Access

_MARKS = {"todo": "[ ]", "doing": "[~]", "done": "[x]"}


@dataclass(frozen=True, slots=True)
class PlanArgs:
    steps: tuple[tuple[str, str], ...]
    """Pairs of text and state."""


class PlanTool:
    """Holds the newest plan of the run."""

    name = "plan"
    description = "Write down or update the steps of a longer task; send all steps each time."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "state": {"enum": ["todo", "doing", "done"]}},
                    "required": ["text", "state"],
                },
            }
        },
        "required": ["steps"],
    }

    def __init__(self) -> None:
        self.current = ""
        """The plan as shown; empty when there is none."""

    def parse(self, arguments: str) -> PlanArgs:
        fields = Fields.of(self.name, arguments)
        steps = []
        for item in fields.objects("steps"):
            steps.append((item.text("text"), item.choice("state", tuple(_MARKS), "todo")))
            item.done()
        fields.done()
        if not steps:
            raise ToolArgumentError("A plan needs at least one step.")
        return PlanArgs(tuple(steps))

    def access(self, args: PlanArgs, ctx: ToolContext) -> Access:  # noqa: ARG002
        return Access(scope="plan")

    def title(self, args: PlanArgs) -> str:
        done = sum(state == "done" for _, state in args.steps)
        return f"plan: {done} of {len(args.steps)} steps done"

    async def run(self, args: PlanArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        self.current = "\n".join(f"{_MARKS[state]} {text}" for text, state in args.steps)
        return Result("Noted.", summary=self.title(args) + "\n" + self.current)
