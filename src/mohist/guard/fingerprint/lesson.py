"""Reads files into a repository's fingerprint."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.guard.errors import GuardRuleError
from mohist.guard.fingerprint.index import Repository
from mohist.guard.fingerprint.token import streams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mohist.guard.fingerprint.token import Hashes

FILE_MAX_BYTES = 2_000_000
"""A larger file is made by a program: data, a bundle, a lock."""
LINE_MAX_BYTES = 2_000
"""On average; longer lines are minified or data."""
SHARED_EXACT_MIN, SHARED_SHAPE_MIN = 4, 2
"""A stretch of words in that many files of one repository is its boilerplate; a shape that two files have is a habit of speech."""
_NOT_ITS_OWN = re.compile(
    r"(?:^|/)(?:node_modules|vendor|third_party|thirdparty|\.venv|site-packages|dist|licenses?)/|(?:^|/)(?:licen[cs]e|copying|notice|authors|changelog|unlicense)[^/]*$"
    r"|\.(?:lock|min\.js|min\.css|map|svg|po|pot|csv|tsv|ipynb)$|(?:^|/)(?:package-lock\.json|go\.sum|pnpm-lock\.yaml)$",
    re.IGNORECASE,
)
_NO_LIBRARY = frozenset(("site-packages", "dist-packages", "test", "idlelib", "lib2to3", "turtledemo"))
_COMMENT_LINE = re.compile(rb"[ \t]*(?:#|//|/?\*|--|;|<!--|%|\(\*|rem\b)", re.IGNORECASE)
_LICENSED = re.compile(rb"licen[cs]e|copyright|spdx|warrant", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is offered."""

    path: str
    """Relative, with forward slashes."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Learnt:
    """A repository's fingerprint, and what was left out of it."""

    repository: Repository
    skipped: tuple[str, ...]
    """Paths: not its own (vendored, licences, locks), too large, or no text."""


def its_own(path: str, data: bytes) -> bool:
    """Whether a file is code or text that somebody wrote for this repository."""
    if _NOT_ITS_OWN.search(path) or not data or len(data) > FILE_MAX_BYTES or b"\0" in data[:8192]:
        return False
    return len(data) <= LINE_MAX_BYTES * (data.count(b"\n") + 1)


def without_licence(data: bytes) -> bytes:
    """A file without the comment at its head, where that speaks of a licence: it is everybody's."""
    at = 0
    while at < len(data):
        stop = data.find(b"\n", at) + 1 or len(data)
        line = data[at:stop]
        if line.strip() and not _COMMENT_LINE.match(line):
            break
        at = stop
    return data[at:] if _LICENSED.search(data[:at]) else data


def learn(name: str, data_class: str, sources: Iterable[Source], *, but: tuple[Hashes, Hashes] | None = None) -> Learnt:
    """Makes a repository's fingerprint.

    Left out: stretches that repeat themselves, and those that stand in several of its files.

    Args:
        name: what findings call it.
        data_class: of its code.
        sources: its files.
        but: hashes that are left out, too: of public code, as `public` gives them.

    Raises:
        GuardRuleError: there is nothing in it to be recognised by.
    """
    skipped, exact, shape = [], [], []
    for source in sources:
        if not its_own(source.path, source.data):
            skipped.append(source.path)
            continue
        ours = hashes_of(without_licence(source.data))
        exact.append(ours[0])
        shape.append(ours[1])
    rare_exact, rare_shape = _rare(exact, SHARED_EXACT_MIN), _rare(shape, SHARED_SHAPE_MIN)
    if but is not None:
        import numpy as np

        rare_exact = rare_exact[~np.isin(rare_exact, but[0])]
        rare_shape = rare_shape[~np.isin(rare_shape, but[1])]
    repository = Repository(name, data_class, len(exact), rare_exact, rare_shape)
    if not len(repository.exact):
        raise GuardRuleError(
            f"There is nothing in {name!r} that it could be recognised by.",
            "Register a folder with source files that git tracks, each longer than a few lines.",
        )
    return Learnt(repository, tuple(skipped))


def hashes_of(data: bytes) -> tuple[Hashes, Hashes]:
    """A file's hashes, exact and of shapes, sorted; without stretches that repeat themselves."""
    import numpy as np

    exact, shape = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    for chunk in streams(data, judge=True):
        exact.append(chunk.exact.hashes[~chunk.periodic_exact])
        shape.append(chunk.shape.hashes[~chunk.periodic_shape])
    return np.unique(np.concatenate(exact)), np.unique(np.concatenate(shape))


@cache
def library() -> tuple[Hashes, Hashes]:
    """Hashes of Python's own library, whose ways of writing everybody has; read once, in a second or two.

    Empty where the library is not installed as source.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    paths = (path for path in sorted(folder.rglob("*.py")) if path.relative_to(folder).parts[0] not in _NO_LIBRARY)
    return public(Source(path.name, path.read_bytes()) for path in paths if path.is_file())


def public(sources: Iterable[Source]) -> tuple[Hashes, Hashes]:
    """Hashes of public code, licences included."""
    import numpy as np

    exact, shape = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    for source in sources:
        if b"\0" not in source.data[:8192] and len(source.data) <= FILE_MAX_BYTES:
            ours = hashes_of(source.data)
            exact.append(ours[0])
            shape.append(ours[1])
    return np.unique(np.concatenate(exact)), np.unique(np.concatenate(shape))


def _rare(arrays: list[Hashes], shared_min: int) -> NDArray[np.uint64]:
    import numpy as np

    if not arrays:
        return np.zeros(0, dtype=np.uint64)
    hashes, counts = np.unique(np.concatenate(arrays), return_counts=True)
    return hashes[counts < shared_min]
