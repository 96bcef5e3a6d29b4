"""Rule files: TOML in, checked rules out.

A file is refused as a whole when anything in it is not understood, and when an example that it carries does
not come out as the file says: a wrong rule fails when it is loaded, not in the field.
"""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

from mohist.policy.access import Effect
from mohist.policy.errors import RuleError
from mohist.policy.pattern import CommandPattern, Word
from mohist.policy.question import MODES
from mohist.policy.rule import Decision, Layer, Rule, RuleSet
from mohist.policy.subject import Kind, Subject

_SELECTORS: Final[dict[str, Kind]] = {
    "command": "command",
    "write": "write",
    "read": "read",
    "host": "host",
    "assign": "assign",
    "effect": "call",
}
_LISTS: Final = frozenset({*_SELECTORS, "tool", "with", "without", "modes", "match", "no_match"})
_FLAGS: Final = frozenset({"unconfined", "once", "hard", "any"})
_TEXTS: Final = frozenset({"id", "decision", "reason"})
_KEYS: Final = _LISTS | _FLAGS | _TEXTS

_FILES: Final = ("hard.toml", "mode.toml", "read.toml", "develop.toml", "risk.toml")


@cache
def builtin_rules() -> RuleSet:
    """The rules that come with Mohist; read from the package once."""
    folder = Path(__file__).parent / "data"
    rules: list[Rule] = []
    for name in _FILES:
        rules += parse_rules((folder / name).read_text("utf-8"), layer="builtin", origin=name)
    return RuleSet(tuple(rules))


def parse_rules(text: str, *, layer: Layer, origin: str) -> tuple[Rule, ...]:
    """The rules of one file.

    Args:
        text: TOML with an array of tables `rule`.
        layer: whose file it is; a project's may hold `ask` and `deny` only.
        origin: the file's name, for errors.

    Raises:
        RuleError: naming the rule and, where one fails, the example.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(
            f"{origin}: not valid TOML: {error}.", "Correct the file; no rule of it is in force."
        ) from error
    tables = data.pop("rule", [])
    if data:
        raise _unknown(origin, "the file", next(iter(data)), {"rule"})
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RuleError(f"{origin}: `rule` is not a list of tables.", "Write each rule under its own [[rule]].")
    rules = []
    seen: set[str] = set()
    for position, table in enumerate(tables, 1):
        rule = _Reader(origin, position, table, layer).rule()
        if rule.id in seen:
            raise RuleError(f"{origin}: two rules have the id {rule.id!r}.", "Give each its own id.")
        seen.add(rule.id)
        rules.append(rule)
    return tuple(rules)


def _unknown(origin: str, where: str, key: str, known: set[str] | frozenset[str]) -> RuleError:
    near = difflib.get_close_matches(key, sorted(known), n=1)
    mend = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}."
    return RuleError(f"{origin}: {where} has the unknown key {key!r}.", mend)


class _Reader:
    """One table, on its way to a rule."""

    def __init__(self, origin: str, position: int, table: dict[str, Any], layer: Layer) -> None:
        self.origin, self.table, self.layer = origin, table, layer
        name = table.get("id")
        self.where = f"rule {name!r}" if isinstance(name, str) else f"rule number {position}"

    def wrong(self, what: str, mend: str) -> RuleError:
        return RuleError(f"{self.origin}: {self.where} {what}.", mend)

    def rule(self) -> Rule:
        for key in self.table:
            if key not in _KEYS:
                raise _unknown(self.origin, self.where, key, _KEYS)
        about = self.about()
        decision = self.choice("decision", get_args(Decision))
        rule = Rule(
            id=self.text("id", r"[a-z0-9][a-z0-9.-]*"),
            decision=decision,
            reason=self.text("reason", r".*\S.*"),
            layer=self.layer,
            about=about,
            tool=self.texts("tool"),
            command=self.patterns(),
            with_words=self.words("with"),
            without=self.words("without"),
            globs=self.globs(about),
            modes=self.modes(decision),
            unconfined=self.flag("unconfined", default=decision != "allow"),
            once=self.flag("once"),
            hard=self.flag("hard"),
        )
        self.check_layer(rule)
        self.check_examples(rule)
        return rule

    def about(self) -> Kind:
        named = [key for key in _SELECTORS if key in self.table]
        if self.flag("any"):
            if named or self.layer != "builtin":
                raise self.wrong("uses `any`", "Name what it is about: command, write, read, host, assign or effect.")
            return "any"  # type: ignore[return-value]
        if len(named) != 1:
            found = " and ".join(named) or "nothing"
            raise self.wrong(f"is about {found}", f"Give it exactly one of {', '.join(_SELECTORS)}.")
        return _SELECTORS[named[0]]

    def text(self, key: str, form: str) -> str:
        value = self.table.get(key)
        if not isinstance(value, str) or not re.fullmatch(form, value):
            raise self.wrong(f"has no usable `{key}`", f"Set {key} to text of the form {form}.")
        return value

    def choice(self, key: str, known: tuple[Any, ...]) -> Any:
        value = self.table.get(key)
        if value not in known:
            raise self.wrong(f"has the {key} {value!r}", f"Choose one of {', '.join(known)}.")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(f"has {key} = {value!r}", "Write true or false.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.wrong(f"has a `{key}` that is not a list of texts", f'Write {key} = ["…"].')
        if key in self.table and not value:
            raise self.wrong(f"has an empty `{key}`", "Leave the key out or name something.")
        return tuple(value)

    def patterns(self) -> tuple[CommandPattern, ...]:
        try:
            return tuple(CommandPattern.parse(text) for text in self.texts("command"))
        except (ValueError, re.error) as error:
            raise self.wrong(f"has a broken command pattern: {error}", "See docs/policy.md for the form.") from error

    def words(self, key: str) -> tuple[Word, ...]:
        if key in self.table and "command" not in self.table:
            raise self.wrong(f"has `{key}` without `command`", f"Only rules about commands take {key}.")
        try:
            return tuple(Word(text) for text in self.texts(key))
        except re.error as error:
            raise self.wrong(f"has a broken pattern in `{key}`: {error}", "See docs/policy.md for the form.") from error

    def globs(self, about: str) -> tuple[str, ...]:
        key = next((key for key, kind in _SELECTORS.items() if kind == about), "")
        if about in ("command", "any"):
            return ()
        values = self.texts(key)
        if about == "call" and (odd := [value for value in values if value not in get_args(Effect)]):
            raise self.wrong(f"has the effect {odd[0]!r}", f"Choose from {', '.join(get_args(Effect))}.")
        return values

    def modes(self, decision: str) -> frozenset[Any]:
        if "modes" not in self.table:
            # To loosen plan mode, a rule must name it.
            return frozenset(mode for mode in MODES if decision != "allow" or mode != "plan")
        values = self.texts("modes")
        if odd := [value for value in values if value not in MODES]:
            raise self.wrong(f"has the mode {odd[0]!r}", f"Choose from {', '.join(MODES)}.")
        return frozenset(values)

    def check_layer(self, rule: Rule) -> None:
        if rule.layer == "project" and rule.decision == "allow":
            raise self.wrong("allows something", "A project's rules may only ask or deny; allow it in your own rules.")
        if rule.hard and (rule.layer != "builtin" or rule.decision != "deny"):
            raise self.wrong("is marked hard", "A `deny` already beats every other rule.")
        if rule.decision == "allow" and "plan" in rule.modes and rule.about == "write":
            raise self.wrong("allows plan mode to change something", "Leave plan out of its modes.")

    def check_examples(self, rule: Rule) -> None:
        match, no_match = self.texts("match"), self.texts("no_match")
        if rule.about == "any":
            return
        if not match:
            raise self.wrong("carries no example", 'Add match = ["…"] with something that it is meant to match.')
        for example, wanted in [(text, True) for text in match] + [(text, False) for text in no_match]:
            if rule.matches(self.subject(rule, example)) is not wanted:
                what = "does not match" if wanted else "matches"
                listed = "match" if wanted else "no_match"
                raise self.wrong(
                    f"{what} its example {example!r}, listed under {listed}", "Correct the rule or the example."
                )

    def subject(self, rule: Rule, example: str) -> Subject:
        tool = rule.tool[0] if rule.tool else "shell"
        match rule.about:
            case "command":
                try:
                    # shlex costs twenty times what split does, and most examples hold no quotes.
                    argv = example.split() if not set(example) & set("'\"\\") else shlex.split(example)
                except ValueError as error:
                    raise self.wrong(f"has the broken example {example!r}", f"It is one command: {error}.") from error
                return Subject("command", tool, example, argv=tuple(argv))
            case "write" | "read":
                place = example[1:] if example.startswith("@") else "outside" if example.startswith("/") else "inside"
                return Subject(rule.about, tool, example, path=example, place=place)  # type: ignore[arg-type]
            case "call":
                name, _, effect = example.partition(" ")
                return Subject("call", name, example, effect=effect or "none")  # type: ignore[arg-type]
            case _:
                return Subject(rule.about, tool, example, name=example)  # type: ignore[arg-type]
