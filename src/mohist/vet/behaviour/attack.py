"""What a hostile repository holds: files whose every command and host leaves a mark of its own when it takes effect."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path(__file__).with_name("attacks.toml")
_RUN, _HOST = re.compile(r"@RUN:([a-z0-9-]+)@"), re.compile(r"@HOST:([a-z0-9-]+)@")
_ZONE = "repository.example"
"""Whose names nothing but the files say (RFC 2606)."""
_MARK = ".mark-"
ANY = "any"


@dataclass(frozen=True, slots=True)
class Attack:
    """The files of one group."""

    group: str
    files: tuple[tuple[str, str], ...]
    """Path and text, marks filled in; paths below .git too."""
    commands: tuple[str, ...]
    """Ids of what is run."""
    hosts: tuple[str, ...]
    """Ids of hosts."""


def attacks(client: str, inside_home: str) -> tuple[Attack, ...]:
    """All that are tried with a client.

    Args:
        client: as the table names it; unknown ones get what is tried with each, and what is made for all others.
        inside_home: HOME as the client sees it; marks are files there.
    """
    rows = tomllib.loads(_TABLE.read_text(encoding="utf-8"))["file"]
    known = {row["of"] for row in rows} - {ANY}
    mine = [row for row in rows if row["of"] in ((client, ANY) if client in known else (*known, ANY))]
    own = {row["path"] for row in mine if row["of"] == client}
    mine = [row for row in mine if row["of"] != ANY or row["path"] not in own]
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in mine:
        name = row["group"] if row["of"] in (client, ANY) else f"{row['of']}: {row['group']}"
        groups.setdefault(name, []).append((row["path"], row["text"]))
    return tuple(_attack(name, files, inside_home) for name, files in groups.items())


def together(several: Sequence[Attack]) -> Attack:
    """All groups at once; of two files at one place the first counts."""
    files: dict[str, str] = {}
    for one in several:
        for path, text in one.files:
            files.setdefault(path, text)
    held = "\n".join(files.values())
    return Attack(
        "all at once",
        tuple(files.items()),
        tuple(name for one in several for name in one.commands if f"{_MARK}{name}" in held),
        tuple(name for one in several for name in one.hosts if host_of(name) in held),
    )


def host_of(name: str) -> str:
    """The host of an id."""
    return f"{name}.{_ZONE}"


def marks(home: Path, names: Iterable[str]) -> list[str]:
    """Ids whose command has run.

    Args:
        home: HOME as it lies outside.
        names: ids.
    """
    return [name for name in names if (home / f"{_MARK}{name}").exists()]


def _attack(group: str, files: Sequence[tuple[str, str]], home: str) -> Attack:
    whole = "\n".join(text for _, text in files)
    return Attack(
        group,
        tuple((path, _filled(text, home)) for path, text in files),
        tuple(dict.fromkeys(_RUN.findall(whole))),
        tuple(dict.fromkeys(_HOST.findall(whole))),
    )


def _filled(text: str, home: str) -> str:
    text = _RUN.sub(lambda found: f"touch {home}/{_MARK}{found[1]}", text)
    return _HOST.sub(lambda found: host_of(found[1]), text).lstrip("\n")
