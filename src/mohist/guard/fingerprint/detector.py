"""The detector of registered source code."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.fingerprint.index import Index
from mohist.guard.fingerprint.run import Run, runs
from mohist.guard.fingerprint.stretch import FORMAT
from mohist.guard.fingerprint.token import SEPARATOR
from mohist.guard.view import View

VERSION = "2"
"""Raise it with every change of what is found."""
TEXT_MIN_CHARS, LINES_MIN, ONE_LINE_CHARS = 160, 4, 600
"""Shorter than any ten lines; fewer lines only where they are long. Three lines can't be told from everybody's."""
PROSE_MAX_CHARS, SIGNS_MIN = 4000, 5
"""A shorter text without signs of code is prose: a tool's description, a question."""
_SIGNS = "(=;{[<:"
HITS_MIN = 14
"""Known stretches in a run, of words and of shapes together; ten lines as they were have about 50. Chosen on three sets of three
registered projects (benchmarks/guard/fingerprint.py): with 10, up to 1.4 % of other projects' files were hit; with 18, of ten lines with
a fifth of the names changed a twentieth less is found."""


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
        return runs(data, self._index, self._hits_min)

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`."""
        return self.detect_all([view])[0]

    def detect_all(self, views: Sequence[View]) -> list[list[Hit]]:
        """What is in each view; looking at many together costs less than at each alone, and finds the same."""
        hits: list[list[Hit]] = [[] for _ in views]
        worth = [number for number, view in enumerate(views) if _worth_a_look(view.text)] if len(self._index) else []
        if not worth:
            return hits
        parts = [views[number].data for number in worth]
        ends = list(accumulate(len(part) + len(SEPARATOR) for part in parts))
        joined = parts[0] if len(parts) == 1 else SEPARATOR.join(parts)
        for run in runs(joined, self._index, self._hits_min, ends):
            part = bisect_right(ends, run.start)
            begin = ends[part - 1] if part else 0
            hits[worth[part]].append(self._hit(views[worth[part]], run, begin))
        return hits

    def _hit(self, view: View, run: Run, begin: int) -> Hit:
        repository = self._index.repositories[run.owner]
        return Hit(
            rule=f"fingerprint.{repository.name}",
            data_class=repository.data_class,
            start=view.char(run.start - begin),
            end=min(view.char(run.end - begin) + 1, len(view.text)),
            confidence=min(0.99, 0.7 + 0.005 * (run.exact + run.shape)),
            note=f"{run.exact} stretches of words and {run.shape} of shapes are of {repository.name}",
        )


def _worth_a_look(text: str) -> bool:
    """Whether a text can hold ten lines of code; a request has hundreds of short ones that can't."""
    if len(text) < TEXT_MIN_CHARS or (len(text) < ONE_LINE_CHARS and text.count("\n") < LINES_MIN - 1):
        return False
    return len(text) >= PROSE_MAX_CHARS or sum(map(text.count, _SIGNS)) >= SIGNS_MIN


def fingerprint_detector(index: Index, *, hits_min: int = HITS_MIN) -> FingerprintDetector:
    """The detector over an index; see `FingerprintDetector`."""
    return FingerprintDetector(index, hits_min)
