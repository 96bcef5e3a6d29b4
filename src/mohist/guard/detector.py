"""What a detector is: patterns for the one pass over a text, and a judgement of what they hit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from mohist.guard.block import Block
from mohist.guard.view import View

CERTAIN = 0.95
"""From here on a hit is one by construction: a checksum, a listed value, a format that nothing else has."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One expression for the one pass.

    Searched in UTF-8 bytes, so `\\w`, `\\d` and `\\b` are ASCII's; other scripts are written out and matched by their bytes.
    """

    name: str
    """Unique in its detector."""
    expression: str
    """In the syntax that RE2 and Hyperscan share: no look-around, no back reference."""
    ignore_case: bool = False
    keywords: tuple[str, ...] = ()
    """Lower case; at least one must stand in the text (any case) for a match to count. Empty: no such condition."""
    width_bytes: int = 1024
    """The longest text that a match may have."""
    anchor: str = ""
    """What stands within each match and costs less to look for everywhere; around it the match is looked for. Empty: nothing does."""
    rare: bool = False
    """Whether its keywords are so rare that they are looked for alone, and it itself in all of a text that holds one."""
    once: bool = False
    """Whether it is enough to know where the first one is."""
    apart: bool = False
    """Whether a match within another says nothing new, so that the search goes on behind each."""


class Match(NamedTuple):
    """Where a pattern matched, in characters of the view; `value_*` is its group `value`, else its first group, else all."""

    pattern: str
    start: int
    end: int
    value_start: int
    value_end: int


class Hit(NamedTuple):
    """What a detector found, in characters of the view."""

    rule: str
    """Stable id, "betterleaks.github-pat"."""
    data_class: str
    """Dotted, widest first: "secret.token", "personal.email", "personal.cn.resident-id", "source.restricted",
    "document.confidential", "covert.zero-width", "injection.instruction"."""
    start: int
    end: int
    confidence: float
    """0 to 1: how sure."""
    note: str = ""
    """What a person is told besides; never the value."""


class Detector(Protocol):
    """Finds one sort of thing. Pure; may be called from several threads at once."""

    @property
    def name(self) -> str:
        """A word: "secret", "keyword", "personal", "fingerprint", "covert", "injection", "listed"."""
        ...

    @property
    def version(self) -> str:
        """Changes with every change of what it finds; results are kept under it."""
        ...

    @property
    def patterns(self) -> Sequence[Pattern]:
        """What the one pass shall look for; empty: the detector is asked about every view."""
        ...

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        """Judges a view.

        Args:
            view: what is looked at.
            block: what it is a reading of.
            matches: of this detector's patterns in the view, by name, in order; not asked at all where patterns were given and none matched.
        """
        ...


@runtime_checkable
class JointDetector(Detector, Protocol):
    """One without patterns that looks at many views together for less than at each alone."""

    def detect_all(self, views: Sequence[View]) -> Sequence[Sequence[Hit]]:
        """What `detect` would find in each view, in the order of the views."""
        ...


class Matcher(Protocol):
    """Runs all patterns over a text in one pass."""

    def matches(self, view: View) -> Mapping[str, Mapping[str, Sequence[Match]]]:
        """What matched: by detector, then by pattern, each in order.

        Raises:
            GuardError: the engine failed; the text counts as not looked at.
        """
        ...
