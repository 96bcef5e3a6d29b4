"""Where long outputs go, so that the model can look at what it was not shown."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mohist.agent.tool.errors import ToolError

PREFIX = "spill:"
"""`spill:NAME` is how the model names a spilled output; the same on every machine and in every run."""


@dataclass(frozen=True, slots=True)
class Spill:
    """One output that was put aside, whole."""

    name: str
    sha256: str
    size_bytes: int
    lines: int

    @property
    def address(self) -> str:
        """What the model passes as `path` to read or search it."""
        return PREFIX + self.name


class SpillStore:
    """A folder of outputs, each named by its kind and its content. Made on first use, for its owner only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes, kind: str = "output") -> Spill:
        """Stores `content`; the same content again is the same file. Raises ToolError."""
        with self.open(kind) as writer:
            writer.write(content)
        return writer.close()

    def open(self, kind: str = "output") -> SpillWriter:
        """For output that comes in pieces; named once it is closed. Raises ToolError, as do its methods."""
        with _told():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SpillWriter(self.folder, re.sub(r"[^a-z0-9]+", "-", kind.lower()) or "output")

    def path(self, address: str) -> Path | None:
        """The file behind `spill:NAME` or NAME; None when there is none of that name."""
        name = address.removeprefix(PREFIX)
        if not re.fullmatch(r"[a-z0-9-]+\.txt", name):
            return None
        path = self.folder / name
        return path if path.is_file() and not path.is_symlink() else None


class SpillWriter:
    """Takes pieces of one output. `close` is idempotent and gives its name."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._partial = folder / f".{secrets.token_hex(8)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _told():
            self._file = os.fdopen(os.open(self._partial, flags, 0o600), "wb")
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._newlines = 0
        self._last = b"\n"
        self._spill: Spill | None = None

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def write(self, piece: bytes) -> None:
        if not piece:
            return
        with _told():
            self._file.write(piece)
        self._digest.update(piece)
        self._size_bytes += len(piece)
        self._newlines += piece.count(b"\n")
        self._last = piece[-1:]

    def flush(self) -> None:
        with _told():
            self._file.flush()

    def close(self) -> Spill:
        if self._spill is None:
            digest = self._digest.hexdigest()
            name = f"{self._kind}-{digest[:12]}.txt"
            with _told():
                self._file.close()
                self._partial.replace(self._folder / name)
            self._spill = Spill(name, digest, self._size_bytes, self._newlines + (self._last != b"\n"))
        return self._spill

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        with contextlib.suppress(OSError):
            self._file.close()
        self._partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ToolError(f"Output could not be kept: {os.strerror(error.errno or 0)}.", audience="operator") from None
