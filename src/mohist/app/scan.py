"""Trees, single files, staged contents, histories and standard input through the guard's scanner.

Nothing is changed, nothing is sent anywhere, and what could not be looked at is part of the result.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio

from mohist.app.errors import ConfigError
from mohist.guard import Block, Digest, Finding, GuardError, Limits, Scanner
from mohist.guard.archive import read_file
from mohist.guard.file import Piece, Position, Unread
from mohist.sandbox import Git, History, Introduced, batches, find_repository

STANDARD_INPUT = "-"
_SPOOLED_BYTES = 16 * 1024 * 1024
BATCH_CHARS = 1024 * 1024
_BATCH_PIECES = 64
_MESSAGE = "commit message"
_SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn"})

Progress = Callable[[int, str], None]
"""Told after each file: how many bytes were looked at so far, and the file's path."""

Passes = Callable[[Block, Finding], bool]
"""Whether somebody lets a finding in a text pass."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A finding in a file."""

    path: str
    start: Position
    end: Position
    finding: Finding
    identity: str
    """The same for the same value found by the same rule in the same file, wherever it stands; keyed, 32 hex digits."""
    commit: str = ""
    """That brought it in; empty outside a history."""


@dataclass(slots=True)
class Report:
    """What a scan found so far."""

    leaks: list[Leak] = field(default_factory=list)
    unread: list[tuple[Unread, str]] = field(default_factory=list)
    """What was not looked at, each with its identity."""
    files: int = 0
    bytes: int = 0
    passed: int = 0
    """Findings that somebody lets pass."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which findings are reported."""

    classes: tuple[str, ...]
    """Beginnings of data classes; empty for all."""
    min_confidence: float = 0.0

    def holds(self, finding: Finding) -> bool:
        """Whether it is one."""
        named = not self.classes or any(
            finding.data_class == name or finding.data_class.startswith(name + ".") for name in self.classes
        )
        return named and finding.confidence >= self.min_confidence


class Scan:
    """One scan; its methods add to `report`.

    Args:
        scanner: what looks.
        digest: makes identities.
        limits: of reading.
        wanted: which findings are reported.
        progress: told how far it is.
        passes: says whether somebody lets a finding in a text pass.
        batch_chars: how much is looked at together; what is over a limit then is looked at again, file by file.
    """

    def __init__(
        self,
        scanner: Scanner,
        digest: Digest,
        limits: Limits,
        wanted: Wanted,
        progress: Progress = lambda *_: None,
        passes: Passes = lambda *_: False,
        batch_chars: int = BATCH_CHARS,
    ) -> None:
        self._report = Report()
        self._scanner = scanner
        self._digest = digest
        self._limits = limits
        self._wanted = wanted
        self._progress = progress
        self._passes = passes
        self._batch_chars = batch_chars
        self._seen: set[str] = set()
        self._waiting: list[tuple[Piece, str]] = []
        self._waiting_chars = 0

    @property
    def report(self) -> Report:
        """What was found so far."""
        self._look()
        return self._report

    def stream(self, path: str, stream: IO[bytes], commit: str = "") -> None:
        """Looks at one file, or what an archive holds."""
        size = 0
        for piece in read_file(path, stream, self._limits):
            if isinstance(piece, Unread):
                self._unread(piece)
            else:
                self._waiting.append((piece, commit))
                self._waiting_chars += len(piece.block.text)
                size += len(piece.block.text)
                # Together they cost less than one by one.
                if self._waiting_chars > self._batch_chars or len(self._waiting) >= _BATCH_PIECES:
                    self._look()
        self._report.files += 1
        self._report.bytes += size
        self._progress(self._report.bytes, path)

    def piped(self, stream: IO[bytes]) -> None:
        """Looks at what comes from a pipe, which is kept in an unnamed file where it is long."""
        with tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES) as file:
            shutil.copyfileobj(stream, file)
            file.seek(0)
            self.stream(STANDARD_INPUT, file)

    def file(self, path: str | Path, name: str) -> None:
        """Looks at a file on disk; a link, a pipe and the like are none."""
        try:
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as stream:
                    self.stream(name, stream)
        except FileNotFoundError:
            pass  # git lists what was removed from the folder, too
        except OSError as error:
            self._unread(Unread(name, f"can't be read: {error.strerror or type(error).__name__}"))

    def tree(self, folder: Path, name: str, *, everything: bool = False) -> None:
        """Looks at a folder: where a repository is, at the files that it does not ignore.

        Args:
            name: how the folder is called in paths; empty for the one that one is in.
            everything: ignored files too.
        """
        for inner in _files(folder, everything=everything):
            self.file(f"{folder}/{inner}", f"{name}/{inner}" if name else inner)

    def staged(self, folder: Path, index: Path | None) -> None:
        """Looks at what the next commit of the repository at `folder` would bring in."""
        anyio.run(self._staged, folder, index)

    def history(self, folder: Path) -> None:
        """Looks at all that the commits of the repository at `folder` ever brought in, and at what they say."""
        anyio.run(self._history, folder)

    async def _staged(self, folder: Path, index: Path | None) -> None:
        with tempfile.TemporaryDirectory(prefix="mohist-guard-") as private:
            history = History(await Git.capture(folder, Path(private) / "git"))
            await self._contents(history, await history.staged(index))

    async def _history(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="mohist-guard-") as private:
            history = History(await Git.capture(folder, Path(private) / "git"))
            introduced, told = await history.introduced()
            for one in told:
                path = f"{one.commit[:12]} ({_MESSAGE})"
                self.stream(path, io.BytesIO(one.message.encode("utf-8", "surrogateescape")), one.commit)
            await self._contents(history, introduced)

    async def _contents(self, history: History, introduced: Sequence[Introduced]) -> None:
        sizes = await history.sizes(list(dict.fromkeys(one.blob for one in introduced)))
        by_blob: dict[str, list[Introduced]] = {}
        for one in introduced:
            by_blob.setdefault(one.blob, []).append(one)
        for blob in [blob for blob in by_blob if blob not in sizes]:
            for one in by_blob[blob]:
                self._unread(Unread(one.path, "is not in the repository's store"))
        for blob in [blob for blob, size in sizes.items() if size > self._limits.max_object_bytes]:
            for one in by_blob[blob]:
                self._unread(Unread(one.path, f"is longer than {self._limits.max_object_bytes} bytes"))
            del sizes[blob]
        for group in batches(sizes):
            for blob, data in (await history.contents(group)).items():
                for one in by_blob[blob]:
                    self.stream(one.path, io.BytesIO(data), one.commit)

    def _look(self) -> None:
        waiting, self._waiting, self._waiting_chars = self._waiting, [], 0
        try:
            found = self._scanner.scan([piece.block for piece, _ in waiting])
        except GuardError:
            for piece, commit in waiting:
                try:
                    self._found(piece, commit, self._scanner.scan([piece.block])[0].findings)
                except GuardError as error:
                    self._unread(Unread(piece.block.path, f"can't be looked at: {error.what}"))
            return
        for (piece, commit), one in zip(waiting, found, strict=True):
            self._found(piece, commit, one.findings)

    def _found(self, piece: Piece, commit: str, findings: Sequence[Finding]) -> None:
        block = piece.block
        low, high = piece.keep
        for finding in findings:
            if not low <= finding.start < high or not self._wanted.holds(finding):
                continue
            if self._passes(block, finding):
                self._report.passed += 1
                continue
            identity = self._digest(f"{finding.rule}\0{finding.value_digest}\0{block.path}")
            if commit:
                # Each version of a file holds it again; the first one brought it in.
                if identity in self._seen:
                    continue
                self._seen.add(identity)
            start, end = piece.position(finding.start), piece.position(finding.end)
            self._report.leaks.append(Leak(block.path, start, end, finding, identity, commit))

    def _unread(self, unread: Unread) -> None:
        self._report.unread.append((unread, self._digest(f"unread\0{unread.path}\0{unread.why}")))


def _files(folder: Path, *, everything: bool) -> Iterator[str]:
    """The paths of the files below a folder, relative to it."""
    repository = None if everything else find_repository(folder)
    if repository is None:
        yield from _walked(folder)
        return
    root = repository.root
    prefix = folder.resolve().relative_to(root).as_posix()
    start = "" if prefix == "." else prefix + "/"
    for path in anyio.run(_listed, root):
        if not path.startswith(start):
            continue
        full = root / path
        if full.is_dir() and not full.is_symlink():
            # Another repository within this one.
            yield from (f"{path[len(start) :]}/{inner}" for inner in _files(full, everything=False))
        else:
            yield path[len(start) :]


async def _listed(root: Path) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="mohist-guard-") as private:
        return await (await Git.capture(root, Path(private) / "git")).list_files()


def _walked(folder: Path) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        inner = os.path.relpath(where, folder)
        for name in sorted(files):
            yield name if inner == "." else f"{inner}/{name}"


def check_paths(paths: Iterable[str]) -> None:
    """Raises ConfigError: one of them is not there."""
    for path in paths:
        if path != STANDARD_INPUT and not Path(path).exists():
            raise ConfigError(f"There is no {path!r}.", "Name files or folders, or `-` for standard input.")
