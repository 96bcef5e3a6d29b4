"""The recorded form of a run's model calls: one file, one JSON line a call, versioned.

Line 1      {"caps", "format": "mohist-recording", "provider", "version"}
Other lines {"answer": [delta…], "base", "messages": [message…], "same", "tools": [name…], "turn"}

`messages` holds only what is new: the request's messages are the first `same` ones of turn `base`, then
these. All text is masked and normalised (see Substitution), lines are canonical JSON in ASCII.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mohist.base import canonical_json
from mohist.provider.errors import RecordingError
from mohist.provider.message import (
    AssistantMessage,
    CallArguments,
    CallReady,
    CallStarted,
    Caps,
    Delta,
    Done,
    Failed,
    Message,
    Request,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolMessage,
    Usage,
)
from mohist.provider.substitution import Substitution

FORMAT = "mohist-recording"
VERSION = 1
FILE_NAME = "turns.jsonl"
_BASES = 8
"""So many earlier turns are looked at for a common beginning; sub-agents' turns lie between a run's own."""

_USAGE_FIELDS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One recorded call."""

    number: int
    """From 1."""
    tools: tuple[str, ...]
    messages: tuple[Json, ...]
    """All messages of the request, normalised."""
    answer: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds."""

    provider: str
    caps: Caps
    turns: tuple[Turn, ...]


def file_of(path: Path) -> Path:
    """The file itself, where a folder is named."""
    return path / FILE_NAME if path.is_dir() else path


def read_recording(path: Path) -> Recording:
    """The recording at `path`, a file or a folder that holds `turns.jsonl`.

    Raises:
        RecordingError: missing, torn, malformed, or of another version.
    """
    file = file_of(path)
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise RecordingError(f"The recording {str(path)!r} can't be read: {reason}.", "Name a recording.") from error
    if lines.pop():
        raise RecordingError(f"The recording {str(path)!r} is torn at line {len(lines) + 1}.", "Record it again.")
    number = 1
    try:
        header = json.loads(lines[0]) if lines else {}
        if header.get("format") != FORMAT:
            raise RecordingError(f"{str(path)!r} is not a recording.", "Name a file that a recorded run wrote.")
        if header["version"] != VERSION:
            raise RecordingError(
                f"The recording {str(path)!r} has version {header['version']!r}, this Mohist reads {VERSION}.",
                "Record it again.",
            )
        turns: list[Turn] = []
        for number, line in enumerate(lines[1:], 2):
            turns.append(_turn(json.loads(line), turns, number - 1))
        return Recording(header["provider"], _caps(header["caps"]), tuple(turns))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecordingError(
            f"Line {number} of the recording {str(path)!r} is malformed.", "Record it again."
        ) from error


def header_line(provider: str, caps: Caps) -> bytes:
    """The first line of a recording."""
    return (
        canonical_json(
            {
                "format": FORMAT,
                "version": VERSION,
                "provider": provider,
                "caps": {
                    "context_tokens": caps.context_tokens,
                    "output_tokens": caps.output_tokens,
                    "parallel_calls": caps.parallel_calls,
                    "native_tools": caps.native_tools,
                    "cache": caps.cache,
                    "keep_thinking": caps.keep_thinking,
                    "quirks": sorted(caps.quirks),
                },
            }
        )
        + b"\n"
    )


def turn_line(turn: Turn, earlier: Sequence[Turn]) -> bytes:
    """The line of one call; what it shares with one of the last `earlier` turns is left out."""
    same, base = max(
        ((_common(turn.messages, other.messages), other.number) for other in earlier[-_BASES:]), default=(0, 0)
    )
    return (
        canonical_json(
            {
                "turn": turn.number,
                "tools": list(turn.tools),
                "base": base if same else 0,
                "same": same,
                "messages": list(turn.messages[same:]),
                "answer": list(turn.answer),
            }
        )
        + b"\n"
    )


class Normaliser:
    """Requests in the form that is compared. Remembers messages: each is normalised once in a run."""

    def __init__(self, substitution: Substitution) -> None:
        self._substitution = substitution
        self._known: dict[Message, Json] = {}
        self._renewed: dict[int, tuple[Json, Json]] = {}
        """By identity: turns share their messages. The message itself is kept so that its identity stays taken."""

    def tools(self, request: Request) -> tuple[str, ...]:
        return tuple(sorted(tool.name for tool in request.tools))

    def messages(self, request: Request) -> tuple[Json, ...]:
        return tuple(self._message(message) for message in request.messages)

    def _message(self, message: Message) -> Json:
        if message not in self._known:
            self._known[message] = self._normal(message)
        return self._known[message]

    def again(self, turn: Turn) -> Turn:
        """A recorded turn as this machine would have recorded it: here other texts may be literals than there."""
        return replace(turn, messages=tuple(self._again(message) for message in turn.messages))

    def _again(self, message: Json) -> Json:
        if id(message) not in self._renewed:
            self._renewed[id(message)] = (message, self._renew(message))
        return self._renewed[id(message)][1]

    def _renew(self, value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self._renew(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._renew(item) for item in value]
        if field in ("text", "arguments"):
            restored = self._substitution.restored(value, in_json=field == "arguments")
            return self._substitution.compared(restored)
        return value

    def _normal(self, message: Message) -> Json:
        text = self._substitution.compared
        match message:
            case AssistantMessage():
                calls = [{"id": c.id, "name": c.name, "arguments": text(c.arguments)} for c in message.calls]
                return {"role": "assistant", "text": text(message.text), "calls": calls}
            case ToolMessage(call_id, result, is_error):
                return {"role": "tool", "call_id": call_id, "text": text(result), "is_error": is_error}
            case _:
                return {"role": "user", "text": text(message.text)}


def recorded_answer(deltas: Iterable[Delta], substitution: Substitution) -> tuple[Json, ...]:
    """The deltas of a whole answer in recorded form: neighbours joined, so that no path is split over two."""
    mask = substitution.masked
    out: list[Json] = []
    torsos: dict[str, Json] = {}
    for delta in deltas:
        last = out[-1] if out else {}
        match delta:
            case TextDelta(text):
                if "text" in last:
                    last["text"] += text
                else:
                    out.append({"text": text})
            case ThinkingDelta(text, opaque, redacted):
                if "thinking" in last and last["opaque"] is None and not redacted:
                    last["thinking"] += text
                    last["opaque"] = opaque
                else:
                    out.append({"thinking": text, "opaque": opaque, "redacted": redacted})
            case CallStarted(call_id, name):
                torsos[call_id] = {"torso": {"id": call_id, "name": name, "arguments": ""}}
            case CallArguments(call_id, fragment):
                torsos[call_id]["torso"]["arguments"] += fragment
            case CallReady(call):
                torsos.pop(call.id, None)
                out.append({"call": {"id": call.id, "name": call.name, "arguments": call.arguments}})
            case Done(stop, usage, model):
                out += torsos.values()
                out.append({"done": {"stop": stop, "usage": _usage_json(usage), "model": model}})
            case Failed():
                out += torsos.values()
                wait_s = delta.retry_after_s
                out.append(
                    {
                        "failed": {
                            "kind": delta.kind,
                            "detail": delta.detail,
                            "retry_after_ms": None if wait_s is None else round(wait_s * 1000),
                            "status": delta.status,
                            "usage": _usage_json(delta.usage),
                        }
                    }
                )
    for item in out:
        for key in ("text", "thinking"):
            if key in item:
                item[key] = mask(item[key])
        for key in ("call", "torso"):
            if key in item:
                item[key]["arguments"] = mask(item[key]["arguments"])
        if "failed" in item:
            item["failed"]["detail"] = mask(item["failed"]["detail"])
    return tuple(out)


def replayed_answer(answer: Iterable[Json], substitution: Substitution) -> list[Delta]:
    """The deltas of a recorded answer, with this machine's literals."""
    put_back = substitution.restored
    out: list[Delta] = []
    for item in answer:
        match item:
            case {"text": text}:
                out.append(TextDelta(put_back(text)))
            case {"thinking": text, "opaque": opaque, "redacted": redacted}:
                out.append(ThinkingDelta(put_back(text), opaque, redacted))
            case {"call": raw} | {"torso": raw}:
                call = ToolCall(raw["id"], raw["name"], put_back(raw["arguments"], in_json=True))
                out += [CallStarted(call.id, call.name), CallArguments(call.id, call.arguments)]
                if "call" in item:
                    out.append(CallReady(call))
            case {"done": raw}:
                out.append(Done(raw["stop"], _usage(raw["usage"]), raw["model"]))
            case {"failed": raw}:
                wait_ms = raw["retry_after_ms"]
                wait_s = None if wait_ms is None else wait_ms / 1000
                detail = put_back(raw["detail"])
                out.append(Failed(raw["kind"], detail, wait_s, raw["status"], _usage(raw["usage"])))
            case _:
                raise ValueError("not a recorded delta")
    return out


def _turn(value: Json, earlier: Sequence[Turn], number: int) -> Turn:
    base, same = value["base"], value["same"]
    shared = earlier[base - 1].messages[:same] if same else ()
    if len(shared) != same or value["turn"] != number:
        raise ValueError("turns are out of order")
    answer = tuple(value["answer"])
    last = replayed_answer(answer, Substitution())[-1]
    if not isinstance(last, Done | Failed):
        raise TypeError("the answer has no end")
    return Turn(number, tuple(value["tools"]), (*shared, *value["messages"]), answer)


def _caps(value: Json) -> Caps:
    return Caps(**{**value, "quirks": frozenset(value["quirks"])})


def _usage_json(usage: Usage | None) -> Json | None:
    if usage is None:
        return None
    told = {name: getattr(usage, name) for name in _USAGE_FIELDS}
    if usage.cache_write_1h_tokens:
        told["cache_write_1h_tokens"] = usage.cache_write_1h_tokens
    return told


def _usage(value: Mapping[str, int] | None) -> Usage | None:
    return None if value is None else Usage(**value)


def _common(left: Sequence[Json], right: Sequence[Json]) -> int:
    same = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        same += 1
    return same
