"""Which gates a delivery must pass, with whom: pure, from facts and rules.

What needs a person where no rule says anything: the spec, the merge into the base branch, each thing that can't be taken
back, and a deploy to anything that is called production. Only a `waive` of the project's base commit lets one of these go
on alone, never for what can't be taken back, and never where a rule or an owner asks for somebody.

A gate's digest is of what it is about (`machine.stale`), so a changed spec, plan or commit is asked about anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mohist.delivery.consent import ANYBODY
from mohist.delivery.deputy import ESCALATE, EXPIRES
from mohist.delivery.machine import Required
from mohist.delivery.owner import Owners, path_matches
from mohist.delivery.rule import RISKS, GateRule, Kind, Rules, at_least
from mohist.delivery.state import Facts, Gate, GateKind, Risk, StageName

MANY_LINES: Final = 400
"""Above it reviewers overlook defects ("Best Kept Secrets of Peer Code Review", SmartBear 2006, ch. 5)."""
FEW_LINES: Final = 50

_PRODUCTION: Final = re.compile(r"(?:^|.*[-_.])(?:prod|production|live)(?:[-_.\d].*|\d*$)", re.IGNORECASE)
_HIGH: Final = (
    ".mohist/**",
    "CODEOWNERS",
    ".github/**",
    ".gitlab/**",
    ".gitlab-ci.yml",
    "Jenkinsfile",
    "**/migrations/**",
    "**/migration/**",
    "*.sql",
)
"""What decides about deliveries, runs with the forge's rights, or changes data."""
_MEDIUM: Final = (
    "Dockerfile*",
    "pyproject.toml",
    "requirements*.txt",
    "package.json",
    "package-lock.json",
    "*.lock",
    "go.mod",
    "go.sum",
    "Cargo.toml",
    "pom.xml",
    "*.gradle*",
    "*.tf",
)
"""What brings in code that nobody here wrote, or shapes where it runs."""
_LOW: Final = ("*.md", "*.rst", "*.txt", "docs/**", "LICENSE", "*.svg", "*.png")


@dataclass(frozen=True, slots=True)
class Change:
    """What is known of a change: expected from spec and plan, or measured on the diff."""

    paths: tuple[str, ...]
    """Both names of a renamed file."""
    lines: int
    """Added and removed."""
    data: tuple[str, ...] = ()
    """Data classes that it touches."""
    irreversible: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """An environment, and whom it names itself."""

    name: str
    needs: tuple[tuple[str, ...], ...] = ()
    four_eyes: bool = False
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the base commit and the company say, read once a delivery."""

    rules: Rules = field(default_factory=Rules)
    owners: Owners | None = None
    places: tuple[Place, ...] = ()
    """The environments that this delivery goes to, in order."""


def risk_of(change: Change, rules: Rules) -> tuple[Risk, tuple[str, ...]]:
    """How much can go wrong, and why it is thought so. A path counts as the highest of what is said of it, but for what
    the project calls low."""
    reasons: dict[Risk, list[str]] = {"high": [], "medium": [], "low": []}
    reasons["high"] += [f"can't be taken back: {what}" for what in change.irreversible]
    reasons["high"] += [f"touches {what} data" for what in change.data if what in rules.high_data]
    known_low = 0
    for path in change.paths:
        if glob := _first(rules.high, path):
            reasons["high"].append(f"{path} ({glob})")
        elif glob := _first(rules.medium, path):
            reasons["medium"].append(f"{path} ({glob})")
        elif _first(rules.low, path):
            known_low += 1
        elif glob := _first(_HIGH, path):
            reasons["high"].append(f"{path} ({glob})")
        elif glob := _first(_MEDIUM, path):
            reasons["medium"].append(f"{path} ({glob})")
        elif _first(_LOW, path):
            known_low += 1
    if change.lines > MANY_LINES:
        reasons["medium"].append(f"{change.lines} lines")
    for risk in ("high", "medium"):
        if reasons[risk]:
            return risk, tuple(reasons[risk])
    if known_low == len(change.paths):
        return "low", ("only files of low risk",)
    if len(change.paths) == 1 and change.lines <= FEW_LINES:
        return "low", (f"one file, {change.lines} lines",)
    return "medium", (f"{len(change.paths)} files, {change.lines} lines",)


def touched(items: Iterable[str], rules: Rules) -> tuple[str, ...]:
    """The data classes that the rules speak of and a spec's `Data touched` names: as words, in any case of letters."""
    text = "\n".join(items).casefold()
    known = dict.fromkeys((*rules.high_data, *(name for rule in rules.gates for name in rule.data)))
    return tuple(name for name in known if re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", text))


def required(facts: Facts, change: Change | None, ruling: Ruling) -> Required:
    """All gates that must be approved before each stage, as `machine.next_step` takes them.

    Args:
        facts: all that is known.
        change: measured on the diff once there is a commit, before that what is expected; None: nothing is known, and it
            is taken for one of high risk.
        ruling: the rules of the base commit, tightened.
    """
    stages: tuple[StageName, ...] = ("plan", "implement", "verify", "review", "merge", "deploy")
    return {stage: gates_for(stage, facts, change, ruling) for stage in stages}


def gates_for(stage: StageName, facts: Facts, change: Change | None, ruling: Ruling) -> tuple[Gate, ...]:
    """The gates that must be approved before one stage. Those of the spec and the plan stand before every later stage up to
    the merge as well, so that no way round a stage is a way round its gate."""
    ask = _Asker(stage, facts, change, ruling)
    gates: list[Gate | None] = []
    if stage in ("plan", "implement", "verify", "review", "merge") and facts.spec is not None:
        gates.append(ask.gate("spec", f"spec v{facts.spec.version}", facts.spec.digest))
    if stage in ("implement", "verify", "review", "merge") and facts.plan is not None:
        gates.append(ask.gate("plan", f"plan v{facts.plan.version}", facts.plan.digest))
    if stage == "merge":
        commit = facts.delivery.commit
        review = ask.gate("review", "review of the change", commit)
        # Whoever reviewed this very commit let it in, too, unless a rule asks for somebody at the merge itself.
        merge = ask.gate("merge", f"merge into {facts.delivery.base_branch}", commit, by_default=review is None)
        gates += [review, merge, *ask.irreversible(commit)]
    if stage == "deploy" and (place := next_place(facts, ruling.places)):
        gates.append(ask.gate("deploy", f"deploy to {place.name}", facts.delivery.merged, place=place))
    return tuple(gate for gate in gates if gate is not None)


def next_place(facts: Facts, places: Sequence[Place]) -> Place | None:
    """The first environment without a committed release of the merged change; None: it is everywhere."""
    merged = facts.delivery.merged
    there = {each.environment for each in facts.releases if each.status == "committed" and each.commit == merged}
    return next((place for place in places if place.name not in there), None)


def is_production(environment: str) -> bool:
    """Whether users are likely to meet what is deployed there, by its name."""
    return _PRODUCTION.fullmatch(environment) is not None


def why_skip(stage: StageName, ruling: Ruling) -> str:
    """Why a stage adds nothing, whatever the change is; empty: it does."""
    return "no environment is named" if stage == "deploy" and not ruling.places else ""


class _Asker:
    """Puts one stage's gates together."""

    def __init__(self, stage: StageName, facts: Facts, change: Change | None, ruling: Ruling) -> None:
        self._stage, self._facts, self._change, self._ruling = stage, facts, change, ruling
        self._rules = ruling.rules
        unknown: tuple[Risk, tuple[str, ...]] = ("high", ("nothing is known of the change yet",))
        self._risk, self._reasons = unknown if change is None else risk_of(change, self._rules)

    def gate(
        self, kind: Kind, subject: str, digest: str, *, by_default: bool = True, place: Place | None = None
    ) -> Gate | None:
        """The gate of a kind; None: nobody needs to be asked."""
        where = place.name if place else ""
        matching = [rule for rule in self._rules.gates if rule.kind == kind and self._holds(rule, where)]
        needs = _joined([(rule.needs or (ANYBODY,),) * rule.count for rule in matching])
        four_eyes = any(rule.four_eyes for rule in matching)
        doubts: tuple[str, ...] = ()
        if place is not None:
            needs = _joined([needs, place.needs])
            four_eyes |= place.four_eyes
        owners = self._ruling.owners if self._rules.owners and kind == "review" else None
        if owners is not None:
            paths = self._change.paths if self._change else ()
            needs = _joined([needs, owners.groups(paths, self._rules.teams)])
            doubts = owners.doubts
        usual = {
            "spec": True,
            "merge": by_default,
            "deploy": place is not None and (place.gated or is_production(where)),
        }.get(kind, False)
        if not needs and not (usual and not self._waived(kind, where)):
            return None
        facts: dict[str, Any] = {"rules": [rule.rule_id for rule in matching]}
        if hours := min((rule.expires_h for rule in matching if rule.expires_h), default=0.0):
            facts[EXPIRES] = hours
        if doubts:
            facts["doubts"] = list(doubts)
        return self._made(kind, subject, digest, needs, four_eyes, facts)

    def irreversible(self, commit: str) -> list[Gate]:
        """One for each thing that can't be taken back; nothing waives these."""
        what = dict.fromkeys((*(self._facts.spec.irreversible if self._facts.spec else ()), *self._declared()))
        return [self._made("irreversible", text, commit, (), False, {}) for text in what]

    def _declared(self) -> tuple[str, ...]:
        return self._change.irreversible if self._change else ()

    def _made(
        self,
        kind: GateKind,
        subject: str,
        digest: str,
        needs: tuple[tuple[str, ...], ...],
        four_eyes: bool,
        facts: Mapping[str, Any],
    ) -> Gate:
        four_eyes = four_eyes or self._eyes()
        told = {"risk": self._risk, "reasons": list(self._reasons), **facts}
        if self._rules.expires_h:
            told.setdefault(EXPIRES, self._rules.expires_h)
        if self._rules.escalate:
            told[ESCALATE] = list(self._rules.escalate)
        needs, instead = _possible(needs, four_eyes, self._facts.delivery.requested_by, self._rules)
        if instead:
            told["instead"] = list(instead)
        return Gate("", kind, self._stage, subject, digest, needs, four_eyes, facts=told)

    def _eyes(self) -> bool:
        """Whether a change of this risk takes a second person at every gate."""
        least = self._rules.four_eyes
        return least != "never" and at_least(self._risk, least)

    def _holds(self, rule: GateRule, environment: str) -> bool:
        change = self._change
        if not at_least(self._risk, rule.risk):
            return False
        if rule.environments and not any(path_matches(name, environment) for name in rule.environments):
            return False
        if change is None:
            # Of a change that nobody knows yet, what a rule speaks of may be in it.
            return True
        return (
            (not rule.paths or any(_first(rule.paths, path) for path in change.paths))
            and (not rule.data or not set(rule.data).isdisjoint(change.data))
            and (not rule.over_lines or change.lines > rule.over_lines)
        )

    def _waived(self, kind: Kind, environment: str) -> bool:
        return not self._eyes() and any(
            waiver.kind == kind
            and RISKS.index(self._risk) <= RISKS.index(waiver.risk)
            and (not waiver.environments or any(path_matches(name, environment) for name in waiver.environments))
            for waiver in self._rules.waivers
        )


def _first(globs: Sequence[str], path: str) -> str:
    return next((glob for glob in globs if path_matches(glob, path)), "")


def _joined(parts: Sequence[Sequence[tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
    """All groups of all parts; one that several ask for, as often as the one that asks most. Whom anybody would do is
    nobody more where somebody is asked for."""
    most: Counter[tuple[str, ...]] = Counter()
    for part in parts:
        most |= Counter(tuple(dict.fromkeys(group)) for group in part)
    return tuple(most.elements())


def _possible(
    needs: tuple[tuple[str, ...], ...], four_eyes: bool, requester: str, rules: Rules
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Needs that can be met, and what was put in the place of groups that can't be: where too few people of a group are
    known beside the requester, those who stand in (`escalate`), else anybody. A team that no file describes is taken to
    have people enough."""
    most = Counter(needs)
    made: list[tuple[str, ...]] = []
    instead: list[str] = []
    for group, count in most.items():
        people = _people(group, rules)
        if people is not None and four_eyes:
            people.discard(requester)
        missing = max(0, count - len(people)) if people is not None else 0
        made += [group] * (count - missing)
        if missing:
            stand_in = rules.escalate
            if not stand_in or (four_eyes and _people(stand_in, rules) == {requester}):
                stand_in = (ANYBODY,)
            made += [stand_in] * missing
            instead.append(f"{missing} of {', '.join(group)}: {', '.join(stand_in)} instead")
    return tuple(made), tuple(instead)


def _people(group: Sequence[str], rules: Rules) -> set[str] | None:
    """All who are in a group; None: it has people that no file names."""
    people: set[str] = set()
    for name in group:
        if name == ANYBODY or (name.startswith("@") and name not in rules.teams):
            return None
        people.update(rules.teams[name] if name.startswith("@") else (name,))
    return people
