"""What tools are called on each side of a translation, and how freeform tools travel as JSON ones.

Codex declares tools within namespaces and tools that take any text. Upstreams that know neither get flat names and a
function with the one string property `input`; `Names` tells both sides which is which.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mohist.gateway.request import bad_request
from mohist.gateway.translate.form import Tool

MAX_NAME_CHARS = 64
"""Of a function: https://platform.openai.com/docs/api-reference/chat/create (tools.function.name)."""

INPUT_PROPERTY = "input"
"""The only property of a freeform tool where tools take JSON."""

_SEPARATOR = "__"
_PLAIN = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST_CHARS = 8


@dataclass(frozen=True, slots=True)
class Names:
    """The tools' names as the upstream knows them. A pure function of the tools that the client declares."""

    known: Mapping[str, tuple[str, str, bool]] = field(default_factory=dict)
    """Upstream's name -> namespace, name and whether the tool is freeform."""
    flat: bool = True
    """The upstream knows no namespaces; False: names go as they are."""

    @classmethod
    def of(cls, tools: Iterable[Tool]) -> Names:
        """For an upstream without namespaces and freeform tools.

        Raises:
            RefusedError: two tools would have one name.
        """
        known: dict[str, tuple[str, str, bool]] = {}
        for tool in tools:
            name = _flat(tool.namespace, tool.name)
            if name in known:
                raise bad_request(
                    f"Two tools would both be called {name!r} upstream, which knows no namespaces. Rename one of them."
                )
            known[name] = (tool.namespace, tool.name, tool.freeform)
        return cls(known)

    @classmethod
    def same(cls, tools: Iterable[Tool]) -> Names:
        """For an upstream that takes names as they are (Responses)."""
        return cls({tool.name: (tool.namespace, tool.name, tool.freeform) for tool in tools}, flat=False)

    def outward(self, namespace: str, name: str) -> str:
        """What the upstream calls a tool; the same for a tool that is declared no longer."""
        return _flat(namespace, name) if self.flat else name

    def inward(self, name: str) -> tuple[str, str, bool]:
        """Namespace, name and freeform of a tool that the upstream calls; as it is when nobody declared it."""
        return self.known.get(name, ("", name, False))


def pack_input(text: str) -> str:
    """A freeform tool's input as JSON arguments."""
    return json.dumps({INPUT_PROPERTY: text}, ensure_ascii=False, separators=(",", ":"))


def unpack_input(arguments: str) -> str:
    """The input in JSON arguments; the arguments themselves where the model didn't keep to the schema."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get(INPUT_PROPERTY) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def _flat(namespace: str, name: str) -> str:
    whole = f"{namespace}{_SEPARATOR}{name}" if namespace else name
    if _PLAIN.fullmatch(whole):
        return whole
    digest = hashlib.sha256(f"{namespace}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{_FOREIGN.sub('_', whole)[: MAX_NAME_CHARS - _DIGEST_CHARS - 1]}_{digest}"
