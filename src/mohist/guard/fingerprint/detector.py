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
TEXT_MIN_CHARS, LINES_MIN, ONE_LINE_CHARS = 160, 4, 600
"""Shorter than any ten lines; fewer lines only where they are long. Three lines can't be told from everybody's."""
PROSE_MAX_CHARS, SIGNS_MIN = 4000, 5
"""A shorter text without signs of code is prose: a tool's description, a question."""
_SIGNS = "(=;{[<:"
GAP_BYTES = 400
"""What may stand between two known stretches of one run: changed lines, a comment."""
HITS_MIN = 9
"""Known stretches in a run, of words and of shapes together; ten lines as they were have about 25. With 7, up to 1.7 % of other
projects' files were hit (benchmarks/guard/fingerprint.py), with 9 at most 1 %, and of ten lines a hundredth less is found."""
BOTH_MIN, ALONE_MIN = 1, 9
"""So many of each sort, or else so many of one: shapes alone are often everybody's, words alone a list that was copied."""


class _Known(NamedTuple):
    """A stretch that is a repository's."""

    first: int
    last: int
    owner: int
    exact: bool
    hashed: int


class Run(NamedTuple):
    """Known stretches close to each other, in bytes; of equal ones one counts."""

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
                    known.append(_Known(grams.first(place), grams.last(place), owner, exact, int(grams.hashes[place])))
        return [run for run in _joined(sorted(known)) if self._counts(run)]

    def _counts(self, run: Run) -> bool:
        both = min(run.exact, run.shape) >= BOTH_MIN or max(run.exact, run.shape) >= ALONE_MIN
        return both and run.exact + run.shape >= self._hits_min

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`."""
        if not len(self._index) or not _worth_a_look(view.text):
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


def _worth_a_look(text: str) -> bool:
    """Whether a text can hold ten lines of code; a request has hundreds of short ones that can't."""
    if len(text) < TEXT_MIN_CHARS or (len(text) < ONE_LINE_CHARS and text.count("\n") < LINES_MIN - 1):
        return False
    return len(text) >= PROSE_MAX_CHARS or sum(map(text.count, _SIGNS)) >= SIGNS_MIN


def _joined(known: Sequence[_Known]) -> Iterator[Run]:
    """Runs of one owner each; a place that is known in both streams counts in both."""
    open_runs: dict[int, list[_Known]] = {}
    ends: dict[int, int] = {}
    for stretch in known:
        run = open_runs.setdefault(stretch.owner, [])
        if run and stretch.first - ends[stretch.owner] > GAP_BYTES:
            yield _run(run)
            run.clear()
            ends[stretch.owner] = 0
        run.append(stretch)
        ends[stretch.owner] = max(ends.get(stretch.owner, 0), stretch.last)
    for run in open_runs.values():
        yield _run(run)


def _run(known: Sequence[_Known]) -> Run:
    exact = len({stretch.hashed for stretch in known if stretch.exact})
    shape = len({stretch.hashed for stretch in known if not stretch.exact})
    return Run(known[0].first, max(stretch.last for stretch in known), known[0].owner, exact, shape)


def fingerprint_detector(index: Index, *, hits_min: int = HITS_MIN) -> FingerprintDetector:
    """The detector over an index; see `FingerprintDetector`."""
    return FingerprintDetector(index, hits_min)
