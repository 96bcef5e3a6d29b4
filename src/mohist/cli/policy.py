"""`mohist policy`: the gateway's rules: try their examples, ask what becomes of a call, list them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode, StatePaths

if TYPE_CHECKING:
    from mohist.gateway.route import Route
    from mohist.policy import Facts, Rulebook, Ruling

EPILOG = """\
Rules decide which model calls the gateway lets through, and to which upstreams; docs/gateway-policy.md shows how to
write them. Without a file, everything that a key may do is allowed.

examples:
  mohist policy test                                       tries every example of the file in the state folder
  mohist policy explain user=ann team=core model=claude-opus-4-6 client=claude-cli/2.1.330
  mohist policy explain call.json --policy new.toml --routes routes.toml
  mohist policy show"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    test = verbs.add_parser("test", help="try every example; exit code 1 when one does not hold")
    test.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: that of the state folder")
    explain = verbs.add_parser("explain", help="what becomes of a call, and by which rules; exit code 3 when refused")
    explain.add_argument(
        "request",
        nargs="+",
        metavar="REQUEST",
        help="a JSON file, `-` for standard input, or KEY=VALUE pairs: user, team, project, key, client, dialect, model, "
        "tools=a,b, vendor_tools, stream, prompt_tokens, session, at, upstream.region, upstream.data_class, …",
    )
    explain.add_argument("--policy", type=Path, metavar="FILE", help="rules (default: that of the state folder)")
    explain.add_argument(
        "--routes",
        type=Path,
        metavar="FILE",
        help="decide for each upstream that this file has for the model (default: routes.toml of the state folder, where "
        "it has the model and the call names no upstream)",
    )
    show = verbs.add_parser("show", help="the rules in words, and in plain Cedar")
    show.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: that of the state folder")
    for verb in (test, explain, show):
        verb.add_argument("--json", action="store_true", help="one JSON value")


def main(args: argparse.Namespace) -> int:
    return {"test": _test, "explain": _explain, "show": _show}[args.verb](args)


def _rules(chosen: Path | None) -> Rulebook | None:
    """The rulebook, its examples not tried; None where there is no file and none was named."""
    from mohist.app.presence import is_there
    from mohist.app.rulebook import policy_path, read_text
    from mohist.policy import read_rulebook

    # A file that is named is looked at here, not put in force.
    path = chosen or policy_path(StatePaths.from_env(os.environ).home, None)
    if chosen is None and not is_there(path):
        return None
    return read_rulebook(read_text(path), str(path))


def _test(args: argparse.Namespace) -> int:
    from mohist.terminal import plain

    rules = _rules(args.file)
    if rules is None:
        return _no_rules(args.json, [])
    trials = rules.trials()
    faults = [trial for trial in trials if trial.fault]
    if args.json:
        _print(
            [
                {
                    "rule": trial.rule_id,
                    "example": trial.number,
                    "call": trial.example.text,
                    "expect": trial.example.expect,
                    "holds": not trial.fault,
                    "fault": trial.fault,
                    **_told(trial.ruling),
                }
                for trial in trials
            ]
        )
    else:
        width = max((len(trial.rule_id) for trial in trials), default=4)
        for trial in trials:
            mark = "FAILS" if trial.fault else "holds"
            line = f"{mark}  {trial.rule_id:{width}}  {trial.example.expect:5}  {trial.example.text}"
            print(" ".join(plain(line).splitlines()))
            if trial.fault:
                print(f"       {trial.fault}")
        done = f"{len(trials) - len(faults)} of {len(trials)} examples of {len(rules.rules)} rules hold"
        print(f"{done} ({rules.origin})", file=sys.stderr)
    return ExitCode.FAILED if faults else ExitCode.DONE


def _explain(args: argparse.Namespace) -> int:
    from mohist.admin.explain import decided
    from mohist.policy import describe_call

    request = _request(args.request)
    call = describe_call(request, "the request")
    rules = _rules(args.policy)
    if rules is None:
        return _no_rules(args.json, {"decision": "allow", "rules": [], "reason": ""})
    rulings = decided(rules, call, _route(args.routes, call, "upstream" in request))
    allowed = any(ruling.allowed for _, ruling in rulings)
    if args.json:
        _print(
            {
                "decision": "allow" if allowed else "deny",
                "upstreams": [{"upstream": name, **_told(ruling)} for name, ruling in rulings],
                "policy": rules.origin,
                "digest": rules.digest,
            }
        )
    else:
        _say(rules, rulings, allowed)
    if faults := sum(bool(trial.fault) for trial in rules.trials()):
        print(f"{faults} example(s) of this file don't hold; a server refuses it", file=sys.stderr)
    return ExitCode.DONE if allowed else ExitCode.REFUSED


def _say(rules: Rulebook, rulings: list[tuple[str, Ruling]], allowed: bool) -> None:
    from mohist.terminal import plain

    reasons = {rule.id: rule.reason for rule in rules.rules}
    print("allow" if allowed else "deny")
    for name, ruling in rulings:
        where = f"{name}: " if name else ""
        verdict = "allow" if ruling.allowed else "deny"
        for id_ in ruling.rule_ids:
            reason = reasons.get(id_, ruling.reason) or "no rule speaks of it"
            print(plain(f"  {where}{verdict} by {id_}: {reason}"))


def _show(args: argparse.Namespace) -> int:
    from mohist.terminal import plain

    rules = _rules(args.file)
    if rules is None:
        return _no_rules(args.json, None)
    if args.json:
        _print(
            {
                "policy": rules.origin,
                "digest": rules.digest,
                "default": rules.default,
                "timezone": rules.zone.key,
                "rules": [
                    {
                        "id": rule.id,
                        "effect": rule.policy.effect,
                        "reason": rule.reason,
                        "cedar": rule.policy.text,
                        "reads": sorted(rule.policy.uses),
                        "examples": len(rule.examples),
                    }
                    for rule in rules.rules
                ],
            }
        )
        return ExitCode.DONE
    other = "allowed" if rules.default == "allow" else "refused"
    print(plain(f"// {rules.origin}: other calls are {other}; hours and weekdays are those of {rules.zone.key}"))
    for rule in rules.rules:
        print(plain(f'\n// {" ".join(rule.reason.split())}\n@id("{rule.id}")\n{rule.policy.text}'))
    return ExitCode.DONE


def _no_rules(as_json: bool, empty: Any) -> int:
    from mohist.app.rulebook import NO_RULES

    if as_json:
        _print(empty)
    print(NO_RULES, file=sys.stderr)
    return ExitCode.DONE


def _told(ruling: Ruling) -> dict[str, Any]:
    return {
        "decision": "allow" if ruling.allowed else "deny",
        "rules": list(ruling.rule_ids),
        "reason": ruling.reason,
    }


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _route(routes: Path | None, call: Facts, described: bool) -> Route | None:
    """The route that the call would take; None where it is decided as it was described."""
    from mohist.app.errors import ConfigError
    from mohist.app.route import from_file
    from mohist.provider.catalogue import catalogue

    own = StatePaths.from_env(os.environ).home / "routes.toml"
    file = routes or (own if own.exists() and not described else None)
    route = from_file(file, os.environ, catalogue()).table.find(call.model) if file else None
    if route is None and routes is not None:
        raise ConfigError(f"No route of {str(routes)!r} serves the model {call.model!r}.", "Say model=NAME.")
    return route


def _request(words: list[str]) -> dict[str, Any]:
    """The described call: from a file, from standard input, or from pairs; at this moment unless it says when."""
    from mohist.app.errors import ConfigError

    now = {"at": datetime.now(UTC).isoformat()}
    if len(words) == 1 and "=" not in words[0]:
        try:
            text = sys.stdin.read() if words[0] == "-" else Path(words[0]).read_text(encoding="utf-8")
            value = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"The request {words[0]!r} can't be read: {error}.", _SHAPE) from error
        if not isinstance(value, dict):
            raise ConfigError(f"The request {words[0]!r} is no JSON object.", _SHAPE)
        return now | value
    table: dict[str, Any] = dict(now)
    for word in words:
        key, sign, text = word.partition("=")
        if not sign:
            raise ConfigError(f"{word!r} is no KEY=VALUE pair.", _SHAPE)
        place, _, inner = key.partition(".")
        if inner:
            table.setdefault(place, {})
            if isinstance(table[place], dict):
                table[place][inner] = _value(inner, text)
        else:
            table[key] = _value(key, text)
    return table


_SHAPE = "Write it as in a rule's examples: user=ann model=qwen3-coder upstream.region=eu."


def _value(key: str, text: str) -> Any:
    if key in ("tools", "vendor_tools"):
        return [part for part in text.split(",") if part]
    if key in ("stream", "self_hosted"):
        return {"true": True, "false": False}.get(text.lower(), text)
    if key == "prompt_tokens":
        return int(text) if text.isascii() and text.isdigit() else text
    return text
