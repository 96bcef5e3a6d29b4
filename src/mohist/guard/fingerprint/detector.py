"""The detector of registered source code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.fingerprint.index import Index
from mohist.guard.fingerprint.token import FORMAT, streams
from mohist.guard.view import View

VERSION = "1"
"""Raise it with every change of what is found."""
TEXT_MIN_BYTES = 160
"""Shorter than any ten lines; three lines can't be told from everybody's."""
GAP_BYTES = 400
"""What may stand between two known stretches of one run: changed lines, a comment."""
HITS_MIN = 7
"""Known stretches in a run, of words and of shapes together; ten lines as they were have 25, with all names changed 7."""


class _Known(NamedTuple):
    """A stretch that is a repository's."""

    first: int
    last: int
    owner: int
    exact: bool


class Run(NamedTuple):
    """Known stretches close to each other, in bytes."""

    start: int
    end: int
    owner: int
    exact: int
    shape: int


class FingerprintDetector:
    """Finds parts of registered repositories, also after renaming and re-indenting.

    Args:
        index: of the repositories.
        hits_min: known stretches that a run needs.
    """

    def __init__(self, index: Index, hits_min: int) -> None:
        self._index = index
        self._hits_min = hits_min
        self._digest = index.digest

    @property
    def name(self) -> str:
        return "fingerprint"

    @property
    def version(self) -> str:
        return f"{VERSION}.{FORMAT}.{self._digest}.{self._hits_min}"

    @property
    def patterns(self) -> Sequence[Pattern]:
        return ()

    def runs(self, data: bytes) -> list[Run]:
        """All runs that are long enough, in bytes."""
        known: list[_Known] = []
        for chunk in streams(data):
            for grams, find, exact in ((chunk.exact, self._index.exact, True), (chunk.shape, self._index.shape, False)):
                places, owners = find(grams.hashes)
                for place, owner in zip(places.tolist(), owners.tolist(), strict=True):
                    known.append(_Known(int(grams.first[place]), int(grams.last[place]), owner, exact))
        return [run for run in _joined(sorted(known)) if run.exact + run.shape >= self._hits_min]

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`."""
        if not len(self._index) or len(view.text) < TEXT_MIN_BYTES:
            return
        for run in self.runs(view.data):
            repository = self._index.repositories[run.owner]
            yield Hit(
                rule=f"fingerprint.{repository.name}",
                data_class=repository.data_class,
                start=view.char(run.start),
                end=min(view.char(run.end) + 1, len(view.text)),
                confidence=min(0.99, 0.7 + 0.01 * (run.exact + run.shape)),
                note=f"{run.exact} stretches of words and {run.shape} of shapes are of {repository.name}",
            )


def _joined(known: Sequence[_Known]) -> Iterator[Run]:
    """Runs of one owner; where a stretch is of both streams it counts in both."""
    open_runs: dict[int, Run] = {}
    for first, last, owner, exact in known:
        run = open_runs.get(owner)
        if run is None or first - run.end > GAP_BYTES:
            if run is not None:
                yield run
            run = Run(first, last, owner, 0, 0)
        open_runs[owner] = Run(run.start, max(run.end, last), owner, run.exact + exact, run.shape + (not exact))
    yield from open_runs.values()


def fingerprint_detector(index: Index, *, hits_min: int = HITS_MIN) -> FingerprintDetector:
    """The detector over an index; see `FingerprintDetector`."""
    return FingerprintDetector(index, hits_min)
