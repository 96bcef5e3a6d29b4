"""Records a run's model calls, and answers from such a recording.

A replay runs the agent's real tools again: commands, edits and checks happen, only the model is a recording.
It therefore compares each request with the recorded one, tool results included, and refuses to
answer one that does not fit.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohist.provider.errors import RecordingError
from mohist.provider.exchange import Price, closing
from mohist.provider.message import Caps, Delta, Done, Failed, Provider, Request, Usage
from mohist.provider.recording import (
    Json,
    Normaliser,
    Turn,
    file_of,
    header_line,
    read_recording,
    recorded_answer,
    replayed_answer,
    turn_line,
)
from mohist.provider.substitution import Substitution

_WEATHER = frozenset({"rate", "overload", "network", "cancelled"})
"""Failures that say nothing of the run; the agent tries again, and the answer it gets then is what counts."""


class Recorder:
    """Passes `inner` through and writes each finished call to `path`, one line a call, as it ends.

    A file that is there already is continued, so that a resumed run stays one recording.

    Args:
        inner: the provider that answers.
        path: the file, or a folder that is there; parents are made.
        substitution: what of this machine is masked.

    Raises:
        RecordingError: the file can't be written, or what is there is no recording.
    """

    def __init__(self, inner: Provider, path: Path, substitution: Substitution) -> None:
        self._inner = inner
        self._file = file_of(path)
        self._substitution = substitution
        self._normaliser = Normaliser(substitution)
        self._turns: list[Turn] = []
        try:
            if self._file.exists() and self._file.stat().st_size:
                self._turns += read_recording(self._file).turns
            else:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_bytes(header_line(inner.name, inner.caps))
        except OSError as error:
            raise RecordingError(f"The recording {str(path)!r} can't be written: {error.strerror}.") from error

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def caps(self) -> Caps:
        return self._inner.caps

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See Provider. A line that can't be written fails the call: half a recording helps nobody."""
        deltas: list[Delta] = []
        async with closing(self._inner.stream(request)) as stream:
            async for delta in stream:
                deltas.append(delta)
                if isinstance(delta, Done | Failed):
                    yield self._written(request, deltas)
                    return
                yield delta

    def cost_microusd(self, usage: Usage) -> int | None:
        return self._inner.cost_microusd(usage)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _written(self, request: Request, deltas: list[Delta]) -> Delta:
        """Writes the call; returns its last delta."""
        last = deltas[-1]
        if isinstance(last, Failed) and last.kind in _WEATHER:
            return last
        turn = Turn(
            len(self._turns) + 1,
            self._normaliser.tools(request),
            self._normaliser.messages(request),
            recorded_answer(deltas, self._substitution),
        )
        try:
            with self._file.open("ab") as file:
                file.write(turn_line(turn, self._turns))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            return Failed("unknown", f"the recording can't be written: {reason}")
        self._turns.append(turn)
        return last


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a request leaves the recording. `recorded` and `now` are payload: for a developer, never for a log."""

    turn: int
    where: str
    """E.g. `message 4 (tool), text, line 3, column 17`."""
    recorded: Any
    now: Any


class Replay:
    """Answers from a recording.

    A request is answered by the earliest turn not yet used that fits it: same tool names, same roles
    in the same order, same normalised text, calls and results. In a run of one agent that is turn N for call N;
    sub-agents that run at the same time may come in another order, and a resumed run starts in the middle.

    Args:
        path: a recording, or a folder that holds one.
        substitution: what of this machine stands for the placeholders.
        price: cost of the recorded usage; None: no cost is known.

    Raises:
        RecordingError: there is no readable recording at `path`.
    """

    def __init__(self, path: Path, substitution: Substitution, price: Price | None = None) -> None:
        self._name = f"replay:{path}"
        recording = read_recording(path)
        self._caps = recording.caps
        self._recorded_name = recording.provider
        self._substitution = substitution
        self._normaliser = Normaliser(substitution)
        self._unused = [self._normaliser.again(turn) for turn in recording.turns]
        self._last = len(recording.turns)
        self._price = price
        self._difference: Difference | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def recorded_name(self) -> str:
        """The provider that gave the answers when they were recorded."""
        return self._recorded_name

    @property
    def caps(self) -> Caps:
        return self._caps

    @property
    def difference(self) -> Difference | None:
        """How the last request that did not fit differs; None while all fitted."""
        return self._difference

    @property
    def unused(self) -> int:
        """Recorded turns that no request has asked for yet."""
        return len(self._unused)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See Provider. A request that does not fit gets `Failed("protocol")`, which says where it differs."""
        tools, messages = self._normaliser.tools(request), self._normaliser.messages(request)
        found = next((turn for turn in self._unused if _fits(turn, tools, messages)), None)
        if found is None:
            yield self._misfit(tools, messages)
            return
        self._unused.remove(found)
        finished = False
        try:
            for delta in replayed_answer(found.answer, self._substitution):
                finished = isinstance(delta, Done | Failed)
                yield delta
        finally:
            if not finished:
                # Cancelled: the run asks again when it goes on.
                self._unused.append(found)
                self._unused.sort(key=lambda turn: turn.number)

    def cost_microusd(self, usage: Usage) -> int | None:
        return self._price(usage) if self._price else None

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _misfit(self, tools: tuple[str, ...], messages: tuple[Json, ...]) -> Failed:
        differences = [_difference(turn, tools, messages) for turn in self._unused]
        if not differences:
            what = f"it ends after turn {self._last}, and the run asks for more"
        else:
            # The turn that fits longest is the one that was meant.
            _, self._difference = max(differences, key=lambda pair: (pair[0], -pair[1].turn))
            what = f"turn {self._difference.turn} differs in {self._difference.where}"
        return Failed("protocol", f"{self._name}: the request does not fit the recording: {what}")


def _fits(turn: Turn, tools: tuple[str, ...], messages: tuple[Json, ...]) -> bool:
    return turn.tools == tools and len(turn.messages) == len(messages) and turn.messages == messages


def _difference(turn: Turn, tools: tuple[str, ...], messages: tuple[Json, ...]) -> tuple[int, Difference]:
    """How many messages fit, and the first difference."""
    for position, (recorded, now) in enumerate(zip(turn.messages, messages, strict=False)):
        if recorded != now:
            return position, _in_message(turn.number, position, recorded, now)
    position = min(len(turn.messages), len(messages))
    if len(turn.messages) != len(messages):
        where = f"the number of messages: {len(turn.messages)} recorded, {len(messages)} now"
        return position, Difference(turn.number, where, turn.messages[position:], messages[position:])
    added, gone = sorted({*tools} - {*turn.tools}), sorted({*turn.tools} - {*tools})
    where = f"the tools: {', '.join(added) or 'none'} added, {', '.join(gone) or 'none'} gone"
    return position, Difference(turn.number, where, turn.tools, tools)


def _in_message(turn: int, position: int, recorded: Json, now: Json) -> Difference:
    where = f"message {position + 1}"
    if recorded["role"] != now["role"]:
        return Difference(turn, f"{where}: role {recorded['role']!r} recorded, {now['role']!r} now", recorded, now)
    where += f" ({now['role']})"
    for key in recorded:
        old, new = recorded.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, str) and isinstance(new, str):
            return Difference(turn, f"{where}, {key}, {_place(old, new)}", old, new)
        if key == "calls" and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            number = next(i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
            inner = next(field for field in old[number] if old[number][field] != new[number].get(field))
            return Difference(turn, f"{where}, call {number + 1}, {inner}", old[number], new[number])
        return Difference(turn, f"{where}, {key}", old, new)
    raise AssertionError("called for equal messages")


def _place(old: str, new: str) -> str:
    """Line and column, from 1, of the first character that differs."""
    differ = (position for position, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    same = next(differ, min(len(old), len(new)))
    line = old.count("\n", 0, same) + 1
    return f"line {line}, column {same - (old.rfind(chr(10), 0, same) + 1) + 1}"
