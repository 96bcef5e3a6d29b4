"""A gateway's rule file: TOML in, a rulebook out whose examples hold.

A file is refused as a whole when anything in it is not understood, or when an example does not come out as the file
says. So a wrong rule fails when it is loaded, not in the field.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from mohist.policy.cedar import CedarError, parse_policy
from mohist.policy.errors import RuleError
from mohist.policy.fact import Facts
from mohist.policy.rulebook import RESERVED_IDS, Example, GatewayRule, Rulebook

_FILE_KEYS: Final = ("default", "timezone", "rule")
_RULE_KEYS: Final = ("id", "cedar", "reason", "examples")
_CALL_KEYS: Final[Mapping[str, tuple[str, type]]] = {
    "user": ("user", str),
    "team": ("team", str),
    "project": ("project", str),
    "key": ("key_id", str),
    "client": ("client", str),
    "dialect": ("dialect", str),
    "model": ("model", str),
    "tools": ("tools", list),
    "vendor_tools": ("vendor_tools", list),
    "stream": ("stream", bool),
    "prompt_tokens": ("prompt_tokens", int),
    "session": ("session", str),
    "at": ("at_ms", datetime),
    "upstream": ("upstream", dict),
}
_UPSTREAM_KEYS: Final[Mapping[str, tuple[str, type]]] = {
    "name": ("upstream", str),
    "vendor": ("vendor", str),
    "region": ("region", str),
    "data_class": ("data_class", str),
    "self_hosted": ("self_hosted", bool),
    "model": ("served_model", str),
}
_WANTED: Final[Mapping[type, str]] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number, 0 or more",
    list: "a list of texts",
    dict: "a table",
    datetime: "a time with its offset, such as 2026-11-22T10:00Z",
}
NOON_MS: Final = 1_767_614_400_000
"""2026-01-05T12:00Z, a Monday: the time of a described call that names none."""
_ID: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,79}")


def load_rulebook(text: str, origin: str) -> Rulebook:
    """The rulebook of one file, all of whose examples hold.

    Args:
        text: TOML.
        origin: the file's name, for errors.

    Raises:
        RuleError: naming the rule and, where one fails, the example and what was expected.
    """
    book = read_rulebook(text, origin)
    for trial in book.trials():
        if trial.fault:
            what = f"{origin}: rule {trial.rule_id!r}, example {trial.number} ({trial.example.text}) {trial.fault}."
            raise RuleError(what, "Correct the rule or the example; `mohist policy test` shows all of them.")
    return book


def read_rulebook(text: str, origin: str) -> Rulebook:
    """The same without trying the examples.

    Raises:
        RuleError: naming the rule.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RuleError(f"{origin}: not valid TOML: {error}.", "Correct the file.") from error
    _known(data, _FILE_KEYS, origin, "the file")
    default = data.get("default")
    if default not in ("allow", "deny"):
        what = f"{origin}: the file does not say what becomes of a call that no rule speaks of."
        raise RuleError(what, 'Write default = "allow" or default = "deny" at its top.')
    tables = data.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RuleError(f"{origin}: `rule` is not a list of tables.", "Write each rule under its own [[rule]].")
    rules: dict[str, GatewayRule] = {}
    for number, table in enumerate(tables, 1):
        rule = _Table(origin, number, table).rule(default)
        if rule.id in rules:
            raise RuleError(f"{origin}: two rules have the id {rule.id!r}.", "Give each its own id.")
        rules[rule.id] = rule
    zone = _zone(data.get("timezone", "UTC"), origin)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Rulebook(tuple(rules.values()), default, zone, origin, digest)


def describe_call(table: Mapping[str, Any], where: str) -> Facts:
    """The facts of a call that a person wrote down, with the keys of a rule's examples.

    Args:
        table: what is left out is unknown or empty; the time is a Monday noon, UTC.
        where: what is read, for errors.

    Raises:
        RuleError: an unknown key or a value of the wrong type.
    """
    facts = {"at_ms": NOON_MS} | _values(table, _CALL_KEYS, where)
    upstream = facts.pop("upstream", {})
    return Facts(**facts, **_values(upstream, _UPSTREAM_KEYS, f"{where}, upstream"))


def _values(table: Mapping[str, Any], keys: Mapping[str, tuple[str, type]], where: str) -> dict[str, Any]:
    _known(table, keys, where, "it")
    found = {}
    for key, value in table.items():
        name, wanted = keys[key]
        taken = _taken(value, wanted)
        if taken is None:
            raise RuleError(f"{where}: {key} = {value!r}.", f"It must be {_WANTED[wanted]}.")
        found[name] = taken
    return found


def _taken(value: object, wanted: type) -> Any:
    """The value as `Facts` has it; None when it is of another type."""
    if wanted is datetime:
        return _at_ms(value)
    if wanted is int:
        return value if type(value) is int and 0 <= value < 2**63 else None
    if wanted is list:
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return tuple(value) if fits and isinstance(value, list) else None
    return value if isinstance(value, wanted) else None


def _at_ms(value: object) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    return max(0, int(value.astimezone(UTC).timestamp() * 1000))


def _zone(name: object, origin: str) -> ZoneInfo:
    try:
        if isinstance(name, str):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    what = f"{origin}: timezone = {name!r} is no time zone that this machine knows."
    raise RuleError(what, 'Write a name such as "Europe/Berlin"; a bare machine needs the package tzdata.')


def _known(table: Mapping[str, Any], keys: Iterable[str], where: str, what: str) -> None:
    known = list(keys)
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            mend = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
            raise RuleError(f"{where}: {what} has the unknown key {key!r}.", mend)


@dataclass(frozen=True, slots=True)
class _Table:
    """One `[[rule]]`, on its way to a rule."""

    origin: str
    number: int
    table: Mapping[str, Any]

    @property
    def where(self) -> str:
        name = self.table.get("id")
        return f"{self.origin}: rule {name!r}" if isinstance(name, str) else f"{self.origin}: rule number {self.number}"

    def rule(self, default: str) -> GatewayRule:
        _known(self.table, _RULE_KEYS, self.where, "it")
        id_, cedar, reason = self.text("id"), self.text("cedar"), self.text("reason")
        if not _ID.fullmatch(id_) or id_ in RESERVED_IDS:
            mend = "Use small letters, digits, dots and dashes; `default` and `error` are taken."
            raise RuleError(f"{self.where} has no usable id.", mend)
        try:
            policy = parse_policy(cedar)
        except CedarError as error:
            raise RuleError(f"{self.where} {error}.", "See docs/gateway-policy.md for what a rule can name.") from error
        if policy.effect == "permit" and default == "allow":
            what = f"{self.where} permits something where everything is allowed by default."
            raise RuleError(what, 'Say default = "deny" at the top of the file, or turn it into a forbid.')
        rule = GatewayRule(id_, reason, policy, self.examples())
        for stance in ("deny", "allow"):
            if not any(example.expect == stance for example in rule.examples):
                mend = "Every rule shows one call on which it bites and one on which it does not."
                raise RuleError(f"{self.where} has no example with expect = {stance!r}.", mend)
        return rule

    def text(self, key: str) -> str:
        value = self.table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise RuleError(f"{self.where} has no `{key}`.", f'Write {key} = "…".')
        return value.strip()

    def examples(self) -> tuple[Example, ...]:
        listed = self.table.get("examples", [])
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise RuleError(f"{self.where} has examples that are no tables.", 'Write examples = [{expect="deny", …}].')
        examples = []
        for number, item in enumerate(listed, 1):
            where = f"{self.where}, example {number}"
            expect = item.get("expect")
            if expect not in ("allow", "deny"):
                raise RuleError(f"{where}: expect = {expect!r}.", 'Write expect = "allow" or expect = "deny".')
            call = {key: value for key, value in item.items() if key != "expect"}
            shown = ", ".join(f"{key}={_shown(value)}" for key, value in call.items())
            examples.append(Example(expect, describe_call(call, where), shown or "any call"))
        return tuple(examples)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return value.isoformat() if isinstance(value, datetime) else str(value)
