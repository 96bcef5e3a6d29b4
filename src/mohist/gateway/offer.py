"""Which tools a call offers to the model, by name, and which of them the vendor would run on its own machines.

The names are what rules are written about; what the tools take is not read. Read leniently: what is of an unknown
shape has no name, and the upstream says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mohist.gateway.call import Dialect

MAX_DEPTH: Final = 4
"""Of namespaces within namespaces."""
MAX_NAME_CHARS: Final = 200

# Types of tools that the client itself runs. Every other type is run by the vendor, or is new, which counts as that.
# https://platform.openai.com/docs/api-reference/responses/create (tools), 2026-11
# https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview (client tools), 2026-11
_CLIENT_RUN: Final = frozenset(
    {
        *("function", "custom", "namespace", "local_shell", "apply_patch", "computer_use_preview", "computer"),
        *("bash", "text_editor", "memory"),
    }
)
# web_search_20250305, web_search_preview_2025_03_11
_DATED: Final = re.compile(r"(?:_preview)?_\d{4}_?\d{2}_?\d{2}$|_preview$")


@dataclass(frozen=True, slots=True)
class Offer:
    """Tools of one call; the order is that of the call."""

    tools: tuple[str, ...] = ()
    """Every name, and the kind of those that have a kind of their own."""
    vendor_tools: tuple[str, ...] = ()
    """Kinds of those that the vendor runs, without dates: `web_search`, `code_execution`, `mcp`."""


NOTHING: Final = Offer()


def offered(value: Mapping[str, Any], dialect: Dialect) -> Offer:
    """The tools of a request's body."""
    names: dict[str, None] = {}
    kinds: dict[str, None] = {}
    _read(value.get("tools"), names, kinds, MAX_DEPTH)
    if dialect == "openai-chat":
        _read(value.get("functions"), names, kinds, 1)  # what `tools` was called before 2024, still taken
        # https://platform.openai.com/docs/guides/tools-web-search?api-mode=chat; DashScope's own switch
        if isinstance(value.get("web_search_options"), dict) or value.get("enable_search") is True:
            kinds["web_search"] = None
    if value.get("mcp_servers"):  # https://docs.claude.com/en/docs/agents-and-tools/mcp-connector
        kinds["mcp"] = None
    if dialect == "openai-responses":
        _added(value.get("input"), names, kinds)
    if not names and not kinds:
        return NOTHING
    return Offer(tuple(names | kinds), tuple(kinds))


def _added(items: object, names: dict[str, None], kinds: dict[str, None]) -> None:
    """Tools that come into a conversation later, as items of its input."""
    if isinstance(items, list):
        for item in items:
            if isinstance(item, dict) and "tools" in item and item.get("type") != "mcp_list_tools":
                _read(item["tools"], names, kinds, MAX_DEPTH)


def _read(tools: object, names: dict[str, None], kinds: dict[str, None], depth: int) -> None:
    if not isinstance(tools, list) or not depth:
        return
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        # Which name counts is for the upstream to say: it goes by the type, or ignores what it doesn't know.
        for holder in (tool, *(part for key in ("function", "custom") if isinstance(part := tool.get(key), dict))):
            if isinstance(name := holder.get("name"), str) and name:
                names[name[:MAX_NAME_CHARS]] = None
        kind = tool.get("type")
        if isinstance(kind, str) and kind != "function":
            kind = _DATED.sub("", kind[:MAX_NAME_CHARS])
            if kind not in _CLIENT_RUN:
                kinds[kind] = None
            elif kind not in ("custom", "namespace"):
                names[kind] = None
        if "tools" in tool:
            _read(tool["tools"], names, kinds, depth - 1)
