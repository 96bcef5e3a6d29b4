"""`mohist keys`: virtual keys for the gateway, and budgets."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode, RandomIds, StatePaths, SystemClock

if TYPE_CHECKING:
    from mohist.gateway.budget import Budget, Subject
    from mohist.gateway.key import Key
    from mohist.gateway.store import Store

EPILOG = """\
A key is shown once, when it is made; only its hash is kept. A running server knows of every change within a second.

examples:
  mohist keys create --user ann --budget-usd-month 50 --rpm 60
  mohist keys create --user ci --project shop --model 'qwen*' --expires-days 30
  mohist keys create --user ops --role admin          for the admin API: docs/admin.md
  mohist keys list
  mohist keys rotate key-01jd… --grace-hours 24
  mohist keys revoke key-01jd…
  mohist keys budget set team core --usd-day 100
  mohist keys budget list"""

_PERIODS = ("day", "month", "total")
_SUBJECTS = ("key", "user", "project", "team")
_DIALECTS = ("openai-chat", "openai-responses", "anthropic-messages")
_ROLES = ("caller", "auditor", "admin")
_MAX_DAYS = 36_500


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    creating = verbs.add_parser("create", help="make a key and show it once")
    creating.add_argument("--user", required=True, type=_name, help="who it is for: a person, a service, a CI")
    creating.add_argument("--project", type=_name)
    creating.add_argument("--team", type=_name)
    creating.add_argument("--model", action="append", default=[], metavar="GLOB", help="only these models; repeat")
    creating.add_argument("--client", action="append", default=[], metavar="GLOB", help="only these clients; repeat")
    creating.add_argument(
        "--tool", type=_name, metavar="TOOL", help="made for this tool, as claude-code@2.1.330: docs/register.md"
    )
    creating.add_argument("--repository", type=_name, metavar="NAME", help="and for this project: host/owner/name")
    creating.add_argument("--dialect", action="append", default=[], choices=_DIALECTS, help="only these; repeat")
    creating.add_argument(
        "--role",
        action="append",
        default=[],
        choices=_ROLES,
        help="what it may do: call models, read the admin API, change things by it; repeat (default: caller)",
    )
    creating.add_argument("--expires-days", type=_days, metavar="N", help="ends by itself after N days")
    creating.add_argument("--rpm", type=_count, metavar="N", help="requests a minute")
    creating.add_argument("--tpm", type=_count, metavar="N", help="tokens a minute")
    _add_limits(creating, "budget-")
    _add_json(creating)
    _add_json(verbs.add_parser("list", help="all keys, oldest first"))
    revoking = verbs.add_parser("revoke", help="end a key for good")
    revoking.add_argument("key", metavar="KEY_ID")
    _add_json(revoking)
    rotating = verbs.add_parser("rotate", help="a new secret for a key; its budgets and what it spent stay")
    rotating.add_argument("key", metavar="KEY_ID")
    rotating.add_argument("--grace-hours", type=_count, default=0, metavar="N", help="the old one works N hours more")
    _add_json(rotating)
    budget = verbs.add_parser("budget", help="limits for keys, users, projects and teams")
    acts = budget.add_subparsers(dest="act", metavar="VERB", required=True)
    setting = acts.add_parser("set", help="make or replace the budgets of the periods that are named")
    removing = acts.add_parser("remove", help="take all budgets of one subject away")
    for sub in (setting, removing):
        sub.add_argument("subject", choices=_SUBJECTS)
        sub.add_argument("name", type=_name, metavar="NAME", help="key id, user, project or team")
        _add_json(sub)
    _add_limits(setting, "")
    _add_json(acts.add_parser("list", help="all budgets"))


def main(args: argparse.Namespace) -> int:
    from mohist.app.database import gateway_settings
    from mohist.app.evidence import change_entry, evidence_here
    from mohist.gateway.address import home_address
    from mohist.gateway.change import Author
    from mohist.gateway.store import Store

    address = home_address(StatePaths.from_env(os.environ).home, gateway_settings(os.environ).variables)
    author = Author(_who(), door="command")
    with evidence_here(os.environ) as evidence, Store(address, author=author, enter=change_entry(evidence)) as store:
        match args.verb:
            case "create":
                return _create(store, args)
            case "list":
                return _list(store, args)
            case "revoke":
                key = store.revoke_key(args.key, SystemClock().now_ms())
                return _say(args, _row(key), f"revoked {key.key_id}")
            case "rotate":
                return _rotate(store, args)
            case _:
                return _budget(store, args)


def _create(store: Store, args: argparse.Namespace) -> int:
    from mohist.admin.issue import Order, issue, roles_of
    from mohist.gateway.budget import PERIODS

    clock = SystemClock()
    limits = [(getattr(args, f"budget_usd_{period}"), getattr(args, f"budget_tokens_{period}")) for period in PERIODS]
    order = Order(
        user=args.user,
        project=args.project or "",
        team=args.team or "",
        roles=roles_of(args.role),
        models=tuple(args.model),
        clients=tuple(args.client),
        dialects=tuple(args.dialect),
        expires_at_ms=None if args.expires_days is None else clock.now_ms() + args.expires_days * 86_400_000,
        requests_per_minute=args.rpm,
        tokens_per_minute=args.tpm,
        budgets=tuple(
            (period, microusd, tokens, args.allow_unpriced)
            for period, (microusd, tokens) in zip(PERIODS, limits, strict=True)
            if microusd is not None or tokens is not None
        ),
        tool=args.tool or "",
        repository=args.repository or "",
    )
    made = issue(store, order, clock, RandomIds(clock))
    return _say_secret(args, made.key, made.secret)


def _rotate(store: Store, args: argparse.Namespace) -> int:
    from mohist.admin.issue import rotate

    made = rotate(store, args.key, SystemClock(), args.grace_hours)
    return _say_secret(args, made.key, made.secret)


def _say_secret(args: argparse.Namespace, key: Key, secret: str) -> int:
    return _say(args, {**_row(key), "secret": secret}, f"{key.key_id}\n{secret}\nIt is not shown again.")


def _list(store: Store, args: argparse.Namespace) -> int:
    from mohist.terminal import plain

    keys = store.keys()
    rows = [_row(key) for key in keys]
    if args.json:
        print(json.dumps(rows, indent=2))
        return ExitCode.DONE
    if not rows:
        print("no keys yet: mohist keys create --user NAME")
    for row in rows:
        whose = "/".join(part for part in (row["team"], row["project"], row["user"]) if part)
        special = "" if row["roles"] == ["caller"] else f"  ({', '.join(row['roles'])})"
        print(plain(f"{row['key_id']}  {row['status']:8}  {row['created_at']}  {whose}{special}"))
    return ExitCode.DONE


def _budget(store: Store, args: argparse.Namespace) -> int:
    from mohist.admin.issue import budget_row
    from mohist.gateway.errors import StoreError
    from mohist.terminal import plain

    if args.act == "remove":
        count = store.remove_budgets(args.subject, args.name)
        return _say(args, {"removed": count}, f"removed {count}")
    if args.act == "set":
        budgets = _limits(args, args.subject, args.name, "")
        if not budgets:
            raise StoreError("No limit is named.", "Say for instance: --usd-month 50", audience="user")
        for budget in budgets:
            store.set_budget(budget)
    else:
        budgets = store.budgets()
    rows = [budget_row(budget) for budget in budgets]
    if args.json:
        print(json.dumps(rows, indent=2))
        return ExitCode.DONE
    if not budgets:
        print("no budgets yet: mohist keys budget set user NAME --usd-month 50")
    width = max((len(budget.name) for budget in budgets), default=0)
    for budget in budgets:
        limits = [] if budget.limit_microusd is None else [f"${budget.limit_microusd / 1e6:,.2f}"]
        limits += [] if budget.limit_tokens is None else [f"{budget.limit_tokens:,} tokens"]
        limits += ["passes models without a price"] if budget.allow_unpriced else []
        print(plain(f"{budget.subject:7}  {budget.name:{width}}  {budget.period:5}  {', '.join(limits)}"))
    return ExitCode.DONE


def _limits(args: argparse.Namespace, subject: Subject, name: str, prefix: str) -> list[Budget]:
    from mohist.gateway.budget import PERIODS, Budget

    budgets = []
    for period in PERIODS:
        microusd = getattr(args, f"{prefix}usd_{period}")
        tokens = getattr(args, f"{prefix}tokens_{period}")
        if microusd is not None or tokens is not None:
            budgets.append(Budget(subject, name, period, microusd, tokens, args.allow_unpriced))
    return budgets


def _row(key: Key) -> dict[str, Any]:
    from mohist.admin.issue import key_row

    return key_row(key, SystemClock().now_ms())


def _who() -> str:
    """The account at this machine, for the events."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in a container
        return ""


def _say(args: argparse.Namespace, row: dict[str, Any], text: str) -> int:
    print(json.dumps(row, indent=2) if args.json else text)
    return ExitCode.DONE


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_limits(parser: argparse.ArgumentParser, prefix: str) -> None:
    for period in _PERIODS:
        text = "in all" if period == "total" else f"a {period} (UTC)"
        parser.add_argument(f"--{prefix}usd-{period}", type=_microusd, metavar="USD", help=f"US dollars {text}")
        parser.add_argument(f"--{prefix}tokens-{period}", type=_count, metavar="N", help=f"tokens {text}")
    parser.add_argument(
        "--allow-unpriced", action="store_true", help="money budgets let models without a known price pass"
    )


def _microusd(text: str) -> int:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount <= 10**9:
        raise argparse.ArgumentTypeError(f"not an amount in US dollars: {text!r}")
    return int(amount * 1_000_000)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise argparse.ArgumentTypeError(f"not a whole number: {text!r}")
    return int(text)


def _days(text: str) -> int:
    days = _count(text)
    if not 0 < days <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"not 1 to {_MAX_DAYS} days: {text!r}")
    return days


def _name(text: str) -> str:
    from mohist.admin.issue import name_fault

    if fault := name_fault(text):
        shown = "" if text.startswith("mhk-") else f": {text!r}"
        raise argparse.ArgumentTypeError(fault + shown)
    return text
