"""Examines a thing before it is used: what it is, what it holds, what it does, and what its requests depend on.

Findings say what was observed and how to see it again, never why. Nothing of a subject runs but in the sandbox, and what was
not looked at is said. Where guard inspects data in motion, vet inspects the program that would move it.
"""

from mohist.vet.acquire import Acquired, acquire
from mohist.vet.dossier import SCHEMA, Dossier, Record, Unread, finding_json
from mohist.vet.errors import DossierError, IntegrityError, RegistryError, SubjectError, UnpackError, VetError
from mohist.vet.evidence import EXCERPT_CHARS, Evidence, printable
from mohist.vet.finding import CERTAINTIES, SEVERITIES, STEPS, Certainty, Finding, Severity, Step, ranked
from mohist.vet.limit import Limits
from mohist.vet.static import examine
from mohist.vet.subject import Subject, parse

__all__ = [
    "CERTAINTIES",
    "EXCERPT_CHARS",
    "SCHEMA",
    "SEVERITIES",
    "STEPS",
    "Acquired",
    "Certainty",
    "Dossier",
    "DossierError",
    "Evidence",
    "Finding",
    "IntegrityError",
    "Limits",
    "Record",
    "RegistryError",
    "Severity",
    "Step",
    "Subject",
    "SubjectError",
    "UnpackError",
    "Unread",
    "VetError",
    "acquire",
    "examine",
    "finding_json",
    "parse",
    "printable",
    "ranked",
]
