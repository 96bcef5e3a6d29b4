"""Something that was found, and files read with care: they are other people's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from mohist.policy.register import Tool

Kind = Literal["npm-package", "python-package", "program", "brew", "extension", "plugin", "editor", "mcp-server"]

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
"""Settings of clients that keep their history there grow to some megabytes."""
MAX_COMMENTED_BYTES: Final = 1024 * 1024
"""The reader of commented JSON is slow."""
MAX_LISTED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """A tool that is installed or set up."""

    tool: Tool
    kind: Kind
    place: str
    """The folder, file or program."""
    known: bool = True
    """It is a coding tool; else it counts only where an entry speaks of it."""
    used_by: str = ""
    """Of a server: whose settings name it."""


@dataclass(slots=True)
class Inventory:
    """What was found, and what could not be looked at."""

    found: list[Found] = field(default_factory=list)
    troubles: list[tuple[str, str]] = field(default_factory=list)
    """Place and what is wrong with it; never what stands in it."""

    def trouble(self, place: Path, what: str) -> None:
        """Notes that something could not be looked at."""
        if (str(place), what) not in self.troubles:
            self.troubles.append((str(place), what))

    def read(self, path: Path, limit_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """A plain file; None: there is none, or it can't be read, which is noted then. Never waits for a pipe."""
        try:
            # As root other people's folders are read: what looks like a file may be a pipe or a device.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.trouble(path, f"can't be read: {error.strerror}")
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                self.trouble(path, "is no plain file")
                return None
            try:
                data = file.read(limit_bytes + 1)
            except OSError as error:
                self.trouble(path, f"can't be read: {error.strerror}")
                return None
        if len(data) > limit_bytes:
            self.trouble(path, f"is larger than {limit_bytes} bytes")
            return None
        return data

    def json(self, path: Path) -> Any:
        """What a file of JSON says, with comments or without; None: there is none, or it can't be read."""
        data = self.read(path)
        if data is None or not data.strip():
            return None
        try:
            return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError:
            pass
        if len(data) > MAX_COMMENTED_BYTES:
            self.trouble(path, "is no JSON, and too large to be read as JSON with comments")
            return None
        import json5

        try:
            return json5.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            # Its message would quote the file.
            self.trouble(path, "is no JSON")
            return None

    def listed(self, folder: Path) -> Iterator[Path]:
        """What a folder holds, by name; nothing where there is none."""
        try:
            names = sorted(one.name for one in folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.trouble(folder, f"can't be listed: {error.strerror}")
            return
        for name in names[:MAX_LISTED]:
            yield folder / name

    def matching(self, folder: Path, pattern: str) -> Iterator[Path]:
        """Folders below by a path in which `*` stands for one name; nothing where there is none."""
        head, _, rest = pattern.partition("/")
        nexts = self.listed(folder) if head == "*" else self._starred(folder, head) if "*" in head else [folder / head]
        for one in nexts:
            if rest:
                yield from self.matching(one, rest)
            elif is_folder(one):
                yield one

    def _starred(self, folder: Path, pattern: str) -> Iterator[Path]:
        before, _, after = pattern.partition("*")
        return (one for one in self.listed(folder) if one.name.startswith(before) and one.name.endswith(after))


def is_folder(path: Path) -> bool:
    """Whether it is a folder, as far as that can be told; other people's may not be looked into."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether it is a plain file, as far as that can be told."""
    try:
        return path.is_file()
    except OSError:
        return False
