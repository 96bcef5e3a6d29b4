"""Inspects data in motion: what must not leave, and what must not be obeyed.

`Scanner` looks at blocks of text with detectors, whose patterns one matcher runs in one pass; a finding says what and where,
never the thing itself. Rules then say what happens to it.
"""

from mohist.guard.block import Block, Source
from mohist.guard.detector import CERTAIN, Detector, Hit, Match, Matcher, Pattern
from mohist.guard.errors import GuardDataError, GuardError, GuardLimitError, GuardRuleError
from mohist.guard.finding import Digest, Finding, Found, keyed, shown
from mohist.guard.limit import Limits
from mohist.guard.region import Dialect
from mohist.guard.request import Request, walk
from mohist.guard.scanner import Scanner
from mohist.guard.seal import Skipped
from mohist.guard.view import Origin, View

__all__ = [
    "CERTAIN",
    "Block",
    "Detector",
    "Dialect",
    "Digest",
    "Finding",
    "Found",
    "GuardDataError",
    "GuardError",
    "GuardLimitError",
    "GuardRuleError",
    "Hit",
    "Limits",
    "Match",
    "Matcher",
    "Origin",
    "Pattern",
    "Request",
    "Scanner",
    "Skipped",
    "Source",
    "View",
    "keyed",
    "shown",
    "walk",
]
