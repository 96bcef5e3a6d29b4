"""Known stretches close to each other, which together are a part of a repository."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mohist.guard.fingerprint.index import Index

from mohist.guard.fingerprint.stretch import Stretches, chunks

GAP_BYTES = 80
"""What may stand between two known stretches of one run: a changed line. With 400, a third more of other projects' files are hit, by
stretches that have nothing to do with each other, and of ten lines with all names changed one of two hundred more is found."""
JOINED_BYTES = 400
"""Runs that are long enough and not further apart are told of as one: more changed lines, a comment."""
_PLACE_BITS = 40
"""Of a place in a text; what is above it tells owners and texts apart."""


class Run(NamedTuple):
    """Known stretches close to each other, in bytes; of equal ones without a gap one counts."""

    start: int
    end: int
    """Where the last token begins."""
    owner: int
    exact: int
    shape: int


class _Known(NamedTuple):
    """The known stretches of one row of a chunk."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    owner: NDArray[np.int64]
    hashed: NDArray[np.int64]
    """With a bit above it for shapes."""


def runs(data: bytes, index: Index, hits_min: int, ends: Iterable[int] = ()) -> list[Run]:
    """All runs of so many stretches, in the order of texts, owners and places.

    Args:
        data: in UTF-8.
        index: of the repositories.
        hits_min: stretches that a run needs, of words and of shapes together.
        ends: where in `data` a text ends and another begins, in order; a run is in one text.
    """
    import numpy as np

    found: list[_Known] = []
    for chunk in chunks(data):
        found += [
            known
            for known in (_known(chunk.exact, index, shape=False), _known(chunk.shape, index, shape=True))
            if len(known.first)
        ]
    if sum(len(known.first) for known in found) < hits_min:
        return []
    first, last, owner, hashed = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    borders = np.fromiter(ends, dtype=np.int64)
    apart = (np.searchsorted(borders, first, side="right") * len(index) + owner) << _PLACE_BITS
    order = np.argsort(apart + first, kind="stable")
    first, last, owner, hashed, apart = first[order], last[order], owner[order], hashed[order], apart[order]
    reached = np.maximum.accumulate(apart + last)
    fresh = np.ones(len(first), dtype=np.bool_)
    fresh[1:] = (apart + first)[1:] - reached[:-1] > GAP_BYTES
    number = np.cumsum(fresh) - 1
    each = np.sort(number << 33 | hashed)
    each = each[np.concatenate([[True], each[1:] != each[:-1]])]
    of_run, is_shape = each >> 33, (each >> 32) & 1
    shape = np.bincount(of_run, weights=is_shape).astype(np.intp)
    exact = np.bincount(of_run) - shape
    starts = fresh.nonzero()[0]
    until = np.maximum.reduceat(last, starts)
    found_runs: list[Run] = []
    before = -1
    for at in (exact + shape >= hits_min).nonzero()[0]:
        here = starts[at]
        run = Run(int(first[here]), int(until[at]), int(owner[here]), int(exact[at]), int(shape[at]))
        if apart[here] == before and run.start - found_runs[-1].end <= JOINED_BYTES:
            run = _joined(found_runs.pop(), run)
        found_runs.append(run)
        before = apart[here]
    return found_runs


def _joined(one: Run, next_one: Run) -> Run:
    return Run(
        one.start,
        max(one.end, next_one.end),
        one.owner,
        one.exact + next_one.exact,
        one.shape + next_one.shape,
    )


def _known(stretches: Stretches, index: Index, *, shape: bool) -> _Known:
    import numpy as np

    at, owner = index.shape(stretches) if shape else index.exact(stretches)
    first, last = stretches.places[at], stretches.places[at + (stretches.length - 1)]
    hashed = stretches.hashes[at].astype(np.int64)
    if shape:
        hashed |= 1 << 32
    return _Known(first, last, owner.astype(np.int64), hashed)
