"""The learned filter: which candidates are secrets. Data, not code; trained by scripts/train-guard."""

from __future__ import annotations

import json
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from mohist.guard.errors import GuardDataError
from mohist.guard.keyword import context, shape
from mohist.guard.keyword.candidate import Candidate
from mohist.guard.keyword.context import Page
from mohist.guard.keyword.shape import ALPHABET, QUICK_MAX_CHARS, Language
from mohist.guard.keyword.token import GROUPS, TABLE, tokens
from mohist.guard.keyword.tree import Trees, sigmoid

FORMAT = 1
DATA = "keyword-model.json"
MASKING = 0.5
"""From here on a value is masked: the lower of the model's two borders."""
BLOCKING = 0.9
"""From here on a value is blocked: the upper border."""
DROPPED_MAX = 1 << 16
"""Answers of the first filter that are remembered."""
_HIGHEST = 0.94
"""Below `mohist.guard.CERTAIN`: a guess from a name is never certain."""

QUICK_NAMES = ("length", "lower", "upper", "digit", "other", "space", "pair_mean", "word_share", "operator", "quote", "order", "kind")  # fmt: skip
NAMES = (*context.PAGE_NAMES, *context.NAMES, *shape.NAMES, *(f"sum:{group}" for group in GROUPS), "sum")
"""The row's columns, in order."""


class Model:
    """Judges candidates. Immutable, but for what it remembers of the first filter's answers.

    Args:
        data: as the trainer writes it.

    Raises:
        GuardDataError: it is of another version, or was trained for other features.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        if data.get("format") != FORMAT:
            raise GuardDataError(
                f"The keyword model is of format {data.get('format')!r}, not {FORMAT}.",
                "Train it anew with scripts/train-guard.",
            )
        if data["names"] != list(NAMES) or data["quick_names"] != list(QUICK_NAMES):
            raise GuardDataError(
                "The keyword model was trained for other features.", "Train it anew with scripts/train-guard."
            )
        self.version: str = data["version"]
        pairs = b64decode(data["pairs"])
        weights = array("h", b64decode(data["weights"]))
        if len(pairs) != ALPHABET * ALPHABET or len(weights) != TABLE:
            raise GuardDataError("The keyword model's tables are not whole.", "Install the package again.")
        self.language = Language(frozenset(data["words"].split()), pairs)
        self._weights = weights
        self._scale: float = data["weights_scale"]
        self._quick = Trees(data["quick"])
        self._quick_floor: float = data["quick"]["cut"]
        self._trees = Trees(data["full"])
        self._dropped: set[int] = set()
        self._borders: tuple[float, float] = (data["masking"], data["blocking"])

    def row(self, candidate: Candidate, page: Page) -> list[float]:
        """The candidate's features, in the order of `NAMES`."""
        weights, scale = self._weights, self._scale
        sums = [sum([weights[place] for place in set(group)]) * scale for group in tokens(candidate, page)]
        return [
            *page.features,
            *context.features(candidate, page),
            *shape.features(candidate.value, self.language),
            *sums,
            sum(sums),
        ]

    def worth_judging(self, candidate: Candidate) -> bool:
        """Whether the first, cheap filter lets it through; it drops nine of ten."""
        value = candidate.value
        # Sources say the same again and again (`key=None`). What is kept is a keyed hash of all that the filter looks at, no value.
        known = hash(
            (value[:QUICK_MAX_CHARS], len(value), candidate.operator, candidate.quote, candidate.order, candidate.kind)
        )
        dropped = self._dropped
        if known in dropped:
            return False
        if self._quick.total(quick_row(candidate, self.language)) >= self._quick_floor:
            return True
        if len(dropped) >= DROPPED_MAX:
            dropped.clear()
        dropped.add(known)
        return False

    def confidence(self, candidate: Candidate, page: Page) -> float:
        """How sure it is that this is a secret, of one that is worth judging.

        `MASKING` and `BLOCKING` stand at the two borders that were chosen in training (docs/benchmarks.md has what each
        costs and finds); between them, and from them to 0 and to 0.94, it runs straight with the model's own share.
        """
        return self.calibrated(sigmoid(self._trees.total(self.row(candidate, page))))

    def calibrated(self, share: float) -> float:
        """The confidence at a share of the trees' own."""
        masking, blocking = self._borders
        for low, high, least, most in ((0.0, masking, 0.0, MASKING), (masking, blocking, MASKING, BLOCKING)):
            if share < high:
                return least + (most - least) * (share - low) / (high - low)
        return BLOCKING + (_HIGHEST - BLOCKING) * (share - blocking) / (1 - blocking)


def quick_row(candidate: Candidate, language: Language) -> Sequence[float]:
    """What the first, cheap filter looks at, in the order of `QUICK_NAMES`."""
    return [*shape.quick(candidate.value, language), *context.quick(candidate)]


@cache
def shipped() -> Model:
    """The model that comes with the package; read when it is first asked for.

    Raises:
        GuardDataError: it can't be read.
    """
    try:
        return Model(json.loads((files("mohist.guard") / "data" / DATA).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise GuardDataError(
            f"The keyword model can't be read ({type(error).__name__}).", "Install the package again."
        ) from error
