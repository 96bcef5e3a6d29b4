"""A model that answers from a script, and one that answers badly.

    ScriptedModel('''
        text Let me look.
        call read {"path": "a.txt"}
        ---
        fail rate slow down retry=3
        ---
        text All done.
        usage 100 20
    ''')

One answer between two `---`. Lines of an answer, in order:

    text WORDS | think WORDS | opaque SIGNATURE
    call NAME JSON | call#ID NAME JSON
    usage INPUT OUTPUT [CACHE_READ] | no-usage
    stop REASON
    fail KIND DETAIL [retry=SECONDS]
    cut                    the stream ends without a last delta
    empty                  nothing but the end
"""

from __future__ import annotations

import random
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import anyio.lowlevel

from mohist.provider.message import (
    CallArguments,
    CallReady,
    CallStarted,
    Caps,
    Delta,
    Done,
    Failed,
    FailureKind,
    Request,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
)

Answer = list[Delta]


class ScriptedModel:
    """Fills `Provider`; `requests` holds what was asked. A request past the script's end fails loudly."""

    def __init__(
        self,
        script: str | Sequence[Answer] | Callable[[Request], Answer],
        *,
        caps: Caps | None = None,
        price: int | None = 1,
    ) -> None:
        """
        Args:
            script: the text above, answers ready made, or a function that answers.
            price: millionths of a dollar per token; None: unknown.
        """
        self.requests: list[Request] = []
        self._caps = caps or Caps()
        self._price = price
        self._answers = answers(script) if isinstance(script, str) else script

    @property
    def name(self) -> str:
        return "fake/scripted"

    @property
    def caps(self) -> Caps:
        return self._caps

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.requests.append(request)
        for delta in self._answer(request):
            await anyio.lowlevel.checkpoint()
            yield delta

    def cost_microusd(self, usage: Usage) -> int | None:
        return None if self._price is None else self._price * (usage.prompt_tokens + usage.output_tokens)

    async def aclose(self) -> None:
        return

    def _answer(self, request: Request) -> Answer:
        if callable(self._answers):
            return self._answers(request)
        number = len(self.requests) - 1
        assert number < len(self._answers), f"the script has {len(self._answers)} answers, asked for one more"
        return self._answers[number]


class ChaoticModel:
    """Another provider's answers, told badly: split anywhere, cut, with ids used twice. Always the same for one seed."""

    def __init__(self, inner: ScriptedModel, seed: int, *, faults: frozenset[str] = frozenset()) -> None:
        """`faults`: of `cut` (network failure somewhere), `length` (stop in a call), `same_ids`."""
        self._inner = inner
        self._random = random.Random(seed)
        self._faults = faults

    @property
    def name(self) -> str:
        return "fake/chaotic"

    @property
    def caps(self) -> Caps:
        return self._inner.caps

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        deltas = [piece async for delta in self._inner.stream(request) for piece in self._split(delta)]
        if "same_ids" in self._faults:
            deltas = [_renamed(delta, "call_0") for delta in deltas]
        if "cut" in self._faults and self._random.random() < 0.3:
            deltas = [*deltas[: self._random.randrange(len(deltas))], Failed("network", "the connection broke")]
        elif "length" in self._faults and self._random.random() < 0.3 and isinstance(deltas[-1], Done):
            deltas = [*deltas[:-1], replace(deltas[-1], stop="length")]
        for delta in deltas:
            yield delta

    def cost_microusd(self, usage: Usage) -> int | None:
        return self._inner.cost_microusd(usage)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _split(self, delta: Delta) -> Iterator[Delta]:
        match delta:
            case TextDelta(text) | ThinkingDelta(text) if len(text) > 1:
                at = self._random.randrange(len(text))
                yield from (replace(delta, text=text[:at]), replace(delta, text=text[at:]))
            case CallArguments(call_id, fragment) if fragment:
                at = self._random.randrange(len(fragment))
                yield from (CallArguments(call_id, fragment[:at]), CallArguments(call_id, fragment[at:]))
            case _:
                yield delta


@dataclass(slots=True)
class _Counter:
    calls: int = 0


def answers(script: str) -> list[Answer]:
    """The script's answers as deltas."""
    counter = _Counter()
    blocks = textwrap.dedent(script).strip().split("\n---\n")
    return [_deltas(block.splitlines(), counter) for block in blocks]


def _deltas(lines: Sequence[str], counter: _Counter) -> Answer:
    deltas: Answer = []
    usage: Usage | None = Usage(10, 0, 0, 5)
    stop = ""
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "text":
            deltas.append(TextDelta(rest))
        elif word == "think":
            deltas.append(ThinkingDelta(rest))
        elif word == "opaque":
            deltas.append(ThinkingDelta("", rest))
        elif word.partition("#")[0] == "call":
            counter.calls += 1
            call_id = word.partition("#")[2] or f"c{counter.calls}"
            name, _, arguments = rest.partition(" ")
            deltas += [
                CallStarted(call_id, name),
                CallArguments(call_id, arguments),
                CallReady(ToolCall(call_id, name, arguments)),
            ]
            stop = stop or "tool_calls"
        elif word == "usage":
            counts = [int(count) for count in rest.split()]
            usage = Usage(counts[0], counts[2] if len(counts) > 2 else 0, 0, counts[1])
        elif word == "no-usage":
            usage = None
        elif word == "stop":
            stop = rest
        elif word == "fail":
            kind, _, detail = rest.partition(" ")
            detail, _, retry = detail.partition(" retry=")
            failed = Failed(cast(FailureKind, kind), detail, float(retry) if retry else None)
            return [*deltas, failed]
        elif word == "cut":
            return deltas
        elif word and word != "empty":
            raise ValueError(f"no such line: {line!r}")
    return [*deltas, Done(cast(StopReason, stop or "end"), usage, "scripted-1")]


def _renamed(delta: Delta, call_id: str) -> Delta:
    match delta:
        case CallStarted() | CallArguments():
            return replace(delta, id=call_id)
        case CallReady(call):
            return CallReady(replace(call, id=call_id))
        case _:
            return cast(Any, delta)
