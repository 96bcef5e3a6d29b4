"""Covert channels: what a text says beside its words, by characters that nobody sees or that look like others.

`covert_detector()` judges one text; `Variation` watches one client's requests over time. Nothing is normalised unless a rule asks:
then `strip` and `canonical` do it. Never decides what happens.
"""

from mohist.guard.covert.canonical import canonical, strip
from mohist.guard.covert.detector import CovertDetector, covert_detector
from mohist.guard.covert.payload import Payload, payloads
from mohist.guard.covert.variation import WATCHED, Bounds, Suspicion, Variation

__all__ = [
    "WATCHED",
    "Bounds",
    "CovertDetector",
    "Payload",
    "Suspicion",
    "Variation",
    "canonical",
    "covert_detector",
    "payloads",
    "strip",
]
