"""One rule, and a set of them in layers. A rule speaks of one kind of subject and matches it or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mohist.policy.pattern import UNKNOWN, CommandPattern, Word, is_open, path_matches, star_matches
from mohist.policy.question import MODES, Mode
from mohist.policy.subject import Kind, Subject

Decision = Literal["allow", "ask", "deny"]
Layer = Literal["builtin", "user", "project", "managed"]

STRICTNESS: dict[Decision, int] = {"allow": 0, "ask": 1, "deny": 2}


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of a rule file, checked."""

    id: str
    decision: Decision
    reason: str
    layer: Layer
    about: Kind | Literal["any"]
    """Which kind of subject it speaks of; `any` speaks of all, also of what can't be analysed."""
    tool: tuple[str, ...] = ()
    """Globs of tool names; empty: every tool."""
    command: tuple[CommandPattern, ...] = ()
    with_words: tuple[Word, ...] = ()
    """At least one argument after the program's name must be one of these."""
    without: tuple[Word, ...] = ()
    """No argument may be one of these."""
    globs: tuple[str, ...] = ()
    """Paths, hosts, variable names or effects, by what the rule is about."""
    modes: frozenset[Mode] = frozenset(MODES)
    unconfined: bool = True
    """It also holds where no sandbox is in force."""
    once: bool = False
    """An approval under it covers that one call."""
    hard: bool = False
    """Part of what no mode and no other file lifts."""

    def holds(self, subject: Subject, mode: Mode, *, confined: bool) -> bool:
        """True when the rule is in force under these facts."""
        return mode in self.modes and (self.unconfined or confined or not subject.in_shell)

    def matches(self, subject: Subject) -> bool:
        """True when the rule speaks of `subject`. A doubt counts against the subject: it escapes an allow, not an ask."""
        if self.tool and not any(star_matches(glob, subject.tool) for glob in self.tool):
            return False
        if self.about == "any":
            return True
        if self.about != subject.kind:
            return False
        match subject.kind:
            case "command":
                return self._matches_command(subject.argv)
            case "write" | "read":
                return any(self._matches_path(glob, subject) for glob in self.globs)
            case "host":
                return any(self._matches_host(glob, subject.name) for glob in self.globs)
            case "assign":
                return any(star_matches(glob, subject.name) for glob in self.globs)
            case _:
                return not self.globs or subject.effect in self.globs

    def _matches_command(self, argv: tuple[str, ...]) -> bool:
        if not any(pattern.matches(argv) for pattern in self.command):
            return False
        rest, lenient = argv[1:], self.decision == "allow"
        doubtful = any(is_open(argument) for argument in rest) or (
            any(UNKNOWN in argument for argument in rest) and any(word.floating for word in self.without)
        )
        if self.without and ((doubtful and lenient) or any(word.matches(arg) for word in self.without for arg in rest)):
            return False
        if not self.with_words or (doubtful and not lenient):
            return True
        return any(word.matches(argument) for word in self.with_words for argument in rest)

    def _matches_path(self, glob: str, subject: Subject) -> bool:
        if glob.startswith("@"):
            return subject.place == glob[1:]
        if not subject.path:
            return False
        return path_matches(glob, subject.path, widely=self.decision != "allow")

    def _matches_host(self, glob: str, name: str) -> bool:
        if name == "*":
            return self.decision != "allow" or glob in ("*", "@any")
        return glob != "@any" and star_matches(glob.lower(), name.rstrip(".").lower())


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules of all layers. Adding a project's rules can only make a verdict stricter."""

    rules: tuple[Rule, ...] = ()
    _by_kind: dict[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for kind in ("call", "command", "write", "read", "host", "assign", "opaque"):
            self._by_kind[kind] = tuple(rule for rule in self.rules if rule.about in (kind, "any"))

    def about(self, subject: Subject) -> tuple[Rule, ...]:
        """The rules that could speak of `subject`."""
        return self._by_kind[subject.kind]

    def plus(self, rules: tuple[Rule, ...]) -> RuleSet:
        """This set with `rules` added; where ids repeat, both stay and the stricter wins."""
        return RuleSet(self.rules + rules)
