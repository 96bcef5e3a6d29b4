"""The rules' language: Cedar, by its own engine (https://www.cedarpolicy.com), behind a narrow door.

A rule is one Cedar policy, checked against a schema when it is loaded, so that a misspelt attribute or a number
compared with a text is found then. The engine is told only the facts that some rule reads; if the reading of that
were wrong, the engine would miss a fact and the call would be refused, never wrongly allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from mohist.policy.fact import ATTRIBUTES, Facts, client_parts, version_number

if TYPE_CHECKING:
    import cedarpy

SCHEMA: Final = """
entity Team;
entity Project;
entity User in [Team, Project] = { key: String };
entity Upstream = { vendor: String, region: String, data_class: String, self_hosted: Bool, model: String };
action call appliesTo {
  principal: User,
  resource: Upstream,
  context: {
    client: { name: String, version: Long },
    dialect: String,
    model: String,
    tools: Set<String>,
    vendor_tools: Set<String>,
    stream: Bool,
    prompt_tokens: Long,
    session: String,
    at: datetime,
    hour: Long,
    minute: Long,
    weekday: String,
  },
};
"""
DEFAULT_ID: Final = "default"
MINUTE_MS: Final = 60_000
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_VERSION: Final = re.compile(r"\bversion\(\s*\"([^\"]*)\"\s*\)")
# The engine's parser recurses without looking at its stack, and a crash would take the server along (cedarpy 4.12.2
# dies of 50 nested parentheses on a stack of 512 KiB). So what can nest or chain is counted before it is asked.
MAX_DEPTH: Final = 16
MAX_OPERATORS: Final = 300
_TOKEN: Final = re.compile(
    r"""(?P<skip>"(?:[^"\\]|\\.)*"|//[^\n]*)|(?P<open>[(\[{])|(?P<close>[)\]}])"""
    r"""|(?P<operator>&&|\|\||[=!<>]=?|[-+*.?]|\b(?:if|in|is|has|like|when|unless)\b)""",
    re.DOTALL,
)
_PERMIT_ALL: Final = "permit(principal, action, resource);"
# What the gateway puts in lower case before it is compared; so a text in a rule must be too.
_LOWERED: Final = frozenset({"client", "dialect", "model", "tools", "vendor_tools"})
# 9998-12-31: a day later, a zone east of Greenwich would leave the years that Python knows.
_MAX_AT_MS: Final = 253_370_764_800_000


class CedarError(Exception):
    """A policy can't be used; the text says why. Stays inside this package."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One checked Cedar policy."""

    effect: Literal["permit", "forbid"]
    text: str
    """Plain Cedar, for other tools too."""
    form: Mapping[str, Any]
    """Cedar's JSON form."""
    uses: frozenset[str]
    """Names of `Facts` that it reads."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the engine says."""

    allowed: bool
    ids: frozenset[str]
    """The policies that decided; empty when none spoke of the call."""
    errors: tuple[str, ...] = ()


def parse_policy(text: str) -> Policy:
    """One policy from its text, checked against the schema.

    Raises:
        CedarError: it is not one valid policy.
    """
    import cedarpy

    plain = _VERSION.sub(_version_literal, text).strip()
    _measure(plain)
    try:
        forms = json.loads(cedarpy.policies_to_json_str(plain))
        cedarpy.PolicySet.from_json_str(json.dumps(forms))
    except RecursionError as error:
        raise CedarError("is nested too deeply; split it") from error
    except ValueError as error:
        said = _first_line(error)
        if "serializ" in said:  # the way through JSON ends at 128 levels, and a chain of operators nests
            raise CedarError("chains too many conditions; split it, or write a set") from error
        raise CedarError(f"is not Cedar: {said}") from error
    found = list(forms["staticPolicies"].values())
    if forms.get("templates") or len(found) != 1:
        raise CedarError("does not hold exactly one policy without slots")
    checked = cedarpy.validate_policies(plain, cedarpy.Schema.from_str(SCHEMA))
    if not checked.validation_passed:
        said = "; ".join(error.error.removeprefix("for policy `policy0`, ") for error in checked.errors)
        raise CedarError(f"does not fit the facts of a call: {said}")
    form = found[0]
    loud = sorted(set(_loud(form)))
    if loud:
        raise CedarError(f"compares with {loud[0]!r}, but clients, dialects, models and tools come in lower case")
    return Policy(form["effect"], plain, form, frozenset(_uses(form)))


class Engine:
    """A compiled set of policies.

    Args:
        policies: by id; an id is what `Outcome.ids` holds.
        permit_all: what no policy speaks of is allowed, by the id `default`.
        zone: in which hours and weekdays are told.
    """

    def __init__(self, policies: Mapping[str, Policy], *, permit_all: bool, zone: ZoneInfo) -> None:
        import cedarpy

        forms: dict[str, Any] = {id_: policy.form for id_, policy in policies.items()}
        if permit_all:
            forms[DEFAULT_ID] = json.loads(cedarpy.policies_to_json_str(_PERMIT_ALL))["staticPolicies"]["policy0"]
        document = {"staticPolicies": forms, "templates": {}, "templateLinks": []}
        self._set: cedarpy.PolicySet = cedarpy.PolicySet.from_json_str(json.dumps(document))
        self._decide = cedarpy.is_authorized
        self._zone = zone
        self.uses: frozenset[str] = frozenset().union(*(policy.uses for policy in policies.values()))

    def decide(self, facts: Facts) -> Outcome:
        """The engine's answer; never raises for what a call can hold."""
        try:
            request, entities = self._request(facts)
            answer = self._decide(request, self._set, entities)
            errors = tuple(answer.diagnostics.errors)
            allowed = answer.allowed and not errors
            return Outcome(allowed, frozenset(answer.diagnostics.reasons), errors or _silent(answer))
        except Exception as error:  # noqa: BLE001 - the boundary to foreign code: what can't be decided is refused
            return Outcome(False, frozenset(), (type(error).__name__,))

    def _request(self, facts: Facts) -> tuple[dict[str, Any], str]:
        """The call in Cedar's terms, with the facts that some policy reads."""
        uses = self.uses
        principal = {"type": "User", "id": facts.user if "user" in uses else ""}
        resource = {"type": "Upstream", "id": facts.upstream if "upstream" in uses else ""}
        parents = []
        if "user" in uses:
            if facts.team:
                parents.append({"type": "Team", "id": facts.team})
            if facts.project:
                parents.append({"type": "Project", "id": facts.project})
        where = {
            "vendor": ("vendor", facts.vendor),
            "region": ("region", facts.region),
            "data_class": ("data_class", facts.data_class),
            "self_hosted": ("self_hosted", facts.self_hosted),
            "served_model": ("model", facts.served_model.lower()),
        }
        entities = [
            {"uid": principal, "attrs": {"key": facts.key_id} if "key_id" in uses else {}, "parents": parents},
            {
                "uid": resource,
                "attrs": {name: value for fact, (name, value) in where.items() if fact in uses},
                "parents": [],
            },
        ]
        request = {
            "principal": principal,
            "action": {"type": "Action", "id": "call"},
            "resource": resource,
            "context": json.dumps(self._context(facts)),
        }
        return request, json.dumps(entities)

    def _context(self, facts: Facts) -> dict[str, Any]:
        uses = self.uses
        context: dict[str, Any] = {}
        if "client" in uses:
            name, version = client_parts(facts.client)
            context["client"] = {"name": name, "version": version}
        for lowered in ("dialect", "model"):
            if lowered in uses:
                context[lowered] = getattr(facts, lowered).lower()
        for tools in ("tools", "vendor_tools"):
            if tools in uses:
                context[tools] = sorted({tool.lower() for tool in getattr(facts, tools)})
        for plain in ("stream", "prompt_tokens", "session"):
            if plain in uses:
                context[plain] = getattr(facts, plain)
        if "at_ms" in uses:
            at_ms = min(max(0, facts.at_ms), _MAX_AT_MS) // MINUTE_MS * MINUTE_MS
            at = datetime.fromtimestamp(at_ms / 1000, UTC)
            there = at.astimezone(self._zone)
            context["at"] = {"__extn": {"fn": "datetime", "arg": at.strftime("%Y-%m-%dT%H:%M:%SZ")}}
            context["hour"], context["minute"] = there.hour, there.minute
            context["weekday"] = WEEKDAYS[there.weekday()]
        return context


def _silent(answer: cedarpy.AuthzResult) -> tuple[str, ...]:
    """A third kind of answer, in which nothing was decided."""
    return ("no decision",) if answer.decision.name == "NoDecision" else ()


def _version_literal(found: re.Match[str]) -> str:
    number = version_number(found[1])
    if not number:
        raise CedarError(f"names the version {found[1]!r}, which can't be read")
    return str(number)


def _measure(plain: str) -> None:
    """Refuses what the engine's parser may not survive.

    What stands in a text or a comment does not count; a quote without an end is passed over, so that what follows it does.
    """
    depth = operators = 0
    for found in _TOKEN.finditer(plain):
        kind = found.lastgroup
        depth += (kind == "open") - (kind == "close")
        operators += kind == "operator"
        if depth > MAX_DEPTH or operators > MAX_OPERATORS:
            raise CedarError("nests or chains too many conditions; split it, or write a set")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def _uses(form: Mapping[str, Any]) -> Iterator[str]:
    """The facts that a policy reads. What is not understood counts as reading all there is of that variable."""
    for variable in ("principal", "resource"):
        if form[variable]["op"] != "All":
            yield from ATTRIBUTES[variable, ""]
    for variable, name in _reads(form["conditions"]):
        for (owner, attribute), facts in ATTRIBUTES.items():
            if owner == variable and name in (None, attribute):
                yield from facts


def _reads(node: object) -> Iterator[tuple[str, str | None]]:
    """Variable and attribute of every access in an expression; None: the variable itself."""
    if isinstance(node, list):
        for item in node:
            yield from _reads(item)
        return
    if not isinstance(node, dict):
        return
    if "Var" in node:
        yield node["Var"], None
        return
    if isinstance(literal := node.get("__entity"), dict):
        # `User::"ann" in Team::"core"` rests on who calls, without naming the caller.
        if owner := {"User": "principal", "Upstream": "resource"}.get(literal.get("type", "")):
            yield owner, None
        return
    access = node.get(".") or node.get("has")
    if isinstance(access, dict) and isinstance(access.get("left"), dict) and "Var" in access["left"]:
        yield access["left"]["Var"], access.get("attr")
        return
    for item in node.values():
        yield from _reads(item)


def _loud(node: object) -> Iterator[str]:
    """Texts with capitals that are compared with what always comes in lower case, and so would never be met."""
    if isinstance(node, list):
        for item in node:
            yield from _loud(item)
    elif isinstance(node, dict):
        for sign, sides in node.items():
            if sign in _COMPARISONS and isinstance(sides, dict) and _is_lowered(sides):
                yield from (text for text in _texts(sides) if text != text.lower())
            else:
                yield from _loud(sides)


_COMPARISONS: Final = frozenset({"==", "!=", "like", "contains", "containsAll", "containsAny"})


def _is_lowered(sides: Mapping[str, Any]) -> bool:
    read = set(_reads(list(sides.values())))
    return any(
        (variable == "context" and name in _LOWERED) or (variable == "resource" and name == "model")
        for variable, name in read
    )


def _texts(node: object) -> Iterable[str]:
    if isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        for key, item in node.items():
            if key == "pattern":
                yield "".join("*" if part == "Wildcard" else part["Literal"] for part in item)
            elif key == "Value" and isinstance(item, str):
                yield item
            elif key not in ("attr", "Var"):
                yield from _texts(item)
