"""The only way out of a confined tree: every wish to reach something is decided, and recorded, outside of it.

Knows nothing of who may reach what: a function that its owner passes decides. Never starts the tree itself (the
backends do), and puts no program and no file of its own into it.
"""

from mohist.sandbox.fence.authority import Authority
from mohist.sandbox.fence.credential import Credential
from mohist.sandbox.fence.fence import Fence
from mohist.sandbox.fence.limit import FenceLimits
from mohist.sandbox.fence.rule import Rule, Rules
from mohist.sandbox.fence.wish import Asked, Attempt, Carrier, Decision, Dial, Outcome, Refuse, Serve

__all__ = [
    "Asked",
    "Attempt",
    "Authority",
    "Carrier",
    "Credential",
    "Decision",
    "Dial",
    "Fence",
    "FenceLimits",
    "Outcome",
    "Refuse",
    "Rule",
    "Rules",
    "Serve",
]
