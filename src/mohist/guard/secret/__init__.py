"""Secrets of fixed format: a rule's match, the filters that speak against it, the checksums that prove it.

Never asks a provider whether a secret is valid, and never keeps one. Secrets that only their name gives away are another
detector's.
"""

from mohist.guard.secret.catalogue import catalogue
from mohist.guard.secret.detector import SecretDetector
from mohist.guard.secret.rule import HIGH, LOW, MEDIUM, Rule
from mohist.guard.secret.validator import VALIDATORS, Validator

__all__ = ["HIGH", "LOW", "MEDIUM", "VALIDATORS", "Rule", "SecretDetector", "Validator", "catalogue"]
