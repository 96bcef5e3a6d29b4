"""Finds bodies that two parsers may read as two different calls.

RFC 8259 section 4 leaves open which of two members of one name counts, and parsers differ: ours takes the last, others the
first. What is decided here about one tool or text would be done with the other. Go's parser, which many servers use,
takes `Model` for `model`, too (https://pkg.go.dev/encoding/json#Unmarshal).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

_DECIDING: Final = frozenset(
    {
        *("model", "stream", "messages", "input", "instructions", "system", "stream_options"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "service_tier"),
        *("tools", "functions", "mcp_servers", "web_search_options", "enable_search"),
    }
)
"""What the gateway reads, and what a guard looks at, whatever the dialect."""


class _TwiceError(Exception):
    """An object has two members of one name."""


def ambiguity(body: bytes, value: Mapping[str, Any]) -> str:
    """What is wrong, for the client: a member that is given twice, anywhere, or a deciding one in another spelling.

    Args:
        body: the JSON.
        value: what it was read as, by a parser that drops all but one of several members of a name.

    Returns:
        Empty where every parser reads the same.
    """
    for name in value:
        if name not in _DECIDING and (plain := name.casefold()) in _DECIDING:
            return f"A field is spelled almost like `{plain}`. Send `{plain}`, once."
    # A member that was dropped took the quotes of its name along, and written anew nothing gains any but what was spelled
    # as a number. Counting them takes a tenth of the time that looking at each name does.
    try:
        even = orjson.dumps(value).count(b'"') == body.count(b'"')  # refuses what is nested too deeply to be sent on
        if even and b"\\u0022" not in body:
            return ""
        json.loads(body, object_pairs_hook=_once)
    except _TwiceError:
        return "An object of the body has a field twice, and parsers differ in which one counts. Send each field once."
    except (RecursionError, orjson.JSONEncodeError):
        return "The body is nested too deeply."
    return ""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _TwiceError
