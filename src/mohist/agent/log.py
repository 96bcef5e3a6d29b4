"""The append-only log of one run on disk.

    runs/<run_id>/log.jsonl     one record a line: {"v":1,"seq":0,"at_ms":…,"kind":…,…}, ASCII only
    runs/<run_id>/blobs/<sha>   pre-images and large contents, by sha256
    runs/<run_id>/spill/        long outputs the model may look into
    runs/<run_id>/torn/         bytes of a line that a crash cut off, kept aside
    runs/<run_id>/lock          held by the process that works on the run

A record is on the disk (fsync) when `append` returns. A killed writer can leave at most one torn
line, which the next open moves aside.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mohist.agent.errors import LogError, TreeBusyError
from mohist.agent.record import LOG_VERSION, Header, Record, from_json, to_json
from mohist.base import Clock, canonical_json, sha256_hex


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its place."""

    seq: int
    at_ms: int
    record: Record


class RunLog:
    """One run's log, open for appending by this process alone."""

    def __init__(self, folder: Path, clock: Clock, blobs: Path | None = None) -> None:
        self.folder = folder
        self.blobs = blobs or folder / "blobs"
        self.entries: list[Entry] = []
        self.heard: Callable[[Entry], None] | None = None
        """Told of every record once it is on disk; what it raises stops whoever appended."""
        self._clock = clock
        # Unbuffered: what a full disk refused must not reach the file later, when it is closed.
        self._file: FileIO | None = None
        self._lock: IO[bytes] | None = None
        self._broken = ""
        self._size_bytes = 0

    @classmethod
    def create(cls, folder: Path, header: Header, clock: Clock, blobs: Path | None = None) -> RunLog:
        """A new log with `header` as its first record; LogError when the folder exists.

        A sub-agent's log shares the `blobs` of the run it belongs to, so that one undo covers both.
        """
        log = cls(folder, clock, blobs)
        try:
            folder.mkdir(parents=True, mode=0o700)
            (folder / "spill").mkdir(mode=0o700)
            log.blobs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LogError(f"Can't make the run's folder {str(folder)!r}: {error.strerror}.") from error
        try:
            log._open()
            log.append(header)
            _sync_folder(folder)
        except BaseException:
            log.close()
            raise
        return log

    @classmethod
    def resume(cls, folder: Path, clock: Clock) -> RunLog:
        """An existing log, its torn tail moved aside; TreeBusyError when another process works on it."""
        log = cls(folder, clock)
        if not (folder / "log.jsonl").is_file():
            raise LogError(f"No run {folder.name!r} here.", "See: mohist runs list")
        try:
            log._open()
            log._repair()
        except BaseException:
            log.close()
            raise
        return log

    @property
    def header(self) -> Header:
        first = self.entries[0].record
        assert isinstance(first, Header)
        return first

    @property
    def records(self) -> list[Record]:
        return [entry.record for entry in self.entries]

    def append(self, record: Record) -> Entry:
        """Writes `record` and syncs it; LogError (disk full, …) leaves the log whole up to the record before."""
        if self._file is None or self._broken:
            raise LogError(f"The log {str(self.folder)!r} can't be written: {self._broken or 'it is closed'}.")
        entry = Entry(len(self.entries), self._clock.now_ms(), record)
        line = canonical_json({"v": LOG_VERSION, "seq": entry.seq, "at_ms": entry.at_ms, **to_json(record)}) + b"\n"
        start = self._size_bytes
        try:
            left = memoryview(line)
            while left:
                left = left[self._file.write(left) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._broken = error.strerror or str(error)
            self._cut(start)
            raise LogError(
                f"Can't write the log of {self.folder.name!r}: {self._broken}.",
                f"Make room, then: mohist runs resume {self.folder.name}",
                audience="operator",
            ) from error
        self._size_bytes += len(line)
        self.entries.append(entry)
        if self.heard is not None:
            self.heard(entry)
        return entry

    def save_blob(self, content: bytes) -> str:
        """Stores `content` under its sha256, once; returns the sha256."""
        name = sha256_hex(content)
        target = self.blobs / name
        if target.exists():
            return name
        partial = target.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise LogError(
                f"Can't save what a file held before the change: {error.strerror}.", audience="operator"
            ) from error
        return name

    def load_blob(self, name: str) -> bytes:
        """The content stored under sha256 `name`; LogError when it is gone or damaged."""
        try:
            content = (self.blobs / name).read_bytes()
        except OSError as error:
            raise LogError(f"The stored content {name[:12]} is not there: {error.strerror}.") from error
        if sha256_hex(content) != name:
            raise LogError(f"The stored content {name[:12]} is damaged.")
        return content

    def close(self) -> None:
        """Lets go of the file and the lock."""
        with ExitStack() as held:
            # Left in reverse order: the lock goes last.
            for item in (self._lock, self._file):
                if item is not None:
                    held.callback(item.close)
        self._file = self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _open(self) -> None:
        self._lock = hold_lock(
            self.folder / "lock", f"The run {self.folder.name!r} is being worked on by another process."
        )
        try:
            self._file = (self.folder / "log.jsonl").open("ab", buffering=0)
        except OSError as error:
            raise LogError(f"Can't open the log of {self.folder.name!r}: {error.strerror}.") from error

    def _repair(self) -> None:
        path = self.folder / "log.jsonl"
        try:
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                torn = self.folder / "torn"
                torn.mkdir(mode=0o700, exist_ok=True)
                (torn / f"{self._clock.now_ms()}-{whole}").write_bytes(data[whole:])
                os.truncate(path, whole)
        except OSError as error:
            raise LogError(
                f"The torn end of the log {str(path)!r} can't be moved aside: {error.strerror}.",
                f"Make room, then: mohist runs resume {self.folder.name}",
                audience="operator",
            ) from error
        self._size_bytes = whole
        self.entries = list(_parse(data[:whole], path))
        if not self.entries or not isinstance(self.entries[0].record, Header):
            raise LogError(f"The log {str(path)!r} has no header; the run never started.", "Start it anew: mohist run")

    def _cut(self, size: int) -> None:
        """Best effort after a failed write; the next open repairs what is left."""
        try:
            os.truncate(self.folder / "log.jsonl", size)
        except OSError as error:
            self._broken += f" (and the torn line could not be cut: {error.strerror})"


def read_log(folder: Path) -> list[Entry]:
    """The whole records of a log, without lock or repair: for showing a run that may be going on."""
    path = folder / "log.jsonl"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LogError(f"No run {folder.name!r} here: {error.strerror}.", "See: mohist runs list") from error
    return list(_parse(data[: data.rfind(b"\n") + 1], path))


def hold_lock(path: Path, busy: str) -> IO[bytes]:
    """An exclusive advisory lock on `path`, held until the file is closed or the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("ab")
    except OSError as error:
        raise LogError(f"Can't open the lock {str(path)!r}: {error.strerror}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise TreeBusyError(busy, "Wait for it to end, or work in a tree of your own: --worktree") from error
    return file


def _sync_folder(folder: Path) -> None:
    """Makes the names in a new folder, and its own in the one above, survive a power cut."""
    for place in (folder, folder.parent):
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Some file systems can't sync a folder (EINVAL); they are no worse off than before.
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parse(data: bytes, path: Path) -> Iterator[Entry]:
    for number, line in enumerate(data.splitlines()):
        try:
            value = json.loads(line)
            version, seq, at_ms = value["v"], value["seq"], value["at_ms"]
        except (ValueError, TypeError, LookupError) as error:
            raise LogError(
                f"Line {number + 1} of {str(path)!r} is not a record; the file was changed by something else."
            ) from error
        if version > LOG_VERSION:
            raise LogError(f"The log {str(path)!r} was written by a newer Mohist (version {version}).", "Upgrade.")
        if seq != number:
            raise LogError(f"Line {number + 1} of {str(path)!r} has the number {seq}: lines were taken out or put in.")
        yield Entry(seq, at_ms, from_json(value))
