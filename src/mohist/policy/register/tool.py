"""What tools are called: in package registries, by themselves on the wire, as programs and as extensions of editors.

One tool has many names. `claude-code` is the npm package `@anthropic-ai/claude-code`, the program `claude` and the client
`claude-cli/…`; its extension for an editor is kin of it, with version numbers of its own. `policy/data/tool.toml` holds what is
known; what is not known is named by where it was found.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from mohist.policy.register.span import Scheme

_PEP_503: Final = re.compile(r"[-_.]+")
_AGENT: Final = re.compile(r"([!-.0-~]{1,60})(?:/([!-~]{1,60}))?")
_LISTS: Final = ("packages", "agents", "origins", "programs", "extensions", "shared")
_VERSION: Final = re.compile(r"[0-9][0-9A-Za-z.+-]{0,60}")


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that is used or installed."""

    names: tuple[str, ...]
    """All its names, the most exact first; the version is counted as all of them count."""
    version: str = ""
    """Empty: it can't be told."""
    kin: tuple[str, ...] = ()
    """What it belongs to, whose versions are counted otherwise: an entry for a range of those says nothing of this."""
    claims: tuple[str, ...] = ()
    """Names that whoever set it up chose, such as a server's in a settings file: they are held against it, never for it."""

    @property
    def title(self) -> str:
        """For people: the shortest name that is no package's, else the first."""
        plain = [name for name in self.names if ":" not in name]
        name = plain[0] if plain else self.names[0]
        return f"{name} {self.version}" if self.version else name


@dataclass(frozen=True, slots=True)
class KnownTool:
    """A coding tool that is known by several names."""

    tool_id: str
    scheme: Scheme
    packages: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    """Products as they stand at the front of a User-Agent, in small letters."""
    origins: tuple[str, ...] = ()
    """Beginnings of what is said in the header `originator`, in small letters."""
    programs: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    """`vscode:…` and `jetbrains:…`: kin."""
    shared: tuple[str, ...] = ()
    """Programs whose names other tools have, too: they say something only where the package that they belong to is known."""


@cache
def known_tools() -> Mapping[str, KnownTool]:
    """By id; read from the package once."""
    text = (Path(__file__).parents[1] / "data" / "tool.toml").read_text("utf-8")
    found = {}
    for table in tomllib.loads(text)["tool"]:
        lists = {name: tuple(table.get(name, ())) for name in _LISTS}
        found[table["id"]] = KnownTool(table["id"], table.get("scheme", "semver"), **lists)
    return found


@cache
def _by_name() -> Mapping[str, KnownTool]:
    known = known_tools().values()
    named = {name: tool for tool in known for name in tool.packages}
    named |= {f"agent:{name}": tool for tool in known for name in tool.agents}
    named |= {f"program:{name}": tool for tool in known for name in tool.programs}
    return named


@cache
def _by_extension() -> Mapping[str, KnownTool]:
    return {name: tool for tool in known_tools().values() for name in tool.extensions}


def scheme_of(tool: str) -> Scheme:
    """How versions of what an entry names are ordered."""
    if tool.startswith("pypi:"):
        return "pep440"
    known = known_tools().get(tool) or _by_name().get(tool)
    return known.scheme if known is not None and not tool.startswith("npm:") else "semver"


def canonical(name: str) -> str:
    """A tool's name in its one spelling: small letters, PyPI's names with hyphens (PEP 503)."""
    text = name.strip().lower()
    return "pypi:" + _PEP_503.sub("-", text.removeprefix("pypi:")) if text.startswith("pypi:") else text


def tool_named(name: str, version: str = "") -> Tool:
    """A tool by one of its names, as an entry would name it: `claude-code`, `npm:…`, `pypi:…`, `vscode:…`, `program:…`."""
    text = canonical(name)
    if (tool := known_tools().get(text)) is not None:
        return Tool((text, *tool.packages), version)
    if (tool := _by_name().get(text)) is not None:
        return Tool((text, tool.tool_id), version)
    if (tool := _by_extension().get(text)) is not None:
        return Tool((text,), version, (tool.tool_id,))
    return Tool((text,), version)


def tool_of_client(headers: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]) -> Tool:
    """What a client says that it is, in the headers of a call. A claim: any program can say it.

    Args:
        headers: names in small letters.

    Returns:
        A tool; `agent:unknown` where it says nothing that could be read.
    """
    said = dict(headers)
    first = said.get(b"user-agent", b"")[:200].decode("latin-1").split(" ")[0]
    found = _AGENT.fullmatch(first)
    name, version = (found[1].lower(), found[2] or "") if found else ("", "")
    named = name
    if not _VERSION.fullmatch(version):
        # `OpenAI/Python 2.1`: a library's name, of which many tools are made.
        named, version = first.lower() if version and found else name, ""
    origin = said.get(b"originator", b"")[:80].decode("latin-1").lower()
    tool = _by_name().get(f"agent:{name}")
    if tool is None and origin:
        tool = next(
            (one for one in known_tools().values() if any(origin.startswith(said) for said in one.origins)), None
        )
    if tool is not None:
        # What is only claimed is held by every name that it could have.
        return Tool((f"agent:{named or origin}", tool.tool_id, *tool.packages), version)
    return Tool((f"agent:{named}" if named else "agent:unknown",), version)
