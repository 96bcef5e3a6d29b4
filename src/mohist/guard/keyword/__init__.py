"""Finds secrets that nothing but their name gives away: passwords and keys in assignments, calls, headers and command lines.

A wide net for the one pass, and a small learned filter over what it holds. Fixed formats are the secret detector's.
"""

from mohist.guard.keyword.detector import KeywordDetector, keyword_detector
from mohist.guard.keyword.model import BLOCKING, MASKING

__all__ = ["BLOCKING", "MASKING", "KeywordDetector", "keyword_detector"]
