"""Secrets of fixed format: a rule's match, the filters that speak against it, the checksums that prove it.

Never asks a provider whether a secret is valid, and never keeps one. Secrets that only their name gives away are another
detector's.
"""

from mohist.guard.secret.allow import Allowance, Allowances, read_allowances
from mohist.guard.secret.catalogue import catalogue
from mohist.guard.secret.detector import SecretDetector
from mohist.guard.secret.example import filled
from mohist.guard.secret.factory import listed_detector, secret_detector
from mohist.guard.secret.listed import Listed, ListedDetector, Tracer
from mohist.guard.secret.mark import marked
from mohist.guard.secret.register import Register, listed_path
from mohist.guard.secret.rule import HIGH, LOW, MEDIUM, Rule
from mohist.guard.secret.rulefile import Example, RuleFile, company_rules, own_rules, read_rules, unchecked_rules
from mohist.guard.secret.validator import VALIDATORS, Validator

__all__ = [
    "HIGH",
    "LOW",
    "MEDIUM",
    "VALIDATORS",
    "Allowance",
    "Allowances",
    "Example",
    "Listed",
    "ListedDetector",
    "Register",
    "Rule",
    "RuleFile",
    "SecretDetector",
    "Tracer",
    "Validator",
    "catalogue",
    "company_rules",
    "filled",
    "listed_detector",
    "listed_path",
    "marked",
    "own_rules",
    "read_allowances",
    "read_rules",
    "secret_detector",
    "unchecked_rules",
]
