"""What a text says of itself: classification markings, and the restricted file that it came from.

`marking_detector()` reads headers, footers and classification lines, never a mere mention; `path_detector()` knows a company's
restricted paths. The content itself is recognised by `mohist.guard.fingerprint`.
"""

from mohist.guard.marking.path import PathDetector, path_detector
from mohist.guard.marking.phrase import MarkingDetector, marking_detector

__all__ = ["MarkingDetector", "PathDetector", "marking_detector", "path_detector"]
