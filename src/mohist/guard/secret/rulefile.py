"""Rules written as data: ours, and a company's; each proves itself by its examples.

A file is TOML, one table for each rule:

    [[rule]]
    id = "vault-token"
    name = "Token of our vault"
    expression = 'acme-[a-z]{2}-([0-9a-f]{32})'
    keywords = ["acme-"]
    matches = ["acme-eu-{hex:32}"]
    passes = ["acme-eu-test"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from mohist.guard.block import Block
from mohist.guard.detector import Match
from mohist.guard.errors import GuardDataError, GuardRuleError
from mohist.guard.matcher import Expression
from mohist.guard.secret.detector import SecretDetector
from mohist.guard.secret.example import filled
from mohist.guard.secret.predicate import NEVER, predicate
from mohist.guard.secret.row import Row
from mohist.guard.secret.rule import HIGH, SURE, Rule
from mohist.guard.secret.service import with_services
from mohist.guard.view import View

PROGRAM_MAX = 10_000
"""RE2's instructions for one rule; the largest of 446 maintained rules takes 8,700."""
ORDINARY_MATCHES_MAX = 3
"""In half a page of ordinary text; a rule that matches more often than that would stop everything."""
FILE_MAX_BYTES = 4 << 20
COMPANY = "company"
OWN = "mohist"
NO_CLASS = "secret.company"
"""Of a rule that names none; one of ours is of a vendor's format."""
_FILES = ("own.toml", "format.toml", "vendor.toml")

_ORDINARY = """\
The guard looks at every request before it leaves. It says what it found, where, and how to go on.
def total(items: list[Item], tax_percent: int = 19) -> int:
    return sum(item.price_cents * item.count for item in items) * (100 + tax_percent) // 100
2026-11-23T08:15:30Z INFO worker-3 took job 4711 from queue "orders" in 12 ms (commit 3f2a9bd, https://example.org/a?b=1)
{"name": "example", "version": "1.4.2", "license": "MIT", "scripts": {"test": "pytest -q", "build": "make all"}}
Please read README.md, then run `./configure --prefix=/usr && make`; questions go to people@example.org.
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One example of one rule, and whether the rule does by it as it says."""

    rule: str
    template: str
    """As written; it holds nothing that looks like a secret."""
    expected: bool
    """Whether it is to be found."""
    found: bool


@dataclass(frozen=True, slots=True)
class RuleFile:
    """The rules of one file, with their examples."""

    rules: tuple[Rule, ...]
    matches: Mapping[str, tuple[str, ...]]
    passes: Mapping[str, tuple[str, ...]]

    def refusals(self, where: str) -> list[str]:
        """Why rules of a company would be refused, examples aside."""
        said: list[str] = []
        for rule in self.rules:
            try:
                _check(rule, self, where)
            except GuardRuleError as error:
                said.append(str(error))
        return said

    def examples(self) -> list[Example]:
        """Tries every example on the rules of this file that can be taken."""
        bench = _Bench(self.rules)
        return [
            Example(rule.id, template, expected, bench.finds(rule.id, filled(template)))
            for rule in self.rules
            for expected, templates in ((True, self.matches[rule.id]), (False, self.passes[rule.id]))
            for template in templates
        ]


class _Bench:
    """Finds by RE2 alone: a handful of short texts is not worth an automaton."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._detector = SecretDetector(rules)
        self._expressions: list[Expression] = []
        for pattern in self._detector.patterns:
            with suppress(GuardRuleError):  # finds nothing; that it can't be taken is said apart
                expression = Expression("secret", pattern)
                expression.compile()
                self._expressions.append(expression)

    def finds(self, rule_id: str, text: str) -> bool:
        view = View(text)
        lower = view.data.lower()
        found: dict[str, list[Match]] = {}
        for expression in self._expressions:
            if expression.gated(lower):
                places = expression.matches(view.data, ((0, len(view.data)),), len(view.data) + 1)
                if matches := [Match(expression.name, *map(view.char, place)) for place in places]:
                    found[expression.name] = matches
        return any(hit.rule == rule_id for hit in self._detector.every(view, Block(text), found))


def read_rules(text: str, *, source: str, where: str, checked: bool = True) -> RuleFile:
    """The rules of a file.

    Args:
        text: TOML.
        source: before each id, "company".
        where: names the file in errors.
        checked: whether the rules are strangers': their cost is bounded, they must have examples of both sorts and do by them.

    Raises:
        GuardRuleError: the file or a rule can't be taken; says which and why.
    """
    from mohist.guard.secret.shape import RulesFile, shaped

    rows = [one.row() for one in shaped(RulesFile, text, where).rule]
    read = _read(rows, source, where)
    SecretDetector(read.rules)  # one id twice, an unknown validator, a bad path
    if checked:
        for rule in read.rules:
            _check(rule, read, where)
        for example in read.examples():
            if example.found is not example.expected:
                said = "is found" if example.found else "is not found"
                raise GuardRuleError(f"{where}, {example.rule!r}: its example {example.template!r} {said}.")
    return read


def _read(rows: Sequence[Row], source: str, where: str) -> RuleFile:
    return RuleFile(
        tuple(_rule(row, source, where) for row in rows),
        {f"{source}.{row.id}": row.matches for row in rows},
        {f"{source}.{row.id}": row.passes for row in rows},
    )


def _rule(row: Row, source: str, where: str) -> Rule:
    if row.sure and (row.sure not in SURE or row.confidence is not None):
        raise GuardRuleError(f"{where}, {row.id!r}: `sure` is one of {', '.join(SURE)}, and stands for `confidence`.")
    try:
        drop = NEVER if row.drop is None else predicate(row.drop)
        weak = NEVER if row.weak is None else predicate(row.weak)
    except GuardDataError as error:
        raise GuardRuleError(f"{where}, {row.id!r}: {error.what}") from None
    confidence = SURE[row.sure] if row.sure else HIGH if row.confidence is None else row.confidence
    return Rule(
        id=f"{source}.{row.id}",
        expression=with_services(row.expression) if source == OWN else row.expression,
        data_class="secret.token" if source == OWN and row.data_class == NO_CLASS else row.data_class,
        confidence=confidence,
        name=row.name,
        source=source,
        ignore_case=row.ignore_case,
        keywords=row.keywords,
        width_bytes=row.width,
        drop=drop,
        weak=weak,
        filters=repr((row.drop, row.weak)),
        path=row.path,
        validator=row.validator,
        strict=row.strict,
        beside=tuple(other if "." in other else f"{source}.{other}" for other in row.beside),
    )


def _check(rule: Rule, read: RuleFile, where: str) -> None:
    """What a rule costs, and that it has examples.

    Raises:
        GuardRuleError: it can't be taken.
    """
    try:
        expression = Expression("secret", rule.pattern())
        size = expression.compile()
    except GuardRuleError as error:
        raise GuardRuleError(f"{where}, {rule.id!r}: {error.what}", error.mend) from None
    if size > PROGRAM_MAX:
        raise GuardRuleError(
            f"{where}, {rule.id!r}: its expression is too large ({size} instructions, at most {PROGRAM_MAX}).",
            "Repeat less often, or split the rule.",
        )
    ordinary = _ORDINARY.encode("utf-8")
    if sum(1 for _ in expression.matches(ordinary, ((0, len(ordinary)),), len(ordinary))) > ORDINARY_MATCHES_MAX:
        raise GuardRuleError(f"{where}, {rule.id!r}: its expression matches ordinary text.", "Make it narrower.")
    if not read.matches[rule.id] or not read.passes[rule.id]:
        raise GuardRuleError(f"{where}, {rule.id!r}: there must be an example that matches and one that passes.")


def company_rules(path: Path) -> RuleFile:
    """The rules of a company's file, checked by their examples.

    Raises:
        GuardRuleError: as in `read_rules`.
        GuardDataError: the file can't be read.
    """
    return read_rules(_text(path), source=COMPANY, where=str(path))


def unchecked_rules(path: Path) -> RuleFile:
    """The same rules with all that is wrong about them still to be said; for looking at, not for use.

    Raises:
        GuardRuleError: the file's form is wrong.
        GuardDataError: the file can't be read.
    """
    return read_rules(_text(path), source=COMPANY, where=str(path), checked=False)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise GuardDataError(f"The rules in {path} can't be read ({error.strerror}).") from None
    if len(data) > FILE_MAX_BYTES:
        raise GuardRuleError(f"{path} is larger than {FILE_MAX_BYTES} bytes.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise GuardRuleError(f"{path} is not UTF-8.") from None


@lru_cache(maxsize=1)
def own_rules() -> RuleFile:
    """Our own rules: Chinese clouds, webhooks, headers, connection strings, credentials' files, further vendors' formats.

    Their form and their examples are checked by the tests, not at each start.
    """
    tables = tomllib.loads(own_text())["rule"]
    return _read([Row.from_table(table) for table in tables], OWN, "own.toml")


def own_text() -> str:
    """Our own rules as they are written."""
    return "".join((files("mohist.guard") / "data" / name).read_text(encoding="utf-8") for name in _FILES)
