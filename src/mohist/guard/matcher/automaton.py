"""Hyperscan's automaton: compiled, and kept on disk so that the next start costs milliseconds instead of seconds.

A kept automaton is as good as code: the engine trusts its tables. It is read only from a folder of our own that nobody else
may write, and only where its digest and everything it depends on (patterns, engine, processor) agree; else it is made anew.
"""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex

import hyperscan

from mohist.guard.errors import GuardDataError

_HEAD = b"mohist automaton 1\n"
_DIGEST_BYTES = 32
SIZE_MAX_BYTES = 256 << 20
"""A kept file larger than this is not ours: 488 rules take 2.4 MB."""
KEPT_MAX = 8
"""Automata in the folder; the oldest go, for each change of the rules leaves one behind."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """All patterns that Hyperscan takes."""

    database: hyperscan.Database | None
    """None: it takes none of them."""
    refused: tuple[int, ...]
    """Patterns, by place, that it does not take."""


def compiled(sources: Sequence[bytes], once: Container[int] = ()) -> Automaton:
    """The automaton of these expressions; takes some ten milliseconds for each.

    Args:
        sources: the expressions.
        once: those, by place, of which only the first match is told.

    Raises:
        GuardDataError: Hyperscan takes each but not all together, or is out of memory.
    """
    try:
        return Automaton(_database(sources, range(len(sources)), once), ())
    except hyperscan.error:
        pass
    refused = tuple(index for index, source in enumerate(sources) if not _takes(source))
    taken = sorted(set(range(len(sources))) - set(refused))
    try:
        return Automaton(_database([sources[index] for index in taken], taken, once), refused)
    except hyperscan.error as error:
        raise GuardDataError(
            f"Hyperscan can't compile {len(taken)} patterns together ({type(error).__name__})."
        ) from None


def _database(sources: Sequence[bytes], ids: Sequence[int], once: Container[int] = ()) -> hyperscan.Database | None:
    if not sources:
        return None
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_SINGLEMATCH if index in once else 0 for index in ids]
    database.compile(expressions=list(sources), ids=list(ids), elements=len(sources), flags=flags)
    return database


def _takes(source: bytes) -> bool:
    try:
        _database([source], [0])
    except hyperscan.error:
        return False
    return True


def token(sources: Iterable[bytes]) -> str:
    """Names an automaton by all it depends on: the expressions in order, the engine, the processor."""
    digest = sha256(_HEAD)
    for part in (version("hyperscan").encode(), _processor()):
        digest.update(len(part).to_bytes(8, "big") + part)
    for source in sources:
        digest.update(len(source).to_bytes(8, "big") + source)
    return digest.hexdigest()


def _processor() -> bytes:
    """What the engine compiles for; it uses the widest instructions that are there."""
    parts = [platform.machine()]
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            parts += sorted({line for line in lines if line.startswith(("flags", "Features"))})[:1]
    except OSError:
        parts.append(platform.processor())
    return "\n".join(parts).encode()


def stored(folder: Path, key: str) -> Automaton | None:
    """The kept automaton of this name; None where there is none that can be trusted and read."""
    try:
        if not _ours(os.lstat(folder), stat.S_ISDIR, 0o077):
            return None
        handle = os.open(folder / _file(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(handle, "rb") as file:
        state = os.fstat(handle)
        if not _ours(state, stat.S_ISREG, 0o077) or state.st_size > SIZE_MAX_BYTES:
            return None
        content = file.read(SIZE_MAX_BYTES + 1)
    return _read(content, key)


def _ours(state: os.stat_result, kind: object, foreign: int) -> bool:
    assert callable(kind)
    return bool(kind(state.st_mode)) and state.st_uid == os.geteuid() and not state.st_mode & foreign


def _read(content: bytes, key: str) -> Automaton | None:
    head = _HEAD + key.encode("ascii") + b"\n"
    digest, body = content[len(head) : len(head) + _DIGEST_BYTES], content[len(head) + _DIGEST_BYTES :]
    if not content.startswith(head) or sha256(head + body).digest() != digest:
        return None
    line, _, serialized = body.partition(b"\n")
    refused = tuple(int(word) for word in line.split())
    if not serialized:
        return Automaton(None, refused)
    try:
        return Automaton(hyperscan.loadb(serialized, hyperscan.HS_MODE_BLOCK), refused)
    except hyperscan.error:
        return None


def store(folder: Path, key: str, automaton: Automaton) -> bool:
    """Keeps an automaton for the next start; False where the folder is not ours alone or can't be written."""
    serialized = b"" if automaton.database is None else hyperscan.dumpb(automaton.database)
    head = _HEAD + key.encode("ascii") + b"\n"
    body = b" ".join(str(index).encode() for index in automaton.refused) + b"\n" + serialized
    draft = folder / f".{token_hex(8)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _ours(os.lstat(folder), stat.S_ISDIR, 0o077):
            return False
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(head + sha256(head + body).digest() + body)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(folder / _file(key))
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        _forget(folder)
    except OSError:
        return False
    return True


def _file(key: str) -> str:
    return f"{key[:32]}.automaton"


def _forget(folder: Path) -> None:
    kept = sorted(folder.glob("*.automaton"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in kept[KEPT_MAX:]:
        path.unlink(missing_ok=True)
