"""Who the client's commits are by: the name and address of the user's own git, in a file of the client's HOME.

The rest of the user's git settings stays outside: aliases, helpers and hooks are commands, and credentials are secrets.
Name and address stand in every commit of the repository that the client reads anyway.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from mohist.app.errors import ConfigError

_NOBODY: Final = ("agent", "agent@localhost")
_MAX_BYTES: Final = 256 * 1024


def put_identity(home: Path, env: Mapping[str, str]) -> None:
    """Writes `.gitconfig` into a HOME that has none. git wants one before it commits, and some clients before they start.

    Raises:
        ConfigError: it can't be written.
    """
    path = home / ".gitconfig"
    if os.path.lexists(path):
        return
    name, address = identity(env)
    text = f"[user]\n\tname = {_quoted(name)}\n\temail = {_quoted(address)}\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"The client's git settings {str(path)!r} can't be written: {error.strerror}.") from error


def identity(env: Mapping[str, str]) -> tuple[str, str]:
    """Name and address as the user's own git files say them; a neutral pair where they don't."""
    home = Path(env.get("HOME") or "/nonexistent")
    beside = Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config"
    said: dict[str, str] = {}
    for path in (beside, home / ".gitconfig"):
        said |= _user(path)
    return said.get("name") or _NOBODY[0], said.get("email") or _NOBODY[1]


def _user(path: Path) -> dict[str, str]:
    """The section `user` of a file; included files are not followed."""
    reader = configparser.RawConfigParser(strict=False, allow_no_value=True, comment_prefixes=("#", ";"))
    with suppress(OSError, configparser.Error):
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode("utf-8", "replace").splitlines()
        # git indents keys, which means the same to it and a continued line to this reader.
        reader.read_string("\n".join(line.strip() for line in lines))
    section = next((name for name in reader.sections() if name.lower() == "user"), None)
    if section is None:
        return {}
    found = {key: reader.get(section, key) or "" for key in ("name", "email") if reader.has_option(section, key)}
    return {key: value.strip().strip('"') for key, value in found.items() if value.strip().strip('"').isprintable()}


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
