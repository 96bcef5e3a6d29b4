"""Puts the detector of fixed-format secrets together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mohist.guard.errors import GuardRuleError
from mohist.guard.secret.catalogue import catalogue
from mohist.guard.secret.detector import SecretDetector
from mohist.guard.secret.listed import ListedDetector, Tracer
from mohist.guard.secret.register import Register
from mohist.guard.secret.rulefile import company_rules, own_rules


def secret_detector(company: Iterable[Path] = (), without: Iterable[str] = ()) -> SecretDetector:
    """Catalogue, own rules, and those of a company's files.

    Args:
        company: TOML files, see `rulefile`.
        without: ids of rules that are switched off.

    Raises:
        GuardRuleError: a company's rule can't be taken, or an id that is switched off is none.
        GuardDataError: shipped data or a file can't be read.
    """
    rules = [*catalogue(), *own_rules().rules]
    for path in company:
        rules += company_rules(path).rules
    off = set(without)
    if unknown := off - {rule.id for rule in rules}:
        raise GuardRuleError(f"There is no rule {min(unknown)!r} that could be switched off.")
    return SecretDetector([rule for rule in rules if rule.id not in off])


def listed_detector(path: Path, key: bytes) -> ListedDetector:
    """The company's own secrets, by their list.

    Args:
        path: of the list; absent means empty.
        key: that the list was made with.

    Raises:
        GuardDataError: the list can't be read, or others may write it.
    """
    return ListedDetector(Register(path).read(), Tracer(key))
