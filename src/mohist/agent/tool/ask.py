"""The `ask` tool: a question to the person the work is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mohist.agent.tool.argument import Fields
from mohist.agent.tool.spec import Result, ToolContext
from mohist.agent.view import USER_ANSWERED
from mohist.policy import Access


@dataclass(frozen=True, slots=True)
class AskArgs:
    question: str
    recommended: str


Reply = Callable[[str, str], Awaitable[str]]
"""Question and recommended answer to the person's answer."""


class AskTool:
    """Asks, or says that nobody is there to answer."""

    name = "ask"
    description = "Ask the user something whose answer changes the result. Give the answer you recommend."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"question": {"type": "string"}, "recommended": {"type": "string"}},
        "required": ["question", "recommended"],
    }

    def __init__(self, reply: Reply | None) -> None:
        """`reply` None: nobody can be asked in this run."""
        self._reply = reply

    def parse(self, arguments: str) -> AskArgs:
        fields = Fields.of(self.name, arguments)
        args = AskArgs(fields.text("question"), fields.text("recommended"))
        fields.done()
        return args

    def access(self, args: AskArgs, ctx: ToolContext) -> Access:  # noqa: ARG002
        return Access(scope="ask")

    def title(self, args: AskArgs) -> str:
        return f"ask: {args.question}"

    async def run(self, args: AskArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:  # noqa: ARG002
        if self._reply is None:
            text = f"Nobody can be asked in this run. Go on with what you recommended: {args.recommended}"
            return Result(text, summary="nobody to ask; goes on with its recommendation")
        answer = await self._reply(args.question, args.recommended)
        return Result(f"{USER_ANSWERED}{answer}", summary=f"answered: {answer}")
