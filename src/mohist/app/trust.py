"""Which projects may have a say: a list in the user's own state, never in the project.

Trust is given to a project's root together with a digest of what it would put in force. When that changes, the
project is as untrusted as on the first day, until a person looks again.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohist.app.errors import TrustError
from mohist.base import Clock, canonical_json

_VERSION = 1
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trusted:
    """One entry of the list."""

    root: Path
    digest: str
    """Of what the project would put in force, at the time it was trusted."""
    at_ms: int


class TrustStore:
    """The list of trusted projects.

    Args:
        path: the list, mode 600; its folder is made with mode 700 when something is first trusted.
        clock: for the time of an entry.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def is_trusted(self, root: Path, digest: str) -> bool:
        """Whether `root` was trusted with exactly this digest.

        Raises:
            TrustError: the list is damaged, or others than its owner could have written it.
        """
        entry = self._read().get(_key(root))
        return entry is not None and entry.get("digest") == digest

    def trust(self, root: Path, digest: str) -> None:
        """Puts `root` on the list with `digest`; on disk when this returns."""
        with self._held():
            roots = self._read()
            roots[_key(root)] = {"digest": digest, "at_ms": self._clock.now_ms()}
            self._write(roots)

    def untrust(self, root: Path) -> bool:
        """Takes `root` off the list; False when it was not on it."""
        if not self._path.exists():
            return False
        with self._held():
            roots = self._read()
            known = roots.pop(_key(root), None) is not None
            if known:
                self._write(roots)
        return known

    def listed(self) -> tuple[Trusted, ...]:
        """All entries, by path."""
        return tuple(
            Trusted(Path(root), entry["digest"], entry["at_ms"]) for root, entry in sorted(self._read().items())
        )

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise TrustError(
                f"The list of trusted projects {str(self._path)!r} can't be read: {error.strerror}."
            ) from error
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise TrustError(
                    f"Others could have written the list of trusted projects {str(self._path)!r}.",
                    "Look through it, then make it yours alone with chmod 600, or remove it.",
                )
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(_MAX_BYTES + 1)
        finally:
            os.close(handle)
        try:
            table = json.loads(data)
            roots = table["roots"]
            sound = table["version"] == _VERSION and all(
                isinstance(entry["digest"], str) and isinstance(entry["at_ms"], int) for entry in roots.values()
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            sound = False
        if not sound:
            raise TrustError(
                f"The list of trusted projects {str(self._path)!r} is damaged.", "Remove it and trust them again."
            )
        return dict(roots)

    def _write(self, roots: dict[str, dict[str, Any]]) -> None:
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(canonical_json({"version": _VERSION, "roots": roots}) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise TrustError(
                f"The list of trusted projects {str(self._path)!r} can't be written: {error.strerror}."
            ) from error

    @contextmanager
    def _held(self) -> Iterator[None]:
        """One writer at a time, so that two terminals lose nothing."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(
                self._path.with_name(f"{self._path.name}.lock"),
                os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
            )
        except OSError as error:
            raise TrustError(f"The folder {str(self._path.parent)!r} can't be written: {error.strerror}.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _key(root: Path) -> str:
    """The root without symlinks: another way to the same folder is the same project."""
    return os.path.realpath(root)
