"""What happens to a finding: rules as data, and the decision they make of one finding on its way somewhere. Pure.

The owner's rules are a list in which the first that fits decides, as in a firewall, so that an exception stands above what it
is an exception from; a preset is the end of that list. A project's rules are asked beside it, and the stricter of the two
words counts: whatever a repository says, it can only tighten. A finding that no rule fits is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Literal, get_args

from mohist.guard.block import Source
from mohist.guard.errors import GuardRuleError
from mohist.guard.finding import Finding

Direction = Literal["out", "in"]
"""To a model, or from one."""

Action = Literal["allow", "note", "mask", "ask", "block"]
"""From free to strict. "allow" leaves no trace; "note" lets pass and records; "mask" puts a placeholder in its place; "ask" waits
for a person's word, and is "block" where nobody can be asked."""

Mode = Literal["off", "observe", "enforce"]
"""Nothing is looked at; everything is decided and recorded, and passes; what is decided is done."""

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
_STRICTNESS: Final = {action: place for place, action in enumerate(ACTIONS)}

MASKING: Final = 0.5
"""From this confidence on a finding is worth a placeholder: a mistake is undone on the way back."""
BLOCKING: Final = 0.9
"""From this confidence on a finding is worth a person's time."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What goes where, and for whom."""

    direction: Direction
    upstream: str = ""
    vendor: str = ""
    region: str = ""
    self_hosted: bool = False
    client: str = ""
    key_id: str = ""
    user: str = ""
    project: str = ""
    team: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; what it says nothing of fits everything. Words may be globs (`eu-*`), of which one must fit; case matters."""

    name: str
    action: Action
    direction: Direction | None = None
    classes: tuple[str, ...] = ()
    """Data classes with all below them: "secret" fits "secret.token"."""
    detectors: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    """Of detectors ("betterleaks.github-*")."""
    sources: tuple[Source, ...] = ()
    """Who wrote the text."""
    tools: tuple[str, ...] = ()
    """The tool that is called or that answered."""
    min_confidence: float = 0.0
    self_hosted: bool | None = None
    upstreams: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    alarm: bool = False
    """Somebody is to be told at once: counted and logged apart."""
    because: str = ""
    """Told to the person whose call is stopped."""

    def suits(self, flow: Flow) -> bool:
        """Whether it can fit anything on this way."""
        return (
            self.direction in (None, flow.direction)
            and self.self_hosted in (None, flow.self_hosted)
            and _fits(self.upstreams, flow.upstream)
            and _fits(self.vendors, flow.vendor)
            and _fits(self.regions, flow.region)
            and _fits(self.clients, flow.client)
            and _fits(self.keys, flow.key_id)
            and _fits(self.users, flow.user)
            and _fits(self.projects, flow.project)
            and _fits(self.teams, flow.team)
        )

    def fits(self, finding: Finding, source: Source, tool: str) -> bool:
        """Whether it fits a finding, on a way that it suits."""
        if finding.confidence < self.min_confidence or (self.sources and source not in self.sources):
            return False
        if self.classes and not any(_below(finding.data_class, wide) for wide in self.classes):
            return False
        return _fits(self.detectors, finding.detector) and _fits(self.rules, finding.rule) and _fits(self.tools, tool)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to happen to one finding."""

    action: Action
    rule: str
    """The name of the rule that says so."""
    alarm: bool = False
    because: str = ""


UNRULED: Final = Decision("note", "unruled")


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules.

    Args:
        rules: the owner's, the first that fits decides.
        tightening: a project's, likewise; heard where they are stricter than the owner's.

    Raises:
        GuardRuleError: two rules of one list have one name, or a rule has a confidence outside 0 to 1.
    """

    rules: tuple[Rule, ...]
    tightening: tuple[Rule, ...] = ()
    _suited: dict[Flow, Ways] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for rules in (self.rules, self.tightening):
            names = [rule.name for rule in rules]
            for rule in rules:
                if not rule.name or names.count(rule.name) > 1:
                    raise GuardRuleError(
                        f"There are two rules of the guard named {rule.name!r}.", "Give each one a name of its own."
                    )
                if not 0 <= rule.min_confidence <= 1:
                    raise GuardRuleError(
                        f"The guard's rule {rule.name!r} has min_confidence {rule.min_confidence}.", "0 to 1."
                    )

    def ways(self, flow: Flow) -> Ways:
        """The rules that count on one way; what was asked before is kept for a while."""
        ways = self._suited.get(flow)
        if ways is None:
            if len(self._suited) >= _KEPT_WAYS:
                self._suited.clear()
            suit = [tuple(rule for rule in rules if rule.suits(flow)) for rules in (self.rules, self.tightening)]
            ways = self._suited[flow] = Ways(*suit)
        return ways


_KEPT_WAYS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Ways:
    """The rules of one way."""

    rules: tuple[Rule, ...]
    tightening: tuple[Rule, ...]

    def decide(self, finding: Finding, source: Source, tool: str = "") -> Decision:
        """What is to happen to a finding.

        Args:
            finding: what was found.
            source: who wrote the text it stands in.
            tool: the tool that is called or that answered; empty: none.
        """
        own = _first(self.rules, finding, source, tool) or UNRULED
        other = _first(self.tightening, finding, source, tool)
        return own if other is None or not stricter(other.action, own.action) else other


def stricter(action: Action, than: Action) -> bool:
    """Whether one action is stricter than another."""
    return _STRICTNESS[action] > _STRICTNESS[than]


def _first(rules: Sequence[Rule], finding: Finding, source: Source, tool: str) -> Decision | None:
    for rule in rules:
        if rule.fits(finding, source, tool):
            return Decision(rule.action, rule.name, rule.alarm, rule.because)
    return None


def _below(data_class: str, wide: str) -> bool:
    return data_class.startswith(wide) and data_class[len(wide) : len(wide) + 1] in ("", ".")


def _fits(globs: tuple[str, ...], value: str) -> bool:
    return not globs or any(fnmatchcase(value, glob) for glob in globs)
