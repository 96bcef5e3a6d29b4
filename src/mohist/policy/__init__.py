"""Decides: a request and facts go in, a verdict comes out. Pure: no I/O, no clock, no environment.

Never inspects data in motion (guard does), never confines (sandbox does).
"""

from mohist.policy.access import Access, Effect
from mohist.policy.verdict import Allow, Ask, Deny, Verdict

__all__ = ["Access", "Allow", "Ask", "Deny", "Effect", "Verdict"]
