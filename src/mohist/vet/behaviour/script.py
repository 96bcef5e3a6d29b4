"""What the scripted model says: a file read, a command, then a last word; a pure function of the request.

It needs no memory: how far a conversation has come is the number of tool results in it. So a retried request gets the same
answer, and every run of a subject meets the same model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Dialect = Literal["anthropic-messages", "openai-responses", "openai-chat"]
DIALECTS: tuple[Dialect, ...] = ("anthropic-messages", "openai-responses", "openai-chat")

LAST_WORDS = "The file was read and the command was run. There is nothing else to do."
SIDE_WORDS = "Read a file"
"""To a request without tools, such as one for a title."""
_READERS = ("read", "read_file", "readfile", "view", "view_file", "open_file", "cat", "read_files")
_SHELLS = (
    "bash", "shell", "shell_command", "exec_command", "run_shell_command", "local_shell", "run_command", "execute",
    "execute_bash", "terminal", "execute_command",
)  # fmt: skip
_PATHS = ("filepath", "absolutepath", "path", "file", "filename", "targetfile")
_COMMANDS = ("command", "cmd", "script")


@dataclass(frozen=True, slots=True)
class Script:
    """What the model asks for."""

    file: str
    """Absolute path within the project, to be read first."""
    command: str = "echo vetted"
    """To be run second; empty: no command."""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of the model."""

    call_id: str
    name: str
    arguments: str
    """JSON text."""
    raw_input: bool = False
    """Responses: a tool of type `custom`, which takes text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to one request."""

    number: int
    """How many tool results the request held; ids are made of it."""
    text: str
    call: Call | None
    stream: bool
    model: str


@dataclass(slots=True)
class _Question:
    model: str = ""
    stream: bool = False
    results: int = 0
    tools: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> JSON schema of its arguments."""


def answer(dialect: Dialect, content: bytes, script: Script) -> Answer | None:
    """The answer to a request's body; None: it is no request of that dialect."""
    try:
        value = json.loads(content)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    question = _Question(model=str(value.get("model", "")), stream=value.get("stream") is True)
    if dialect == "openai-responses":
        _read_responses(value, question)
    else:
        _read_messages(value, question)
    if not question.tools:
        return Answer(question.results, SIDE_WORDS, None, question.stream, question.model)
    call = _call(dialect, question, script)
    text = "I look at it." if call else LAST_WORDS
    return Answer(question.results, text, call, question.stream, question.model)


def _read_messages(value: Mapping[str, Any], question: _Question) -> None:
    for tool in _dicts(value.get("tools")):
        inner = tool.get("function", tool)
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            question.tools[inner["name"]] = _dict(inner.get("parameters") or inner.get("input_schema"))
    for message in _dicts(value.get("messages")):
        if message.get("role") == "tool":
            question.results += 1
        for block in _dicts(message.get("content")):
            question.results += block.get("type") == "tool_result"


def _read_responses(value: Mapping[str, Any], question: _Question) -> None:
    for tool in _dicts(value.get("tools")):
        if tool.get("type") == "function" and isinstance(tool.get("name"), str):
            question.tools[tool["name"]] = _dict(tool.get("parameters"))
        elif tool.get("type") == "local_shell":
            question.tools["local_shell"] = {"properties": {"command": {"type": "array"}}, "required": ["command"]}
    for item in _dicts(value.get("input")):
        question.results += str(item.get("type", "")).endswith("_output")


def _call(dialect: Dialect, question: _Question, script: Script) -> Call | None:
    prefix = "toolu_" if dialect == "anthropic-messages" else "call_"
    shell = _named(question.tools, _SHELLS)
    reader = _named(question.tools, _READERS) or shell
    steps: list[tuple[str, str, str]] = []
    if reader:
        steps.append((reader, script.file, f"cat '{script.file}'"))
    if shell and script.command:
        steps.append((shell, script.file, script.command))
    if question.results >= len(steps):
        return None
    name, path, command = steps[question.results]
    arguments = json.dumps(_arguments(question.tools[name], path, command))
    return Call(f"{prefix}{question.results + 1:024d}", name, arguments)


def _named(tools: Mapping[str, Any], wanted: Sequence[str]) -> str:
    plain = {name.lower(): name for name in tools}
    return next((plain[name] for name in wanted if name in plain), "")


def _arguments(schema: Mapping[str, Any], path: str, command: str) -> dict[str, Any]:
    """Arguments that fit the tool's schema."""
    made: dict[str, Any] = {}
    for name, kind in _dict(schema.get("properties")).items():
        plain = name.lower().replace("_", "")
        kind = _dict(kind)
        listed = "array" in json.dumps(kind.get("type", ""))
        if plain in _PATHS:
            made[name] = path
        elif plain in _COMMANDS:
            made[name] = ["sh", "-c", command] if listed else command
        elif name in schema.get("required", ()):
            made[name] = _filler(kind)
    return made


def _filler(kind: Mapping[str, Any]) -> Any:
    if kind.get("enum"):
        return kind["enum"][0]
    by_type: dict[str, Any] = {"boolean": False, "integer": 1, "number": 1, "array": [], "object": {}}
    return by_type.get(str(kind.get("type")), "Look at a file")


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
