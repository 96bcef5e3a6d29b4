"""What a repository would have a client do: its hooks, MCP servers, base URLs and other settings, told from the files alone."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mohist.app.govern.client import Client

_MAX_FILES: Final = 500
_MAX_FILE_BYTES: Final = 1024 * 1024
_SIGNS: Final = {
    "hooks": re.compile(r"\bhooks?\b", re.IGNORECASE),
    "MCP servers": re.compile(r"mcp_?servers?|\"mcp\"|^\[mcp", re.IGNORECASE | re.MULTILINE),
    "a base URL": re.compile(r"base_?url|api_?base|_endpoint\b", re.IGNORECASE),
    "commands": re.compile(r"\"?(command|apiKeyHelper|statusLine|exec|script)\"?\s*[:=]", re.IGNORECASE),
    "environment": re.compile(r"\"?env\"?\s*[:=]|^\[.*env.*\]|^[A-Z][A-Z0-9_]+=", re.MULTILINE),
    "permissions": re.compile(r"permissions?|approval|sandbox_mode|yolo|auto[-_]?approve", re.IGNORECASE),
    "plug-ins": re.compile(r"plug-?ins?\b", re.IGNORECASE),
}
"""Words in settings files; a sign that such a setting may be there, for a person to look."""


@dataclass(frozen=True, slots=True)
class Bidding:
    """One path of a repository that a client takes settings from."""

    path: str
    says: tuple[str, ...]
    """What words of its files point to; empty: none of those that are looked for."""

    def __str__(self) -> str:
        return f"{self.path} ({', '.join(self.says)})" if self.says else self.path


def biddings(client: Client, root: Path, cwd: Path) -> tuple[Bidding, ...]:
    """The settings of a repository for this client, those of its top first.

    Args:
        cwd: a folder below `root`; clients look in every folder in between.
    """
    found = []
    for name in _places(client, root, cwd):
        path = root / name
        if not os.path.lexists(path):
            continue
        texts = "\n".join((data or b"").decode("utf-8", "replace") for _, data in _files(path))
        found.append(Bidding(name, tuple(sign for sign, pattern in _SIGNS.items() if pattern.search(texts))))
    return tuple(found)


def digest(client: Client, root: Path, cwd: Path) -> str:
    """Of all those settings as they are now, names and contents; what trust is given to. Empty: they are too many or too large."""
    whole = hashlib.sha256(client.name.encode())
    for name in _places(client, root, cwd):
        for path, data in _files(root / name):
            if data is None:
                return ""
            for part in (os.fsencode(path.relative_to(root)), data):
                whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def _places(client: Client, root: Path, cwd: Path) -> Iterator[str]:
    """Relative paths that may hold settings."""
    steps = cwd.relative_to(root).parts
    for depth in range(len(steps) + 1):
        for name in client.obeys:
            yield "/".join((*steps[:depth], name))


def _files(path: Path) -> Iterator[tuple[Path, bytes | None]]:
    """Every file at or below `path`, in order; a link by where it points to, never followed. None: beyond the bounds."""
    left = [path]
    for _ in range(_MAX_FILES):
        if not left:
            return
        one = left.pop()
        try:
            mode = one.lstat().st_mode
            if stat.S_ISLNK(mode):
                yield one, b"link " + os.fsencode(one.readlink())
            elif stat.S_ISDIR(mode):
                left += sorted(one.iterdir(), reverse=True)
            elif stat.S_ISREG(mode):
                with one.open("rb") as file:
                    data = file.read(_MAX_FILE_BYTES + 1)
                yield one, data if len(data) <= _MAX_FILE_BYTES else None
            else:
                yield one, b"special"
        except FileNotFoundError:
            continue
        except OSError as error:
            yield one, f"unreadable {error.errno}".encode()
    if left:
        yield path, None
