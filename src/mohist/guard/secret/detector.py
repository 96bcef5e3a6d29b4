"""Finds secrets by rules: a match, what speaks against it, what proves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import re2  # type: ignore[import-untyped]

from mohist.guard.block import Block
from mohist.guard.detector import CERTAIN, Hit, Match, Pattern
from mohist.guard.errors import GuardRuleError
from mohist.guard.secret.predicate import Candidate
from mohist.guard.secret.public import is_public
from mohist.guard.secret.rule import MEDIUM, Rule
from mohist.guard.secret.validator import DOUBTFUL, NOT_ONE, VALIDATORS
from mohist.guard.view import View

WEAK = 0.35
"""A match that its rule itself calls doubtful: an example's host, a test's name."""
FAILED = 0.5
"""A value of an unmistakable shape that fails its own check: cut, altered, or made up. Masked, not blocked."""
_SPOKEN_AGAINST: Mapping[bool | str, tuple[float, str]] = {
    False: (FAILED, "its checksum or structure is wrong"),
    DOUBTFUL: (MEDIUM, "what it holds looks made up"),
    NOT_ONE: (WEAK, "it holds nothing of the kind"),
}
UNKNOWN_PATH = 0.5
"""Factor for a rule that asks for a kind of file, in a text that has no path: its words alone say little."""
BESIDE_CHARS = 400
"""How far a part of a pair may stand from the other: a few lines of a credentials file."""


class SecretDetector:
    """Judges the matches of fixed-format rules.

    Args:
        rules: of the catalogue, of ours, of the company; ids must differ.

    Raises:
        GuardRuleError: two rules have one id, a rule names a validator that is not there, or a path that RE2 refuses.
    """

    name = "secret"

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.id: rule for rule in rules}
        if len(self._rules) != len(rules):
            ids = [rule.id for rule in rules]
            raise GuardRuleError(f"Two rules are named {next(one for one in ids if ids.count(one) > 1)!r}.")
        for rule in rules:
            if rule.validator and rule.validator not in VALIDATORS:
                raise GuardRuleError(
                    f"The rule {rule.id!r} names a validator that is not there: {rule.validator!r}.",
                    f"There are {', '.join(sorted(VALIDATORS))}.",
                )
        self._paths = {rule.id: _path(rule) for rule in rules if rule.path}
        self.patterns: Sequence[Pattern] = [rule.pattern() for rule in rules]
        self.version = sha256(repr(sorted(rules, key=lambda rule: rule.id)).encode()).hexdigest()[:16]

    @property
    def rules(self) -> Mapping[str, Rule]:
        """By id."""
        return self._rules

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        """See `mohist.guard.Detector`."""
        return _clear(self.every(view, block, matches))

    def every(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> list[Hit]:
        """All hits, those too that lie within others."""
        path = block.path.replace("\\", "/") if block.source == "file" else ""
        hits: list[Hit] = []
        for name, places in matches.items():
            rule = self._rules[name]
            factor = self._factor(rule, path)
            if not factor:
                continue
            for match in places:
                hit = _judged(rule, view.text, match, path, factor)
                if hit is not None:
                    hits.append(hit)
        return self._paired(hits)

    def _factor(self, rule: Rule, path: str) -> float:
        expression = self._paths.get(rule.id)
        if expression is None:
            return 1.0
        if not path:
            return UNKNOWN_PATH
        return 1.0 if expression.search(path) is not None else 0.0

    def _paired(self, hits: list[Hit]) -> list[Hit]:
        """Without parts of pairs that stand alone."""
        places: dict[str, list[int]] = {}
        for hit in hits:
            places.setdefault(hit.rule, []).append(hit.start)
        return [hit for hit in hits if self._stands(hit, places)]

    def _stands(self, hit: Hit, places: Mapping[str, Sequence[int]]) -> bool:
        beside = self._rules[hit.rule].beside
        return not beside or any(
            abs(place - hit.start) <= BESIDE_CHARS for other in beside for place in places.get(other, ())
        )


def _path(rule: Rule) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(rule.path, options)
    except re2.error:
        raise GuardRuleError(f"The rule {rule.id!r} asks for a path by an expression that RE2 refuses.") from None


def _judged(rule: Rule, text: str, match: Match, path: str, factor: float) -> Hit | None:
    candidate = Candidate(text, match.start, match.end, match.value_start, match.value_end, path)
    if not candidate.value or is_public(candidate.value) or rule.drop(candidate):
        return None
    confidence, note = rule.confidence * factor, ""
    if rule.validator:
        verdict = VALIDATORS[rule.validator](candidate.value)
        if rule.strict and verdict is not True:
            return None
        if verdict is True:
            confidence, note = max(confidence, CERTAIN), "its checksum is right"
        elif verdict is not None:
            most, note = _SPOKEN_AGAINST[verdict]
            confidence = min(confidence, most)
    if _in_blob(text, match.start):
        confidence, note = min(confidence, WEAK), "it stands within a longer run of base64"
    if rule.weak(candidate):
        confidence, note = min(confidence, WEAK), "it looks like an example"
    return Hit(rule.id, rule.data_class, match.value_start, match.value_end, confidence, note)


def _in_blob(text: str, start: int) -> bool:
    """Whether a match begins at a "+" or "/" of a long run of base64, where any short mark turns up by chance."""
    if start < _BLOB_CHARS or text[start - 1] not in "+/":
        return False
    before = text[start - _BLOB_CHARS : start]
    return before.isascii() and before.replace("+", "a").replace("/", "a").isalnum() and len(set(before)) > _BLOB_KINDS


def _clear(hits: list[Hit]) -> list[Hit]:
    """In order, without those that lie within another that is at least as sure."""
    hits.sort(key=lambda hit: (hit.start, -hit.end, -hit.confidence))
    kept: list[Hit] = []
    for hit in hits:
        if any(other.end >= hit.end and other.confidence >= hit.confidence for other in kept[-_LOOK_BACK:]):
            continue
        if kept and (kept[-1].start, kept[-1].end) == (hit.start, hit.end):
            continue
        kept.append(hit)
    return kept


_BLOB_CHARS = 40
_BLOB_KINDS = 16
"""Different characters in so many of base64; a path of words has as many, but a dot, dash or colon, too."""
_LOOK_BACK = 8
"""How many earlier hits may hold this one; overlaps are few, and the list can be long."""
