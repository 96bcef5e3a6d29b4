"""Puts a matcher together for a set of detectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from mohist.guard.detector import Detector, Matcher
from mohist.guard.errors import GuardRuleError
from mohist.guard.matcher.expression import Expression
from mohist.guard.matcher.fallback import Re2Matcher

MATCHES_MAX = 100_000
"""Of one pattern in one text; a table of 50,000 addresses is still looked at, an endless one is refused."""


def build_matcher(
    detectors: Iterable[Detector],
    *,
    cache: Path | None = None,
    matches_max: int = MATCHES_MAX,
    engine: Literal["auto", "kept", "hyperscan", "re2"] = "auto",
    begun: Callable[[int], object] | None = None,
) -> Matcher:
    """One matcher for all patterns of these detectors.

    Args:
        detectors: whose patterns are searched.
        cache: a folder of ours alone, for the compiled automaton (0700; made if absent); None: nothing is kept.
        matches_max: of one pattern in one text; beyond it the text counts as not looked at.
        engine: "auto" takes Hyperscan where it is installed, else RE2 alone. "kept" takes Hyperscan only where the automaton was
            compiled before, which takes seconds: for who looks at little and must begin at once.
        begun: told how many patterns are about to be compiled, where that takes seconds.

    Raises:
        GuardRuleError: a pattern can't be taken.
        GuardDataError: the patterns can't be compiled together.
    """
    expressions = [Expression(detector.name, pattern) for detector in detectors for pattern in detector.patterns]
    names = [(expression.detector, expression.name) for expression in expressions]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise GuardRuleError(f"The detector {twice[0]!r} has two patterns named {twice[1]!r}.")
    if engine == "re2" or (engine in ("auto", "kept") and find_spec("hyperscan") is None):
        return Re2Matcher(expressions, matches_max)
    from mohist.guard.matcher.native import HyperscanMatcher, kept

    if engine == "kept":
        automaton = kept(expressions, cache)
        if automaton is None:
            return Re2Matcher(expressions, matches_max)
        return HyperscanMatcher(expressions, matches_max, cache, automaton)
    return HyperscanMatcher(expressions, matches_max, cache, begun=begun)
