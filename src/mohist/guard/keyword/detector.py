"""The keyword detector: the net's candidates, judged by the learned filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.errors import GuardLimitError
from mohist.guard.keyword.candidate import Candidate, candidates
from mohist.guard.keyword.context import Page
from mohist.guard.keyword.model import MASKING, Model, shipped
from mohist.guard.keyword.net import NET_VERSION, PATTERNS
from mohist.guard.keyword.word import DATA_CLASSES
from mohist.guard.view import View

VALUE_MIN_CHARS = 3
JUDGED_MAX = 10_000
"""Of one text, or of `CANDIDATES_MAX` candidates of one, by the whole filter, which takes up to 0.3 ms each; a tree of sources has ten in a MB."""
ALIKE_MAX = 16
"""A value that was no secret so many times, under the same name in the same text, is none: tables say `"max_tokens": 4096` a thousand times."""
CANDIDATES_MAX = 20_000
"""Of one text. Beyond them the counts that span the text would cost more than they say; each is still judged, in turns of so many."""


class KeywordDetector:
    """Secrets that only their name gives away.

    Args:
        least: hits below this confidence are not reported.
        model: None takes the shipped one, read at the first candidate.
    """

    name = "keyword"
    patterns: Sequence[Pattern] = PATTERNS

    def __init__(self, *, least: float = MASKING, model: Model | None = None) -> None:
        self._least = least
        self._model = model

    @property
    def version(self) -> str:
        """The net's, the model's and the lowest confidence."""
        return f"{NET_VERSION}:{self._judge().version}:{self._least}"

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        """See `mohist.guard.Detector`."""
        chosen = chosen_candidates(view.text, matches)
        if block.source == "metadata":
            # Each client numbers its sessions there, at random: about one id in five would be taken for a secret.
            chosen = [candidate for candidate in chosen if candidate.kind != "session"]
        for start in range(0, len(chosen), CANDIDATES_MAX):
            path = block.path if block.source == "file" else ""
            yield from self._judged(chosen[start : start + CANDIDATES_MAX], view.text, path)

    def _judge(self) -> Model:
        return self._model or shipped()

    def _judged(self, chosen: Sequence[Candidate], text: str, path: str) -> Iterable[Hit]:
        model = self._judge()
        left = [candidate for candidate in chosen if model.worth_judging(candidate)]
        if not left:
            return
        page = Page(text, path, chosen)
        judged = 0
        harmless: Counter[tuple[str, str]] = Counter()
        for candidate in left:
            said = (candidate.key, candidate.value)
            if harmless[said] >= ALIKE_MAX:
                continue
            judged += 1
            if judged > JUDGED_MAX:
                raise GuardLimitError(
                    f"More than {JUDGED_MAX} values in one text stand beside names of secrets.",
                    "Send it in smaller parts.",
                )
            confidence = model.confidence(candidate, page)
            if confidence < self._least:
                harmless[said] += 1
            else:
                yield Hit(
                    rule=f"keyword.{candidate.kind}",
                    data_class=DATA_CLASSES.get(candidate.kind, "secret.generic"),
                    start=candidate.start,
                    end=candidate.end,
                    confidence=round(confidence, 3),
                    note="found by the name beside it",
                )


def chosen_candidates(text: str, matches: Mapping[str, Sequence[Match]]) -> list[Candidate]:
    """One candidate a value, in order: where several keys lead to it, the nearest and longest."""
    best: dict[tuple[int, int], Candidate] = {}
    for candidate in candidates(text, matches):
        if candidate.end - candidate.start < VALUE_MIN_CHARS:
            continue
        place = (candidate.start, candidate.end)
        known = best.get(place)
        if known is None or (candidate.order, -len(candidate.key)) < (known.order, -len(known.key)):
            best[place] = candidate
    return [best[place] for place in sorted(best)]


def keyword_detector(*, least: float = MASKING) -> KeywordDetector:
    """The detector with the shipped model.

    Args:
        least: hits below this confidence are not reported.
    """
    return KeywordDetector(least=least)
