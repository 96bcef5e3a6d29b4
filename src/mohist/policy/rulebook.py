"""A gateway's rules, ready to decide: facts of a call go in, a ruling comes out.

A `forbid` beats every `permit`, whatever the order of the rules. What can't be decided is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Literal
from zoneinfo import ZoneInfo

from mohist.policy.cedar import DEFAULT_ID, MINUTE_MS, Engine, Policy
from mohist.policy.fact import Facts

Stance = Literal["allow", "deny"]

ERROR_ID: Final = "error"
RESERVED_IDS: Final = frozenset({DEFAULT_ID, ERROR_ID})
UNPERMITTED: Final = "No rule of this gateway's policy permits it."
UNDECIDED: Final = "This gateway's policy could not decide it."
MAX_KEPT_RULINGS: Final = 8192


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say of one call to one upstream."""

    allowed: bool
    rule_ids: tuple[str, ...]
    """The rules that decided, in the order of the file; `default` when it was the file's default, `error` when none could."""
    reason: str
    """Of the first of them; for the person who is refused."""


@dataclass(frozen=True, slots=True)
class Example:
    """A call with the decision that the file promises for it."""

    expect: Stance
    facts: Facts
    text: str
    """As the file has it, for messages."""


@dataclass(frozen=True, slots=True)
class GatewayRule:
    """One rule of the file."""

    id: str
    reason: str
    policy: Policy
    examples: tuple[Example, ...]

    @property
    def bites(self) -> Stance:
        """What becomes of a call on which the rule has its way."""
        return "allow" if self.policy.effect == "permit" else "deny"


@dataclass(frozen=True, slots=True)
class Trial:
    """One example, tried."""

    rule_id: str
    number: int
    """Of the example within its rule, from 1."""
    example: Example
    ruling: Ruling
    fault: str
    """What is wrong; empty when the example holds."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules of one file.

    Args:
        rules: in the order of the file, which decides nothing but the order of reasons.
        default: what becomes of a call that no rule speaks of.
        zone: in which the rules read hours and weekdays.
        origin: where the file lies, for people.
        digest: SHA-256 of the file.
    """

    rules: tuple[GatewayRule, ...]
    default: Stance
    zone: ZoneInfo
    origin: str
    digest: str
    _engine: Engine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        policies = {rule.id: rule.policy for rule in self.rules}
        engine = Engine(policies, permit_all=self.default == "allow", zone=self.zone)
        object.__setattr__(self, "_engine", engine)

    @property
    def uses(self) -> frozenset[str]:
        """Names of the facts on which some rule rests."""
        return self._engine.uses

    def decide(self, facts: Facts) -> Ruling:
        """The ruling; never raises for what a call can hold."""
        outcome = self._engine.decide(facts)
        if outcome.errors:
            return Ruling(False, (ERROR_ID,), UNDECIDED)
        deciding = [rule for rule in self.rules if rule.id in outcome.ids]
        if deciding:
            return Ruling(outcome.allowed, tuple(rule.id for rule in deciding), deciding[0].reason)
        return Ruling(outcome.allowed, (DEFAULT_ID,), "" if outcome.allowed else UNPERMITTED)

    def trials(self) -> list[Trial]:
        """Every example of every rule, tried."""
        return [
            self._try(rule, number, example) for rule in self.rules for number, example in enumerate(rule.examples, 1)
        ]

    def _try(self, rule: GatewayRule, number: int, example: Example) -> Trial:
        """The whole file must decide as the example says, and where the rule is to bite it must be it that does."""
        ruling = self.decide(example.facts)
        came = "allow" if ruling.allowed else "deny"
        by = ", ".join(ruling.rule_ids)
        fault = ""
        if came != example.expect:
            fault = f"expects {example.expect}, but the file says {came} (by {by})"
        elif example.expect == rule.bites and rule.id not in ruling.rule_ids:
            fault = f"expects {example.expect} and gets it, but not by this rule (by {by})"
        elif example.expect != rule.bites and self._speaks(rule, example.facts):
            fault = f"expects {example.expect} and gets it, but the rule matches too and is overruled (by {by})"
        return Trial(rule.id, number, example, ruling, fault)

    def _speaks(self, rule: GatewayRule, facts: Facts) -> bool:
        """The rule matches, whatever the others say."""
        alone = Engine({rule.id: rule.policy}, permit_all=False, zone=self.zone)
        outcome = alone.decide(facts)
        return rule.id in outcome.ids or bool(outcome.errors)


class Memo:
    """A rulebook that remembers its rulings, by the facts that its rules read.

    Rules speak of few facts, so that most calls of a client are the same call to them. A fact that no rule reads,
    time included, is not part of what is remembered; time counts by the minute, as it does in the rules.

    Args:
        rulebook: decides what is not remembered.
        limit: rulings kept; the one that was longest unused goes first.
    """

    def __init__(self, rulebook: Rulebook, limit: int = MAX_KEPT_RULINGS) -> None:
        self.rulebook = rulebook
        self._limit = limit
        self._kept: dict[object, Ruling] = {}
        plain = sorted(rulebook.uses - {"at_ms"})
        self._read = attrgetter(*plain) if plain else _nothing
        self._timed = "at_ms" in rulebook.uses

    def __len__(self) -> int:
        return len(self._kept)

    def decide(self, facts: Facts) -> Ruling:
        """The same ruling as the rulebook's."""
        key: object = self._read(facts)
        if self._timed:
            key = key, facts.at_ms // MINUTE_MS
        return self.recall(key, lambda: facts)

    def recall(self, key: object, facts: Callable[[], Facts]) -> Ruling:
        """The same for facts that are only made when nothing is remembered under a key of the caller's own.

        Whoever brings keys brings them always; facts that some rule tells apart (`Rulebook.uses`) need different ones.
        """
        # A dict keeps the order of insertion, so what is put back last is the youngest.
        ruling = self._kept.pop(key, None)
        if ruling is None:
            ruling = self.rulebook.decide(facts())
            if len(self._kept) >= self._limit:
                del self._kept[next(iter(self._kept))]
        self._kept[key] = ruling
        return ruling


def _nothing(_facts: Facts) -> None:
    return None


def deciding(rulings: Iterable[Ruling]) -> tuple[str, ...]:
    """The rules behind several rulings, each once."""
    return tuple(dict.fromkeys(id_ for ruling in rulings for id_ in ruling.rule_ids))
