"""The order of turns that Anthropic and Chat upstreams demand; Responses takes it too.

- Turns of the assistant in a row become one.
- The results of a turn's calls come right after it, before anything else that was said.
- Each call has exactly one result; ids are of an alphabet that everybody takes, and no two calls have the same one.
- Text that says nothing is left out, and so are turns that hold nothing.

Each turn comes out by itself and what came before it, so that requests that begin alike stay alike upstream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mohist.gateway.request import bad_request
from mohist.gateway.translate.form import Call, Part, Result, Text, Turn
from mohist.provider.dialogue import wire_id


def arranged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns in that order; those of the user and the system are not merged.

    Raises:
        RefusedError: a call without a result, a result without a call, or nothing to answer.
    """
    done: list[Turn] = []
    ids = _Ids()
    for assistant, others in _rounds(turns):
        waiting = ids.begin(assistant)
        if assistant:
            done.append(Turn("assistant", tuple(ids.renamed(part) for part in assistant)))
        results = [ids.result(part) for turn in others for part in turn.parts if isinstance(part, Result)]
        if waiting - {result.call_id for result in results}:
            missing = min(waiting - {result.call_id for result in results})
            raise bad_request(f"The tool call {missing!r} has no result. Send one for each call, after its message.")
        if results:
            done.append(Turn("user", tuple(results)))
        for turn in others:
            rest = tuple(part for part in turn.parts if not isinstance(part, Result))
            if rest:
                done.append(Turn(turn.role, rest))
    if not any(turn.role != "system" for turn in done):
        raise bad_request("The request holds no message to answer.")
    if done[-1].role == "assistant":
        raise bad_request(
            "The last message is the assistant's. An answer that goes on from it (prefill) can't be asked of this"
            " upstream; end with a message of the user."
        )
    return tuple(done)


def _rounds(turns: Iterable[Turn]) -> Iterator[tuple[list[Part], list[Turn]]]:
    """What the assistant said in a row, and what came until it spoke again."""
    assistant: list[Part] = []
    others: list[Turn] = []
    for turn in turns:
        parts = tuple(part for part in turn.parts if not _is_silent(part))
        if not parts:
            continue
        if turn.role == "assistant":
            if others:
                yield assistant, others
                assistant, others = [], []
            assistant.extend(parts)
        else:
            others.append(Turn(turn.role, parts))
    yield assistant, others


class _Ids:
    """Ids of calls as the upstream gets them. Some servers begin anew with `call_0` in each turn; Anthropic refuses that."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}
        self._now: dict[str, str] = {}
        self._answered: set[str] = set()

    def begin(self, parts: Iterable[Part]) -> set[str]:
        """The ids of a new turn's calls, which must be answered."""
        self._now = {}
        self._answered = set()
        for part in parts:
            if not isinstance(part, Call):
                continue
            if part.id in self._now:
                raise bad_request(f"Two tool calls of one message have the id {part.id[:80]!r}. Give each its own.")
            plain = wire_id(part.id)
            times = self._used[plain] = self._used.get(plain, 0) + 1
            while times > 1 and (again := wire_id(f"{plain}.{times}")) in self._used:
                times += 1
            if times > 1:
                self._used[again] = 1
                plain = again
            self._now[part.id] = plain
        return set(self._now.values())

    def renamed(self, part: Part) -> Part:
        return replace(part, id=self._now[part.id]) if isinstance(part, Call) else part

    def result(self, result: Result) -> Result:
        plain = self._now.get(result.call_id)
        if plain is None:
            raise bad_request(
                f"A tool result names the call {result.call_id[:80]!r}, which the assistant's message before it doesn't"
                " make. Send results right after their calls."
            )
        if plain in self._answered:
            raise bad_request(f"The tool call {result.call_id[:80]!r} has two results. Send one.")
        self._answered.add(plain)
        parts = tuple(part for part in result.parts if not _is_silent(part))
        return replace(result, call_id=plain, parts=parts)


def _is_silent(part: Part) -> bool:
    # Anthropic refuses text of spaces alone.
    return isinstance(part, Text) and not part.text.strip()
