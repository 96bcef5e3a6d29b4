#!/usr/bin/env python3
"""Write src/mohist/guard/data/catalogue.json from the rules that the kingfisher-secret-scanner wheel carries.

    python scripts/guard_catalogue.py

Reads the wheel's catalogue (rules of Betterleaks and Veles) through its `Rules`, offline; nothing else of it is used, and what
it knows of how to verify a secret at its provider is left behind. Each rule keeps its source and licence. A filter whose form
this script does not know is an error, never a rule without its filter.
"""

from __future__ import annotations

import json
import re
import re._constants as sre
import re._parser as parser
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "src/mohist/guard/data/catalogue.json"
WHEEL = "kingfisher-secret-scanner"
SOURCES = {
    "betterleaks": {"licence": "MIT", "url": "https://github.com/betterleaks/betterleaks"},
    "veles": {"licence": "Apache-2.0", "url": "https://github.com/google/osv-scalibr"},
}
WIDTH_MAX = 8192
"""Bytes for a match without an end of its own: a private key of 4096 bits in PEM takes 3,300."""
RE2_REPEAT_MAX = 1000
LITERAL_MIN = 3

# Rules whose words say too little (`key = …`): they count only beside what they belong to, as upstream has it.
PAIRED = {
    "alibaba-secret-key": ("alibaba-access-key-id",),
    "alibaba-sts-access-key-secret": ("alibaba-sts-access-key-id",),
    "aws-secret-access-key": ("aws-access-token",),
    "alibaba-sts-security-token": ("alibaba-sts-access-key-id",),
    "exoscale-api-secret": ("exoscale-api-key",),
    "ovh-consumer-key": ("ovh-application-secret",),
    "polymarket-api-secret": ("polymarket-api-key", "polymarket-private-key"),
    "polymarket-passphrase": ("polymarket-api-key", "polymarket-private-key"),
}
# Parts of pairs that are no secrets (ids, hosts) are left out, but for these, which tell of a pair.
KEPT_PARTS = {"alibaba-access-key-id", "alibaba-sts-access-key-id"}
# Plain enough to be told without the file's name, which a model call has not.
ANYWHERE = {"kubernetes-secret-yaml"}
# Visible upstream, yet they name an account or are meant for the public.
IDENTIFIERS = re.compile(
    r"alibaba-(?:sts-)?access-key-id|client-id|public-(?:api-)?(?:key|token)|project-api-key\b|incoming-mail-address"
)
CLASSES = (
    (re.compile(r"private-key|age-secret|ssh"), "secret.private-key"),
    (re.compile(r"webhook"), "secret.webhook"),
    (re.compile(r"uri|connection-string|credentials$|curl-auth-user|sensitive-url"), "secret.connection"),
    (re.compile(r"password|passphrase"), "secret.password"),
)
VALIDATORS = (
    (re.compile(r"github-(?:pat|oauth|app-token|refresh-token)$"), "github"),
    (re.compile(r"npm-access-token$|npmjsaccesstoken$"), "github"),
    (re.compile(r"grafana-service-account-token$"), "grafana"),
    (re.compile(r"^aws-access-token$"), "aws-id"),
    (re.compile(r"jwt(?:-base64)?$"), "jwt"),
    (re.compile(r"^private-key$"), "pem"),
    (re.compile(r"^age-secret-key$"), "bech32"),
)


# What may follow a value: upstream knows quotes, white space and ";"; in markup, lists and addresses other signs follow.
TAIL = r"""(?:\\?['"\x60]|[\s;]|\\[nr]|$)"""
WIDER_TAIL = r"""(?:\\?['"\x60]|[\s;,<>&)}\]|#]|\\[nrt]|$)"""


class UnknownFormError(Exception):
    """A form of filter or expression that this script does not translate."""


# --- expressions ---------------------------------------------------------------------------------------------------------


def dialect(expression: str, group: int) -> str:
    """In our dialect: no (?x), no repeat that RE2 refuses, the value's group by name, more that may follow a value."""
    if expression.startswith("(?x)"):
        if re.search(r"(?<!\\)[\s#]", expression):
            raise UnknownFormError("white space in a verbose expression")
        expression = expression[4:]
    expression = re.sub(
        r"\{(\d+),(\d{4,})\}",
        lambda found: f"{{{found[1]},{RE2_REPEAT_MAX}}}" if int(found[2]) > RE2_REPEAT_MAX else found[0],
        expression,
    )
    expression = expression.replace(TAIL, WIDER_TAIL)
    return named(expression, group) if group else expression


def named(expression: str, group: int) -> str:
    """Calls the group of this number `value`."""
    seen, inside, at = 0, False, 0
    while at < len(expression):
        character = expression[at]
        if character == "\\":
            at += 2
            continue
        if character in "[]":
            inside = character == "["
        elif character == "(" and not inside:
            name = re.compile(r"\(\?P<\w+>").match(expression, at)
            if name or expression[at + 1] != "?":
                seen += 1
                if seen == group:
                    end = name.end() if name else at + 1
                    return f"{expression[:at]}(?P<value>{expression[end:]}"
        at += 1
    raise UnknownFormError(f"no group {group}")


def pythonic(expression: str) -> str:
    """For Python's parser, which is asked for widths and literals: flags in the middle get a scope of their own."""
    for ours, theirs in (("[:alnum:]", "A-Za-z0-9"), (r"\z", r"\Z")):
        expression = expression.replace(ours, theirs)
    out: list[str] = []
    depth: list[int] = [0]
    inside, at = False, 0
    while at < len(expression):
        flags = re.compile(r"\(\?(-?[a-z]+)\)").match(expression, at)
        if expression[at] == "\\":
            out.append(expression[at : at + 2])
            at += 2
            continue
        if flags and not inside:
            out.append(f"(?{flags[1]}:")
            depth[-1] += 1
            at = flags.end()
            continue
        if inside:
            inside = expression[at] != "]"
        elif expression[at] == "[":
            inside = True
            if expression[at + 1 : at + 2] == "]":
                raise UnknownFormError("a class that begins with its end")
        elif expression[at] == "(":
            depth.append(0)
        elif expression[at] == ")":
            out.append(")" * depth.pop())
        elif expression[at] == "|" and depth[-1]:
            out.append(")" * depth[-1] + "|")
            at += 1
            # The flags hold in later alternatives too; widths and literals in lower case don't change by them.
            depth[-1] = 0
            continue
        out.append(expression[at])
        at += 1
    return "".join(out) + ")" * depth[0]


def width(parsed: Any) -> int:
    return min(max(int(parsed.getwidth()[1]), 16), WIDTH_MAX)


def literals(items: Any) -> set[str] | None:
    """Lower-case words of which every match holds at least one; None: no such words."""
    best: set[str] | None = None
    run = ""

    def offer(words: set[str] | None) -> None:
        nonlocal best
        if words and all(len(word) >= LITERAL_MIN and word.isascii() for word in words):
            shortest, known = min(map(len, words)), min(map(len, best)) if best else 0
            if best is None or (shortest, -len(words)) > (known, -len(best)):
                best = words

    for op, value in items:
        if op is sre.LITERAL:
            run += chr(value).lower()
            continue
        offer({run} if run else None)
        run = ""
        if op is sre.SUBPATTERN:
            offer(literals(value[3]))
        elif op is sre.BRANCH:
            branches = [literals(branch) for branch in value[1]]
            if all(branches):
                offer(set().union(*[branch for branch in branches if branch]))
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT) and value[0] > 0:
            offer(literals(value[2]))
    offer({run} if run else None)
    return best


# --- filters -------------------------------------------------------------------------------------------------------------

Predicate = list[Any]
NEVER: Predicate = ["any"]
ALWAYS: Predicate = ["all"]
SUBJECTS = {"secret": "value", "match": "match", "line": "line"}


class Filter:
    """Translates one filter: what it says of a finding to be dropped."""

    def __init__(self, names: dict[str, Predicate] | None = None) -> None:
        self.names = names or {}
        self.weak: Predicate | None = None

    def predicate(self, node: dict[str, Any]) -> Predicate:
        kind = node["kind"]
        if kind == "bool":
            return ALWAYS if node["value"] else NEVER
        if kind == "binary" and node["operator"] in ("||", "&&"):
            return joined(
                "any" if node["operator"] == "||" else "all",
                self.predicate(node["left"]),
                self.predicate(node["right"]),
            )
        if kind == "unary" and node["operator"] in ("!", "not"):
            return ["not", self.predicate(node["node"])]
        if kind == "binary" and node["operator"] in ("<", "<=", ">="):
            return self.measure(node)
        if kind == "call":
            return self.call(node)
        if kind == "identifier" and node["value"] in self.names:
            return self.names[node["value"]]
        if kind == "variable_declarator":
            return self.declared(node)
        if kind == "binary" and node["operator"] == "contains" and self.is_identifier(node["left"]):
            return ["contains", "name", [string(node["right"])]]
        raise UnknownFormError(json.dumps(node)[:300])

    def measure(self, node: dict[str, Any]) -> Predicate:
        left, bound = node["left"], float(node["right"]["value"])
        name = left["callee"]["value"] if left["kind"] == "call" else ""
        if name not in ("entropy", "tokenRatio") or self.subject(left["arguments"][0]) != "value":
            raise UnknownFormError(json.dumps(node)[:300])
        return ["entropy" if name == "entropy" else "wordlike", node["operator"], bound]

    def call(self, node: dict[str, Any]) -> Predicate:
        callee, arguments = node["callee"], node["arguments"]
        if callee["kind"] == "identifier" and callee["value"] in ("matchesAny", "containsAny"):
            words = [string(item) for item in arguments[1]["nodes"]]
            name = "matches" if callee["value"] == "matchesAny" else "contains"
            return [
                name,
                self.subject(arguments[0]),
                [dialect(word, 0) for word in words] if name == "matches" else words,
            ]
        if callee["kind"] == "member" and callee["method"]:
            method = string(callee["property"])
            if method in ("startsWith", "endsWith", "contains"):
                return [
                    {"startsWith": "starts", "endsWith": "ends", "contains": "contains"}[method],
                    self.subject(callee["node"]),
                    [string(arguments[0])],
                ]
        raise UnknownFormError(json.dumps(node)[:300])

    def subject(self, node: dict[str, Any]) -> str:
        if node["kind"] == "member":
            owner, name = node["node"], string(node["property"])
            if owner == {"kind": "identifier", "value": "finding"} and name in SUBJECTS:
                return SUBJECTS[name]
            if owner == {"kind": "identifier", "value": "attributes"} and name == "path":
                return "path"
            # Groups of the match: the host and the whole of a URL, which the match as a whole stands for well enough.
            if owner["kind"] == "member" and string(owner["property"]) == "captures" and name in ("host", "uri"):
                return name
        raise UnknownFormError(json.dumps(node)[:300])

    def declared(self, node: dict[str, Any]) -> Predicate:
        name, value = node["name"], node["value"]
        if value["kind"] == "call" and value["callee"].get("value") == "setConfidence":
            self.weak = self.names[value["arguments"][0]["value"]]
        elif value["kind"] == "conditional":
            if (value["exp1"].get("value"), value["exp2"].get("value")) != ("low", "medium"):
                raise UnknownFormError(json.dumps(value)[:300])
            self.names[name] = self.predicate(value["cond"])
        elif is_text(value):
            self.names[name] = ["text", text_form(value)]
        else:
            self.names[name] = self.predicate(value)
        return self.predicate(node["expr"])

    def is_identifier(self, node: dict[str, Any]) -> bool:
        """`lower(identifier)`: the name that a value is assigned to, put together from what stands before the match."""
        if node["kind"] != "call" or node["callee"].get("value") != "lower":
            return False
        known = self.names.get(node["arguments"][0].get("value", ""))
        return known == ["text", "prefix+" + r"finding.match:^[\w .-]+"] and self.names.get("prefix") == [
            "text",
            r"line-before:[\w.-]*$",
        ]


def is_text(node: dict[str, Any]) -> bool:
    return (node["kind"] == "binary" and node["operator"] == "+") or (
        node["kind"] == "call" and node["callee"].get("value") == "findMatch"
    )


def text_form(node: dict[str, Any]) -> str:
    if node["kind"] == "binary":
        return f"{node['left']['value']}+{text_form(node['right'])}"
    subject, expression = node["arguments"][0], string(node["arguments"][1])
    if subject["kind"] == "slice":
        return f"line-before:{expression}"
    return f"{subject['node']['value']}.{string(subject['property'])}:{expression}"


def string(node: dict[str, Any]) -> str:
    if node["kind"] != "string":
        raise UnknownFormError(json.dumps(node)[:300])
    return str(node["value"])


def joined(how: str, left: Predicate, right: Predicate) -> Predicate:
    """`any` and `all`, flattened, with what is always or never true folded in."""
    decided, neutral = (ALWAYS, NEVER) if how == "any" else (NEVER, ALWAYS)
    if decided in (left, right):
        return decided
    parts = [part for side in (left, right) for part in (side[1:] if side[0] == how else [side]) if part != neutral]
    return parts[0] if len(parts) == 1 else [how, *parts]


# --- rules ---------------------------------------------------------------------------------------------------------------


def short(rule_id: str) -> str:
    return rule_id.removeprefix("betterleaks.").removeprefix("veles.secrets/")


def translated(detail: dict[str, Any]) -> dict[str, Any] | str:
    """A rule of ours, or why there is none."""
    source, name = detail["id"].split(".")[0], short(detail["id"])
    if not detail["visible"] and name not in PAIRED and name not in KEPT_PARTS:
        return "names an account or a host, which is no secret"
    found = Filter()
    drop = found.predicate(detail["betterleaks_filter"]) if detail["betterleaks_filter"] else NEVER
    if drop == ALWAYS:
        return "replaced upstream by another rule"
    expression = dialect(detail["detection_regex"], detail["betterleaks_secret_group"])
    parsed = parser.parse(pythonic(expression))
    rule: dict[str, Any] = {
        "id": f"{source}.{name}",
        "name": detail["name"],
        "source": source,
        "expression": expression,
        "width": width(parsed),
        "keywords": sorted(literals(parsed) or ()),
        "class": next((label for pattern, label in CLASSES if pattern.search(name)), "secret.token"),
        "sure": detail["confidence"],
    }
    if IDENTIFIERS.search(name):
        rule |= {"class": "secret.identifier", "sure": "low"}
    if drop != NEVER:
        rule["drop"] = drop
    if found.weak:
        rule["weak"] = found.weak
    if detail["path"] and name not in ANYWHERE:
        rule["path"] = detail["path"]
    if name in PAIRED:
        rule["beside"] = [f"{source}.{other}" for other in PAIRED[name]]
    if validator := next((label for pattern, label in VALIDATORS if pattern.search(name)), ""):
        rule["validator"] = validator
    return rule


def shared(rules: list[dict[str, Any]]) -> list[Predicate]:
    """Takes filters that several rules have out, as ["shared", n]: most rules begin with the same two."""
    counts: dict[str, int] = {}
    for rule in rules:
        for part in parts_of(rule.get("drop")):
            key = json.dumps(part)
            counts[key] = counts.get(key, 0) + 1
    table = [key for key, count in counts.items() if count > 1 and len(key) > 60]
    places = {key: index for index, key in enumerate(table)}
    for rule in rules:
        drop = rule.get("drop")
        if drop and drop[0] == "any":
            rule["drop"] = [
                "any",
                *[["shared", places[key]] if (key := json.dumps(part)) in places else part for part in drop[1:]],
            ]
    return [json.loads(key) for key in table]


def parts_of(drop: Predicate | None) -> list[Predicate]:
    return drop[1:] if drop and drop[0] == "any" else []


def written(catalogue: Any) -> str:
    """The file's text.

    Args:
        catalogue: the wheel's `Rules`.
    """
    rules: list[dict[str, Any]] = []
    left: dict[str, str] = {}
    for metadata in catalogue.metadata():
        try:
            rule = translated(catalogue.detail(metadata["id"]))
        except UnknownFormError as unknown:
            raise SystemExit(f"{metadata['id']}: not translated: {unknown}") from None
        if isinstance(rule, str):
            left[metadata["id"]] = rule
        else:
            rules.append(rule)
    table = shared(rules)
    head = {
        "notice": "Rules of Betterleaks (MIT) and Veles (Apache-2.0), changed: see NOTICE in this folder.",
        "format": 1,
        "from": {"package": WHEEL, "version": version(WHEEL)},
        "sources": SOURCES,
        "left": left,
        "shared": table,
    }
    lines = [json.dumps(rule, ensure_ascii=False, separators=(",", ":")) for rule in rules]
    body = json.dumps(head, ensure_ascii=False, indent=1)
    return f'{body[:-2]},\n "rules": [\n' + ",\n".join(lines) + "\n]}\n"


def main() -> int:
    from kingfisher_sdk.rules import Rules

    text = written(Rules(cache=False))
    TARGET.write_text(text, encoding="utf-8")
    data = json.loads(text)
    sys.stdout.write(f"{len(data['rules'])} rules, {len(data['left'])} left out, {len(text)} characters\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
