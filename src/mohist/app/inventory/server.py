"""MCP servers that the settings of coding clients name.

These files hold tokens: in variables, headers, arguments and addresses. Of an entry three things are read and kept: what it is
called, which package it runs, or the host that it is at; each only where it has the form of such a name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mohist.app.inventory.found import Found, Inventory
from mohist.policy.register import Tool, tool_named

MAX_SERVERS: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.@/ :-]{0,79}")
# Long runs of letters and digits are no names; people paste keys in the wrong place.
_KEYLIKE: Final = re.compile(r"[A-Za-z0-9_]{25,}|^(?:sk|pk|ghp|gho|mhk|xox[a-z]|eyJ|AKIA)[-_A-Z0-9]")
_NPM: Final = re.compile(
    r"((?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*)(?:@([0-9A-Za-z][0-9A-Za-z.+-]{0,60}))?", re.I
)
_PYPI: Final = re.compile(
    r"([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(?:\[[a-z0-9,._-]+\])?(?:(?:==|@)([0-9A-Za-z][0-9A-Za-z.+!-]{0,60}))?", re.I
)
_IMAGE: Final = re.compile(
    r"((?:[a-z0-9.-]+(?::\d+)?/)*[a-z0-9._-]+)(?::([A-Za-z0-9_.-]{1,60}))?(?:@sha256:[0-9a-f]{64})?"
)
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?")
_NODE: Final = frozenset({"npx", "bunx", "pnpx"})
_NODE_VERBS: Final = {"npm": ("exec", "x"), "pnpm": ("dlx", "exec"), "yarn": ("dlx",), "bun": ("x",)}
_PYTHON: Final = frozenset({"uvx", "pipx"})
_BOXES: Final = frozenset({"docker", "podman", "nerdctl"})
# Options that take the next argument; what follows others is the package.
_TAKES: Final = frozenset(
    {"-p", "--package", "--from", "--python", "--with", "-c", "--call", "--index-url", "--registry", "--spec"}
)
_BOX_TAKES: Final = frozenset({
    "-e", "--env", "--env-file", "-v", "--volume", "--mount", "--name", "--network", "-p", "--publish", "-u", "--user",
    "-w", "--workdir", "--entrypoint", "--platform", "-l", "--label", "--add-host", "--memory", "-m", "--cpus",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Source:
    """One file that a client reads."""

    client: str
    path: str
    """Below a home or a project; `*` stands for one name."""
    keys: tuple[str, ...] = ("mcpServers",)
    """Tables of servers in it, with dots."""


_CODES: Final = (
    *("Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf", "Trae", "Trae CN", "Qoder", "Kiro", "Antigravity"),
    "CodeBuddy",
)
_CODE_KEYS: Final = ("servers", "mcp.servers", "mcpServers")
_OF_HOME: Final = (
    _Source("claude-code", ".claude.json", ("mcpServers", "projects.*.mcpServers")),
    _Source("claude-code", ".claude/settings.json"),
    _Source("claude-desktop", ".config/Claude/claude_desktop_config.json"),
    _Source("claude-desktop", "Library/Application Support/Claude/claude_desktop_config.json"),
    _Source("codex", ".codex/config.toml", ("mcp_servers",)),
    _Source("cursor", ".cursor/mcp.json"),
    _Source("windsurf", ".codeium/windsurf/mcp_config.json"),
    _Source("windsurf", ".codeium/mcp_config.json"),
    _Source("opencode", ".config/opencode/opencode.json", ("mcp",)),
    _Source("opencode", ".config/opencode/opencode.jsonc", ("mcp",)),
    _Source("qwen-code", ".qwen/settings.json"),
    _Source("gemini-cli", ".gemini/settings.json"),
    _Source("gemini-cli", ".gemini/antigravity/mcp_config.json"),
    _Source("copilot", ".copilot/mcp-config.json"),
    _Source("amazon-q", ".aws/amazonq/mcp.json"),
    _Source("kiro", ".kiro/settings/mcp.json"),
    _Source("kimi-cli", ".kimi/mcp.json"),
    _Source("kimi-code", ".kimi-code/mcp.json"),
    _Source("mistral-vibe", ".vibe/config.toml", ("mcp_servers",)),
    _Source("qoder", ".qoder/mcp.json"),
    _Source("junie", ".junie/mcp/mcp.json"),
    _Source("zed", ".config/zed/settings.json", ("context_servers",)),
    _Source("crush", ".config/crush/crush.json", ("mcp",)),
    *(_Source("editor", f"{user}/{code}/User/{file}", keys)
      for user in (".config", "Library/Application Support")
      for code in _CODES
      for file, keys in (("mcp.json", _CODE_KEYS), ("settings.json", ("mcp.servers", "amp.mcpServers")),
                         ("profiles/*/mcp.json", _CODE_KEYS),
                         ("globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json", ("mcpServers",)),
                         ("globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json", ("mcpServers",)),
                         ("globalStorage/kilocode.kilo-code/settings/mcp_settings.json", ("mcpServers",)))),
    *(_Source("editor", f"{server}/data/User/mcp.json", _CODE_KEYS)
      for server in (".vscode-server", ".cursor-server", ".windsurf-server")),
)  # fmt: skip
_OF_PROJECT: Final = (
    _Source("claude-code", ".mcp.json"),
    _Source("claude-code", ".claude/settings.json"),
    _Source("cursor", ".cursor/mcp.json"),
    _Source("editor", ".vscode/mcp.json", _CODE_KEYS),
    _Source("codex", ".codex/config.toml", ("mcp_servers",)),
    _Source("opencode", "opencode.json", ("mcp",)),
    _Source("opencode", "opencode.jsonc", ("mcp",)),
    _Source("opencode", ".opencode/opencode.json", ("mcp",)),
    _Source("qwen-code", ".qwen/settings.json"),
    _Source("gemini-cli", ".gemini/settings.json"),
    _Source("kiro", ".kiro/settings/mcp.json"),
    _Source("roo-code", ".roo/mcp.json"),
    _Source("trae", ".trae/mcp.json"),
    _Source("amazon-q", ".amazonq/mcp.json"),
    _Source("junie", ".junie/mcp/mcp.json"),
)
_OF_MACHINE: Final = (
    _Source("claude-code", "etc/claude-code/managed-mcp.json"),
    _Source("claude-code", "Library/Application Support/ClaudeCode/managed-mcp.json"),
    _Source("codex", "etc/codex/config.toml", ("mcp_servers",)),
    _Source("codex", "etc/codex/managed_config.toml", ("mcp_servers",)),
    _Source("qwen-code", "etc/qwen-code/settings.json"),
    _Source("gemini-cli", "etc/gemini-cli/settings.json"),
    _Source("opencode", "etc/opencode/opencode.json", ("mcp",)),
)


def search(inventory: Inventory, root: Path, homes: Iterable[Path], projects: Iterable[Path] = ()) -> None:
    """Adds the servers that settings name: the machine's, people's, and those of projects."""
    places = [(root, source) for source in _OF_MACHINE]
    places += [(home, source) for home in homes for source in _OF_HOME]
    places += [(project, source) for project in projects for source in _OF_PROJECT]
    for folder, source in places:
        for path in _paths(inventory, folder, source.path):
            inventory.found += _servers(inventory, path, source)


def _paths(inventory: Inventory, folder: Path, pattern: str) -> Iterator[Path]:
    if "*" not in pattern:
        yield folder / pattern
        return
    parent, _, name = pattern.rpartition("/")
    for one in inventory.matching(folder, parent):
        yield one / name


def _servers(inventory: Inventory, path: Path, source: _Source) -> Iterator[Found]:
    said = _toml(inventory, path) if path.suffix == ".toml" else inventory.json(path)
    if not isinstance(said, Mapping):
        return
    count = 0
    for table in (table for key in source.keys for table in _tables(said, key.split("."))):
        for name, server in _named(table):
            if (count := count + 1) > MAX_SERVERS:
                inventory.trouble(path, f"names more than {MAX_SERVERS} servers")
                return
            yield Found(server_of(name, server), "mcp-server", str(path), used_by=source.client)


def _named(table: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and settings of each server, from a table by name or a list of tables."""
    if isinstance(table, Mapping):
        yield from ((str(name), server) for name, server in table.items() if isinstance(server, Mapping))
    elif isinstance(table, list):
        yield from ((str(one.get("name", "")), one) for one in table if isinstance(one, Mapping))


def _toml(inventory: Inventory, path: Path) -> Any:
    data = inventory.read(path)
    try:
        return None if data is None else tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        inventory.trouble(path, "is no TOML")
        return None


def _tables(said: object, keys: Sequence[str]) -> Iterator[object]:
    if not keys:
        yield said
    elif isinstance(said, Mapping):
        if keys[0] == "*":
            for one in said.values():
                yield from _tables(one, keys[1:])
            return
        if keys[0] in said:
            yield from _tables(said[keys[0]], keys[1:])
        if len(keys) > 1 and (whole := ".".join(keys)) in said:  # VS Code's settings spell it so
            yield said[whole]


def server_of(name: str, server: Mapping[str, Any]) -> Tool:
    """The tool that a server is: by the package that it runs or the host that it is at; its own name is a claim."""
    title = name if _NAME.fullmatch(name) and not _KEYLIKE.search(name) else "unnamed"
    claims = (f"mcp:{title.lower()}",)
    address = next(
        (server[key] for key in ("url", "httpUrl", "serverUrl", "uri", "endpoint") if isinstance(server.get(key), str)),
        "",
    )
    if host := _host(address):
        return Tool((f"mcp:{host}",), "", claims=claims)
    words = _words(server)
    for read in (_of_node, _of_python, _of_box):
        if words and (tool := read(words)) is not None:
            return Tool((*tool.names, f"mcp:{tool.names[0].partition(':')[2]}"), tool.version, claims=claims)
    program = Path(words[0]).name.lower() if words else ""
    shown = program if _NAME.fullmatch(program) and not _KEYLIKE.search(program) else "unknown"
    return Tool((f"mcp:program:{shown}",), "", claims=claims)


def _host(address: str) -> str:
    try:
        host = (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
    return (
        host
        if _HOST.fullmatch(host) and not _KEYLIKE.search(host.partition(".")[0])
        else ("unknown-host" if host else "")
    )


def _words(server: Mapping[str, Any]) -> list[str]:
    """Program and arguments, however they are written."""
    command: Any = server.get("command")
    args: Any = server.get("args")
    if isinstance(command, Mapping):  # Zed
        command, args = command.get("path"), command.get("args")
    words = command.split() if isinstance(command, str) else command if isinstance(command, list) else []
    words = [*words, *(args if isinstance(args, list) else [])]
    words = [word for word in words if isinstance(word, str)]
    while words and Path(words[0]).name in ("env", "cmd", "sudo", "exec", "/c", "nohup"):
        words = words[1:]
        while words and ("=" in words[0] or words[0] in ("/c", "/C", "-S", "-i")):
            words = words[1:]
    return words


def _program(words: Sequence[str]) -> str:
    return Path(words[0]).name.lower().removesuffix(".exe").removesuffix(".cmd")


def _first(words: Sequence[str], takes: frozenset[str], chosen: Iterable[str] = ()) -> str:
    """The first argument that is no option; an option's value, where the option is one of `chosen`."""
    skip = False
    for at, word in enumerate(words):
        if skip:
            skip = False
        elif word in chosen and at + 1 < len(words):
            return words[at + 1]
        elif any(word.startswith(f"{one}=") for one in chosen):
            return word.partition("=")[2]
        elif word.startswith("-"):
            skip = word in takes
        else:
            return word
    return ""


def _of_node(words: Sequence[str]) -> Tool | None:
    program = _program(words)
    rest = words[1:]
    if program not in _NODE:
        if not rest or rest[0] not in _NODE_VERBS.get(program, ()):
            return None
        rest = rest[1:]
    return _package("npm", _NPM, _first(rest, _TAKES, ("-p", "--package")))


def _of_python(words: Sequence[str]) -> Tool | None:
    program = _program(words)
    rest = words[1:]
    if program == "uv" and list(rest[:2]) == ["tool", "run"]:
        rest = rest[2:]
    elif program == "pipx" and rest[:1] and rest[0] == "run":
        rest = rest[1:]
    elif program not in _PYTHON or program == "pipx":
        return None
    return _package("pypi", _PYPI, _first(rest, _TAKES, ("--from", "--spec")))


def _of_box(words: Sequence[str]) -> Tool | None:
    if _program(words) not in _BOXES or "run" not in words:
        return None
    return _package("docker", _IMAGE, _first(words[list(words).index("run") + 1 :], _BOX_TAKES))


def _package(sort: str, form: re.Pattern[str], text: str) -> Tool | None:
    found = form.fullmatch(text)
    if found is None or _KEYLIKE.search(found[1]):
        return None
    version = found[2] or ""
    return tool_named(f"{sort}:{found[1]}", version if version[:1].isdigit() else "")
