"""Runs every detector's patterns over a text in one pass.

Hyperscan says which patterns end where; RE2 confirms each in a window and says where it starts and what its value is. Without
Hyperscan RE2 alone gives the same matches, a hundred times slower. Decides nothing: what a match means is a detector's affair.
"""

from mohist.guard.matcher.build import MATCHES_MAX, build_matcher
from mohist.guard.matcher.expression import Expression
from mohist.guard.matcher.fallback import Re2Matcher

__all__ = ["MATCHES_MAX", "Expression", "Re2Matcher", "build_matcher"]
