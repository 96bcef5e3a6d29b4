"""Writes a log as a folder that a stranger can check: C2SP tlog-tiles, checkpoints, contents that were asked for, the verifier.

Files are written aside, flushed and renamed; the checkpoint comes last, so a folder that has one is whole. A file that is there
already with other bytes is never written over: two exports of one log agree, or one of them is not of that log.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Self

from mohist.ledger import note, tile
from mohist.ledger.errors import AbsentKeyError, ErasedError, LedgerError
from mohist.ledger.store import Store
from mohist.ledger.tree import HASH_BYTES
from mohist.ledger.vault import Vault

LOT_FILES = 256
LOT_BYTES = 32 * 1024 * 1024
"""Of files whose bytes may wait in memory for the disk."""
FILES_AT_ONCE = 16
"""Opened, written and flushed beside each other: one flush of the disk does for many."""
README = """This folder holds the log {origin} up to entry {size}, exported by Mohist.

    python verify.py . --key 'KEY'

checks all of it and needs no network and nothing of Mohist; KEY is the log's verifier key, which has to reach you on another
way than this folder. `--policy FILE` names the witnesses that you believe (https://c2sp.org/tlog-policy). verify.py lists its steps.
The layout is https://c2sp.org/tlog-tiles, so other programs can check it as well.
"""


def export(
    log: Store,
    folder: Path,
    checkpoint: note.SignedCheckpoint,
    *,
    earlier: Iterable[note.SignedCheckpoint] = (),
    policy: str = "",
    vault: Vault | None = None,
    contents: Iterable[str] = (),
    streams: Sequence[str] = (),
    tell: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Writes a bundle.

    Args:
        log: open for reading, at least as long as the checkpoint says.
        folder: written to; made where it is not.
        checkpoint: what the bundle is up to.
        earlier: checkpoints before it.
        policy: the log's own proposal of whom to believe.
        vault: the contents' keys.
        contents: digests of contents to be shown with their keys.
        streams: only these streams' entries are written, of all others only hashes; empty: all entries.
        tell: is told how many entries of how many are written.

    Returns:
        Digests of the contents that were asked for and are gone, or whose keys are not here.

    Raises:
        LedgerError: the folder can't be written, holds another log, or shows more than these streams; the log is shorter than
            the checkpoint, or has no such stream.
    """
    size = checkpoint.checkpoint.size
    if log.size < size or log.root(size) != checkpoint.checkpoint.root:
        raise LedgerError(
            f"The log {log.origin} does not have the tree that was signed at {size} entries.",
            "It was cut or rewritten; look at `mohist ledger check`.",
        )
    subset = _subset(log, streams, size)
    if streams and (folder / "tile" / "entries").exists():
        raise LedgerError(f"{folder} shows all entries already.", "Export single streams to a new folder.")
    with _Folder(folder) as writer:
        for level, index, width in places(size):
            writer.put(tile.path(level, index, width), log.tile(level, index)[: width * HASH_BYTES])
            if level == 0 and not streams:
                start = index * tile.WIDTH
                leaves = log.leaves(start, start + width)
                writer.put(
                    tile.path("entries", index, width), b"".join(struct.pack(">H", len(leaf)) + leaf for leaf in leaves)
                )
                if tell is not None:
                    tell(start + width, size)
        if streams:
            writer.put("subset", subset, may_change=True)
        gone = []
        for digest in contents:
            kept = log.payload(digest)
            kid, wrapped, ciphertext = kept or ("", b"", None)
            if ciphertext is None or vault is None:
                gone.append(digest)
                continue
            try:
                key = vault.key(kid, wrapped)
            except ErasedError:
                gone.append(digest)
                continue
            except AbsentKeyError:
                if log.one_machine:
                    # Lost, which nobody may take for erased.
                    raise
                gone.append(digest)
                continue
            writer.put(f"payload/{digest}", ciphertext)
            writer.put(f"payload/{digest}.key", key.hex().encode() + b"\n")
        for one in earlier:
            if one.checkpoint.size < size:
                writer.put(f"checkpoints/{one.checkpoint.size}", str(one).encode(), may_change=True)
        if policy:
            writer.put("policy", policy.encode(), may_change=True)
        writer.put("verify.py", verifier().encode(), may_change=True)
        writer.put("README.txt", README.format(origin=log.origin, size=size).encode(), may_change=True)
        writer.flush()
        writer.put("checkpoint", str(checkpoint).encode(), may_change=True)
        writer.flush()
    return gone


def _subset(log: Store, streams: Sequence[str], size: int) -> bytes:
    """A line for each of their entries, in the log's order."""
    lines: dict[int, bytes] = {}
    for stream in streams:
        found = {index: leaf for index, leaf in log.stream(stream) if index < size}
        if not found:
            raise LedgerError(f"The log has no stream {stream}.", "`mohist ledger show` names the streams of entries.")
        lines |= found
    return b"".join(b"%d %s\n" % (index, lines[index]) for index in sorted(lines))


def verifier() -> str:
    """The verifier as one file."""
    sources = resources.files("mohist.ledger")
    steps = sources.joinpath("verify.py").read_text("utf-8")
    trust = sources.joinpath("trust.py").read_text("utf-8")
    future = "from __future__ import annotations\n"
    head, _, rest = steps.partition(future)
    rest = re.sub(r"^from mohist\.ledger\.trust import .*\n", "", rest, flags=re.MULTILINE)
    return head + future + trust.partition(future)[2] + rest


def places(size: int) -> Iterable[tuple[int, int, int]]:
    """(level, index, width) of the tiles of a tree, lowest first."""
    level, count = 0, size
    while count:
        for index in range((count + tile.WIDTH - 1) // tile.WIDTH):
            yield level, index, min(tile.WIDTH, count - index * tile.WIDTH)
        level, count = level + 1, count // tile.WIDTH


class _Folder:
    """Written to beside what is read: opening and flushing one file after the other was most of an export's time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pool = ThreadPoolExecutor(FILES_AT_ONCE, "mohist-export")
        self._lot: list[tuple[Path, Future[None]]] = []
        self._lot_bytes = 0
        self._made: set[Path] = set()
        self._changed: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def put(self, path: str, data: bytes, *, may_change: bool = False) -> None:
        place = self._root / path
        try:
            if place.parent not in self._made:
                self._make(place.parent)
            if place.exists():
                if place.read_bytes() == data:
                    return
                if not may_change:
                    raise LedgerError(
                        f"{place} is there with other bytes.",
                        "It is of another log or was changed; export to a new folder.",
                    )
            self._lot.append((place, self._pool.submit(_write, _aside(place), data)))
            self._lot_bytes += len(data)
            if self._lot_bytes >= LOT_BYTES or len(self._lot) >= LOT_FILES:
                self._settle()
        except OSError as error:
            raise LedgerError(f"{place} can't be written: {error.strerror}.") from error

    def flush(self) -> None:
        """All that was put is on the disk, under its own name."""
        try:
            self._settle()
            list(self._pool.map(_flush, sorted(self._changed)))
            self._changed.clear()
        except OSError as error:
            raise LedgerError(f"{self._root} can't be written: {error.strerror}.") from error

    def _settle(self) -> None:
        """Each file gets its name once its bytes are on the disk."""
        lot, self._lot, self._lot_bytes = self._lot, [], 0
        for _, written in lot:
            written.result()
        for place, _ in lot:
            _aside(place).replace(place)
            self._changed.add(place.parent)

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # A folder's own name stands in the one above it.
        for one in (folder, *folder.parents):
            self._made.add(one)
            self._changed.add(one)
            if one == self._root:
                self._changed.add(one.parent)
                break


def _aside(place: Path) -> Path:
    return place.with_name(place.name + ".new")


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
