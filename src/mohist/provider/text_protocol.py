"""Tool calls as text, for models that have no native ones.

The model is told the tools in the system prompt and calls one with a fenced block:

    ```tool read
    {"path": "src/app.py"}
    ```

JSON strings hold no raw newline, so no argument can contain a line that closes the block. Also read
are fences of more backticks, and a block without a name whose JSON is `{"name": …, "arguments": {…}}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

from mohist.provider.dialogue import CallIds, settled
from mohist.provider.exchange import closing
from mohist.provider.message import (
    AssistantMessage,
    CallArguments,
    CallReady,
    CallStarted,
    Caps,
    Delta,
    Done,
    Message,
    Provider,
    Request,
    TextDelta,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
)

_OPEN = re.compile(r"[ \t]{0,3}(`{3,})[ \t]*tool(?:[ \t]+([A-Za-z0-9_.-]+))?[ \t]*")
_OPEN_SO_FAR = re.compile(r"[ \t]{0,3}(?:`{0,2}|`{3,}[ \t]*(?:t|to|too|tool(?:[ \t][A-Za-z0-9_.\- \t]*)?)?)\r?")
"""What may still become an opening fence; such a beginning of a line is held back."""


class TextTools:
    """Wraps a provider whose model calls no tools, and gives it tools.

    Args:
        inner: gets requests without tools and with plain user and assistant messages only.
    """

    def __init__(self, inner: Provider) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def caps(self) -> Caps:
        return self._inner.caps

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See Provider."""
        messages = settled(request.messages)
        if not request.tools and not any(isinstance(m, ToolMessage) for m in messages):
            inner, parser = request, None
        else:
            inner = replace(
                request,
                system=f"{request.system}\n\n{told_tools(request.tools)}".strip(),
                messages=tuple(as_text(messages)),
                tools=(),
            )
            parser = ToolText(CallIds(messages))
        async with closing(self._inner.stream(inner)) as stream:
            async for delta in stream:
                if parser is None:
                    yield delta
                    continue
                match delta:
                    case TextDelta(text):
                        for part in parser.feed(text):
                            yield part
                    case Done(stop, usage, model):
                        for part in parser.end(cut=stop == "length"):
                            yield part
                        calls = parser.called and stop != "length"
                        yield Done("tool_calls" if calls else stop, usage, model)
                    case _:
                        yield delta

    def cost_microusd(self, usage: Usage) -> int | None:
        return self._inner.cost_microusd(usage)

    async def aclose(self) -> None:
        await self._inner.aclose()


def told_tools(tools: Sequence[ToolSpec]) -> str:
    """The part of the system prompt that explains tools: short, and the same for the same tools."""
    lines = [
        "# Tools",
        "To call a tool write a block like this, its arguments as one JSON object (newlines in strings as \\n):",
        "```tool NAME",
        '{"argument": "value"}',
        "```",
        "You may write several blocks. Stop after the last one; the results come in the next message.",
    ]
    for tool in tools:
        properties = tool.parameters.get("properties", {})
        required = tool.parameters.get("required", ())
        lines.append(f"\n## {tool.name}\n{tool.description}")
        for name, schema in properties.items():
            compact = {key: value for key, value in schema.items() if key not in ("description", "title", "default")}
            optional = "" if name in required else ", optional"
            kind = compact["type"] if compact.keys() == {"type"} else json.dumps(compact, ensure_ascii=False)
            about = schema.get("description", "")
            lines.append(f"- {name} ({kind}{optional}){': ' + about if about else ''}")
    return "\n".join(lines)


def as_text(messages: Iterable[Message]) -> list[Message]:
    """The messages without calls and results in them: a call as the block the model wrote, results as user text."""
    out: list[Message] = []
    names: dict[str, str] = {}
    for message in messages:
        match message:
            case AssistantMessage(parts):
                names |= {call.id: call.name for call in message.calls}
                kept = [part for part in parts if isinstance(part, ThinkingPart)]
                said = ""
                for part in parts:
                    if isinstance(part, ToolCall):
                        gap = "" if not said or said.endswith("\n") else "\n"
                        said += f"{gap}```tool {part.name}\n{part.arguments}\n```\n"
                    elif isinstance(part, TextPart):
                        said += part.text
                out.append(AssistantMessage((*kept, TextPart(said.rstrip("\n")))))
            case ToolMessage(call_id, text, is_error):
                head = f"{'Error' if is_error else 'Result'} of {names.get(call_id, 'tool')} ({call_id}):"
                shown = f"{head}\n{text}"
                if out and isinstance(out[-1], UserMessage):
                    out[-1] = UserMessage(f"{out[-1].text}\n\n{shown}")
                else:
                    out.append(UserMessage(shown))
            case UserMessage(text):
                if out and isinstance(out[-1], UserMessage):
                    out[-1] = UserMessage(f"{out[-1].text}\n\n{text}")
                else:
                    out.append(message)
    return out


class ToolText:
    """Text in pieces of any size in; text and calls out. The deltas are the same however the text is split,
    but for where one TextDelta ends and the next begins.
    """

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._line = ""
        self._held = True
        """True while the line under way may still become an opening fence, and nothing of it was given out."""
        self._fence = ""
        self._name = ""
        self._body: list[str] = []
        self._called = False

    @property
    def called(self) -> bool:
        """True once a call was read."""
        return self._called

    def feed(self, text: str) -> list[Delta]:
        out: list[Delta] = []
        for piece in re.findall(r"[^\n]*\n|[^\n]+", text):
            self._take(piece, out)
        return _joined(out)

    def end(self, *, cut: bool) -> list[Delta]:
        """What is left. A block that nothing closed counts as closed, unless the answer was cut for length."""
        out: list[Delta] = []
        if self._fence:
            if self._line.strip() != self._fence:
                self._body.append(self._line)
            self._call(out, whole=not cut)
        elif self._line and self._held:
            opening = _OPEN.fullmatch(self._line)
            if not opening:
                out.append(TextDelta(self._line))
        self._line = ""
        return out

    def _take(self, piece: str, out: list[Delta]) -> None:
        ended = piece.endswith("\n")
        self._line += piece
        if self._fence:
            if ended:
                if _closes(self._line, self._fence):
                    self._call(out, whole=True)
                else:
                    self._body.append(self._line)
                self._line = ""
            return
        if self._held and not ended and _OPEN_SO_FAR.fullmatch(self._line):
            return
        opening = _OPEN.fullmatch(self._line.rstrip("\r\n")) if ended and self._held else None
        if opening:
            self._fence, self._name = opening[1], opening[2] or ""
        else:
            out.append(TextDelta(self._line))
        self._line = ""
        self._held = ended

    def _call(self, out: list[Delta], *, whole: bool) -> None:
        arguments = "".join(self._body).strip()
        name = self._name
        self._fence, self._name, self._body, self._held = "", "", [], True
        if not name:
            name, arguments = _named(arguments)
        call = ToolCall(self._ids.take(""), name, arguments or "{}")
        out += [CallStarted(call.id, call.name), CallArguments(call.id, call.arguments)]
        if whole:
            self._called = True
            out.append(CallReady(call))


def _closes(line: str, fence: str) -> bool:
    line = line.strip()
    return len(line) >= len(fence) and not line.strip("`")


def _named(text: str) -> tuple[str, str]:
    """Name and arguments of a block that names its tool inside."""
    try:
        value = json.loads(text)
        name, arguments = value["name"], value.get("arguments", {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unnamed", text
    return str(name), arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _joined(deltas: Iterable[Delta]) -> list[Delta]:
    out: list[Delta] = []
    for delta in deltas:
        if isinstance(delta, TextDelta) and out and isinstance(out[-1], TextDelta):
            out[-1] = TextDelta(out[-1].text + delta.text)
        else:
            out.append(delta)
    return out
