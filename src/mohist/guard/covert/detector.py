"""The detector of covert channels in one text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mohist.guard.block import Block
from mohist.guard.covert import blank
from mohist.guard.covert.ignorable import Sort, allowed, right_to_left, sort_of
from mohist.guard.covert.kind import kinds_of
from mohist.guard.covert.lookalike import at_home, common, folded, mixes, skeleton, skeletons, stands_in
from mohist.guard.covert.typography import judged
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.view import View

VERSION = "1"
"""Raise it with every change of what is found."""
HITS_MAX = 200
"""Of one sort in one text; the last one says how many more there are."""
LOOKED_AT_MAX = 50_000
"""Characters of one sort that are judged; a text with more has been reported long before."""
POINTS_SHOWN = 6
UNKNOWN_MAX = 1000
"""Words of look-alikes in one text for which it is searched; of more, those that mix scripts are reported as such."""
AROUND_CHARS = 60
"""Next to a word: where others of its script make it one of theirs."""
PROGRAM_WRITTEN = frozenset(("system", "tool_schema", "metadata"))

_PATTERNS = (
    Pattern("beyond-ascii", r"[\x80-\xff]", width_bytes=1, once=True),
    Pattern("trailing-blank", r"[ \t]\r?\n", width_bytes=3, once=True),
)
"""Nothing hides in a text without either, which most texts of programs are."""

_CONFIDENCE: Mapping[Sort, float] = {
    "zero-width": 0.9,
    "soft-hyphen": 0.4,
    "bidi": 0.95,
    "tag": 0.97,
    "variation-selector": 0.9,
    "private-use": 0.3,
}


class CovertDetector:
    """Hidden characters, look-alike words and marks, blanks that spell.

    Args:
        known: words that must not be imitated, besides those that every program knows: a repository's identifiers, product names.
        program_written: sources in which typographic marks are a program's choice.
        hits_max: of one sort in one text.
    """

    def __init__(self, known: Iterable[str], program_written: frozenset[str], hits_max: int) -> None:
        self._known = skeletons(word for word in known if word.isascii())
        self._program_written = program_written
        self._hits_max = hits_max
        # Asked for at each call, so made once.
        self._version = f"{VERSION}.{hash_of(self._known)}.{','.join(sorted(program_written))}.{hits_max}"

    @property
    def name(self) -> str:
        return "covert"

    @property
    def version(self) -> str:
        return self._version

    @property
    def patterns(self) -> Sequence[Pattern]:
        return _PATTERNS

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`."""
        text = view.text
        ours = block.source in self._program_written
        hits: list[Hit] = []
        # A character that is spelled out (an escape, base64) hides from nobody.
        if not text.isascii() and not view.via:
            kinds = kinds_of(text, typography=ours, most=LOOKED_AT_MAX)
            hits += self._bounded(self._hidden(text, kinds.hidden))
            hits += self._bounded(self._words(view, kinds.suspects))
            hits += self._bounded(self._marks(text, kinds.typographic))
        if not view.via and blank.trailing(view.data):
            hits += self._blanks(text, ours=ours)
        return hits

    def _bounded(self, hits: Iterator[Hit]) -> list[Hit]:
        """The first hits; the last of them stands for all that come after it."""
        kept: list[Hit] = []
        more = 0
        for hit in hits:
            if len(kept) < self._hits_max:
                kept.append(hit)
            else:
                more += 1
        if more:
            kept[-1] = kept[-1]._replace(note=f"{kept[-1].note}; {more} more")
        return kept

    def _hidden(self, text: str, places: Sequence[int]) -> Iterator[Hit]:
        """One hit for each run of one sort."""
        run: list[int] = []
        sort: Sort | None = None
        for at in places:
            sort_here = sort_of(text[at])
            if sort_here is None or allowed(text, at, sort_here):
                continue
            if run and (sort_here != sort or at != run[-1] + 1):
                yield _hidden_hit(text, run, sort or sort_here)
                run = []
            sort = sort_here
            run.append(at)
        if run and sort:
            yield _hidden_hit(text, run, sort)

    def _words(self, view: View, suspects: Sequence[tuple[int, int]]) -> Iterator[Hit]:
        text, data = view.text, None
        sure: dict[str, float] = {}
        for start, end in suspects:
            word = text[start:end]
            if sure.get(word) == 0.0:
                continue
            around = text[max(start - AROUND_CHARS, 0) : start] + text[end : end + AROUND_CHARS]
            if at_home(word, text, around):
                continue
            if word not in sure:
                look = skeleton(word)
                known = look in self._known or look in common()
                if not known and look.isascii() and len(sure) < UNKNOWN_MAX:
                    data = folded(view.data) if data is None else data
                    known = stands_in(look, data)
                sure[word] = 0.9 if known else 0.4 if mixes(word) else 0.0
            if sure[word]:
                odd = [start + at for at, character in enumerate(word) if not character.isascii()]
                note = (
                    "looks like a known ASCII word"
                    if sure[word] > 0.5
                    else "mixes letters of two scripts that look alike"
                )
                yield Hit(
                    "covert.lookalike-word", "covert.lookalike", start, end, sure[word], f"{note}; {_points(text, odd)}"
                )

    def _marks(self, text: str, places: Sequence[int]) -> Iterator[Hit]:
        for at in places:
            marked = judged(text, at)
            if marked is not None:
                yield Hit(
                    "covert.typography",
                    "covert.typography",
                    at,
                    at + 1,
                    marked.confidence,
                    f"{marked.mark} in what a program wrote; {_points(text, [at])}",
                )

    def _blanks(self, text: str, *, ours: bool) -> list[Hit]:
        bits, start, end = blank.bits(text)
        if bits <= blank.BITS_MIN:
            return []
        note = f"blanks at line ends carry about {bits:.0f} bits"
        return [Hit("covert.trailing-blanks", "covert.blanks", start, end, 0.6 if ours else 0.35, note)]


def _hidden_hit(text: str, run: Sequence[int], sort: Sort) -> Hit:
    confidence = _CONFIDENCE[sort]
    if sort == "bidi" and right_to_left(text, run[0]):  # embeddings that text of two directions needs
        confidence = 0.5
    note = f"{len(run)} hidden; {_points(text, run)}" if len(run) > 1 else _points(text, run)
    return Hit(f"covert.{sort}", f"covert.{sort}", run[0], run[-1] + 1, confidence, note)


def _points(text: str, places: Sequence[int]) -> str:
    """Code points and offsets: "U+200B at 14"."""
    named = ", ".join(f"U+{ord(text[at]):04X} at {at}" for at in places[:POINTS_SHOWN])
    return f"{named} and {len(places) - POINTS_SHOWN} more" if len(places) > POINTS_SHOWN else named


def hash_of(words: frozenset[str]) -> str:
    """A short name of a set."""
    from mohist.base import sha256_hex

    return sha256_hex("\n".join(sorted(words)).encode("utf-8"))[:12]


def covert_detector(
    *, known: Iterable[str] = (), program_written: Iterable[str] = PROGRAM_WRITTEN, hits_max: int = HITS_MAX
) -> CovertDetector:
    """The detector; see `CovertDetector`."""
    return CovertDetector(known, frozenset(program_written), hits_max)
