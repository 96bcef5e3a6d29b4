"""Which part of a request was written by whom, in each of the three dialects.

A region is a value in the body with the source of all that stands in it. Every value of the body is in one region; what a
dialect does not know is "unknown".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from mohist.guard.block import Source
from mohist.guard.word import LONGEST_WORD, WORDS

Dialect = Literal["openai-chat", "openai-responses", "anthropic-messages"]


class Key(str):
    """The name of a field that stands where a region's value does: it is looked at itself."""

    __slots__ = ()


class Region(NamedTuple):
    """A value and who wrote it."""

    pointer: str
    value: Any
    source: Source
    name: str = ""
    """Of the tool."""
    arguments: bool = False
    """A string here may be JSON itself."""


_ROLES: Mapping[str, Source] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool_result",
    "function": "tool_result",
}
_METADATA = frozenset(
    {
        *(
            "metadata",
            "user",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_retention",
            "service_tier",
            "model",
        ),
        *("store", "container", "previous_response_id", "conversation", "inference_geo", "speed", "client_metadata"),
    }
)
_SCHEMAS = frozenset({"tools", "functions", "response_format", "text", "output_config", "tool_choice", "function_call"})
_STRANGERS: Mapping[str, Source] = {
    "web_search_tool_result": "web",
    "web_fetch_tool_result": "web",
    "mcp_tool_result": "mcp",
    "mcp_list_tools": "tool_schema",
    "mcp_approval_request": "tool_call",
}
_MCP_OWN = {"output": "mcp", "error": "mcp"}


def regions(dialect: Dialect, body: Mapping[str, Any]) -> Iterator[Region]:
    """All of a body, in its order."""
    names = _called(dialect, body)
    for key, value in body.items():
        pointer = "/" + escaped(key)
        if key not in WORDS:
            yield Region(pointer, Key(key), "unknown")
        if key == "messages" and dialect != "openai-responses" and isinstance(value, list):
            for number, message in enumerate(value):
                yield from _message(message, f"{pointer}/{number}", names)
        elif key == "input" and dialect == "openai-responses":
            yield from _items(value, pointer, names)
        elif key in ("system", "instructions"):
            yield Region(pointer, value, "system")
        elif key in ("tools", "functions") and isinstance(value, list):
            for number, tool in enumerate(value):
                yield Region(f"{pointer}/{number}", tool, "tool_schema", _tool_name(tool))
        elif key in _SCHEMAS:
            yield Region(pointer, value, "tool_schema")
        elif key in _METADATA:
            yield Region(pointer, value, "metadata")
        else:
            yield Region(pointer, value, "unknown")


def escaped(key: str) -> str:
    """A key as a JSON pointer writes it (RFC 6901 section 3)."""
    return key.replace("~", "~0").replace("/", "~1") if "/" in key or "~" in key else key


def _message(message: Any, pointer: str, names: Mapping[str, str]) -> Iterator[Region]:
    """One message of Chat Completions or Anthropic Messages."""
    if not isinstance(message, dict):
        yield Region(pointer, message, "unknown")
        return
    role = message.get("role")
    source: Source = _ROLES.get(role, "unknown") if isinstance(role, str) else "unknown"
    name = (
        _text(names.get(_text(message.get("tool_call_id"))) or message.get("name")) if source == "tool_result" else ""
    )
    for key, value in message.items():
        place = f"{pointer}/{escaped(key)}"
        if key not in WORDS:
            yield Region(place, Key(key), source, name)
        elif type(value) is str and len(value) < LONGEST_WORD and value in WORDS:
            continue
        if key == "content" and isinstance(value, list):
            for number, part in enumerate(value):
                yield from _part(part, f"{place}/{number}", source, name, names)
        elif key == "tool_calls" and isinstance(value, list):
            for number, call in enumerate(value):
                yield Region(f"{place}/{number}", call, "tool_call", _tool_name(call), arguments=True)
        elif key == "function_call":
            yield Region(place, value, "tool_call", _tool_name(value), arguments=True)
        else:
            yield Region(place, value, source, name)


def _part(part: Any, pointer: str, source: Source, name: str, names: Mapping[str, str]) -> Iterator[Region]:
    """One content part of a message."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind in ("text", "image_url", "input_text", "output_text"):
        yield Region(pointer, part, source, name)
    elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        yield Region(pointer, part, "tool_call", _tool_name(part))
    elif kind in _STRANGERS:
        yield Region(pointer, part, _STRANGERS[kind], names.get(_text(part.get("tool_use_id")), ""))
    elif kind.endswith("tool_result"):
        yield Region(pointer, part, "tool_result", names.get(_text(part.get("tool_use_id")), ""))
    else:
        yield Region(pointer, part, source, name)


def _items(value: Any, pointer: str, names: Mapping[str, str]) -> Iterator[Region]:
    """The input of a Responses call."""
    if not isinstance(value, list):
        yield Region(pointer, value, "user" if isinstance(value, str) else "unknown")
        return
    for number, item in enumerate(value):
        place = f"{pointer}/{number}"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if not isinstance(kind, str):
            yield Region(place, item, "unknown")
        elif kind == "message":
            yield from _message(item, place, names)
        elif kind == "mcp_call":
            for key, inner in item.items():
                if key not in WORDS:
                    yield Region(f"{place}/{escaped(key)}", Key(key), "tool_call", _tool_name(item))
                source: Source = "mcp" if key in _MCP_OWN else "tool_call"
                yield Region(f"{place}/{escaped(key)}", inner, source, _tool_name(item), arguments=key == "arguments")
        elif kind.endswith("_output"):
            yield Region(place, item, "tool_result", names.get(_text(item.get("call_id")), ""))
        elif kind in _STRANGERS:
            yield Region(place, item, _STRANGERS[kind])
        elif kind.endswith("_call"):
            yield Region(place, item, "tool_call", _tool_name(item), arguments=True)
        elif kind == "reasoning":
            yield Region(place, item, "assistant")
        else:
            yield Region(place, item, "unknown")


def _called(dialect: Dialect, body: Mapping[str, Any]) -> dict[str, str]:
    """The names of the tools that were called, by the call's id."""
    names: dict[str, str] = {}
    if dialect == "openai-responses":
        for item in _dicts(body.get("input")):
            if "call_id" in item and isinstance(item.get("name"), str):
                names[_text(item["call_id"])] = item["name"]
        return names
    for message in _dicts(body.get("messages")):
        for call in (*_dicts(message.get("tool_calls")), *_dicts(message.get("content"))):
            if isinstance(call.get("id"), str) and (name := _tool_name(call)):
                names[call["id"]] = name
    return names


def _tool_name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return ""
    function = tool.get("function")
    return _text(tool.get("name")) or (_text(function.get("name")) if isinstance(function, dict) else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
