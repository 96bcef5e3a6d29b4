"""What a client tells every model the same: the tools that it declares and its standing instructions, from kept requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mohist.vet.dossier import Dossier
from mohist.vet.errors import DossierError

_ROLES: Final = frozenset(("system", "developer"))
_VARYING: Final = re.compile(r"[0-9a-f]{8,}|\d+")
"""Ids, dates and counts differ from run to run; a line that differs by them alone is the same line."""


def standing(dossier: Dossier) -> dict[str, set[str]]:
    """Names of tools, and lines of instructions without the numbers in them, over all model requests that `behave` kept.

    Raises:
        DossierError: a request can't be read.
    """
    found: dict[str, set[str]] = {"tools": set(), "prompt": set()}
    for path in sorted(dossier.folder.glob("files/behave/*/request-*.body")):
        try:
            body = json.loads(path.read_bytes())
        except OSError as error:
            raise DossierError(f"{path} can't be read: {error.strerror}.") from None
        except ValueError:
            continue  # no model request: a probe, or what a client sent elsewhere
        if isinstance(body, dict):
            found["tools"] |= set(_tools(body.get("tools")))
            for text in _instructions(body):
                found["prompt"] |= {line for raw in text.splitlines() if (line := _VARYING.sub("#", raw.strip()))}
    return found


def _tools(tools: Any) -> Iterator[str]:
    """Chat nests a name in `function`, Responses may group tools in a namespace, Messages names them flat."""
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, Mapping):
            inner = tool.get("function")
            name = (inner if isinstance(inner, Mapping) else tool).get("name") or tool.get("type")
            if isinstance(name, str):
                yield name
            yield from _tools(tool.get("tools"))


def _instructions(body: Mapping[str, Any]) -> Iterator[str]:
    yield from _texts(body.get("system"))
    yield from _texts(body.get("instructions"))
    for key in ("messages", "input"):
        messages = body.get(key)
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, Mapping) and message.get("role") in _ROLES:
                yield from _texts(message.get("content"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]
