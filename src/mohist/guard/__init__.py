"""Inspects data in motion: what must not leave, and what must not be obeyed.

`Scanner` looks at blocks of text with detectors, whose patterns one matcher runs in one pass; a finding says what and where,
never the thing itself. Rules then say what happens to it.
"""

from mohist.guard.block import Block, Source
from mohist.guard.detector import CERTAIN, Detector, Hit, Match, Matcher, Pattern
from mohist.guard.errors import GuardDataError, GuardError, GuardLimitError, GuardRuleError
from mohist.guard.finding import Digest, Finding, Found, keyed, shown
from mohist.guard.scanner import Scanner
from mohist.guard.view import Origin, View

__all__ = [
    "CERTAIN",
    "Block",
    "Detector",
    "Digest",
    "Finding",
    "Found",
    "GuardDataError",
    "GuardError",
    "GuardLimitError",
    "GuardRuleError",
    "Hit",
    "Match",
    "Matcher",
    "Origin",
    "Pattern",
    "Scanner",
    "Source",
    "View",
    "keyed",
    "shown",
]
