"""Personal data: what names a person or an organisation, by pattern, check digit and the words around it.

`personal_detector()` for the one pass; `NameDetector` for a company's own recogniser of names, `pipeline` for one of spaCy's.
"""

from mohist.guard.personal.detector import PersonalDetector, personal_detector
from mohist.guard.personal.model import NameDetector
from mohist.guard.personal.named import Named, NameModel

__all__ = ["NameDetector", "NameModel", "Named", "PersonalDetector", "personal_detector"]
