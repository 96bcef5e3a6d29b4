"""The `task` tool: a sub-agent with a context of its own; only its result comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mohist.agent.tool.argument import Fields
from mohist.agent.tool.spec import Result, ToolContext
from mohist.policy import Access


@dataclass(frozen=True, slots=True)
class TaskArgs:
    prompt: str
    write: bool


Spawn = Callable[[str, bool, Callable[[str], None]], Awaitable[Result]]
"""Prompt, whether it may change files, progress; to what it found."""


class TaskTool:
    """Hands a self-contained piece of work to a sub-agent."""

    name = "task"
    description = (
        "Give a self-contained piece of work to a sub-agent that starts with an empty context and reports back. "
        "Without write it only looks, and several run side by side."
    )
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"prompt": {"type": "string"}, "write": {"type": "boolean"}},
        "required": ["prompt"],
    }

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn

    def parse(self, arguments: str) -> TaskArgs:
        fields = Fields.of(self.name, arguments)
        args = TaskArgs(fields.text("prompt"), fields.flag("write"))
        fields.done()
        return args

    def access(self, args: TaskArgs, ctx: ToolContext) -> Access:
        # What a writing sub-agent does is decided call by call, by the same policy; here it only takes the lock.
        writes = frozenset({ctx.workspace}) if args.write else frozenset()
        return Access(
            reads=frozenset({ctx.workspace}), writes=writes, effect="local" if args.write else "none", scope="task"
        )

    def title(self, args: TaskArgs) -> str:
        first = args.prompt.strip().splitlines()[0] if args.prompt.strip() else ""
        return f"task: {first[:100]}"

    async def run(self, args: TaskArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        return await self._spawn(args.prompt, args.write, progress)
