"""Recognises parts of registered repositories in any text, also renamed and re-indented.

`learn` makes a repository's fingerprint, `Index` holds all of them in one file, `fingerprint_detector` looks them up. Holds hashes
of code, never code.
"""

from mohist.guard.fingerprint.detector import FingerprintDetector, fingerprint_detector
from mohist.guard.fingerprint.index import Index, Repository
from mohist.guard.fingerprint.lesson import Learnt, Source, its_own, learn, library, public
from mohist.guard.fingerprint.run import Run
from mohist.guard.fingerprint.store import fingerprint_path, read_index, write_index

__all__ = [
    "FingerprintDetector",
    "Index",
    "Learnt",
    "Repository",
    "Run",
    "Source",
    "fingerprint_detector",
    "fingerprint_path",
    "its_own",
    "learn",
    "library",
    "public",
    "read_index",
    "write_index",
]
