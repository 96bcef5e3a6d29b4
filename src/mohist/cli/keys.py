"""`mohist keys`: virtual keys for the gateway, and budgets."""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
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
  mohist keys list
  mohist keys rotate key-01jd… --grace-hours 24
  mohist keys revoke key-01jd…
  mohist keys budget set team core --usd-day 100
  mohist keys budget list"""

_PERIODS = ("day", "month", "total")
_SUBJECTS = ("key", "user", "project", "team")
_DIALECTS = ("openai-chat", "openai-responses", "anthropic-messages")
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
    creating.add_argument("--dialect", action="append", default=[], choices=_DIALECTS, help="only these; repeat")
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
    from mohist.gateway.address import home_address
    from mohist.gateway.store import Store

    with Store(home_address(StatePaths.from_env(os.environ).home, os.environ)) as store:
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
    from mohist.gateway.key import Key, new_secret, secret_hash

    clock = SystemClock()
    now_ms = clock.now_ms()
    key = Key(
        key_id=RandomIds(clock).new("key"),
        user=args.user,
        project=args.project or "",
        team=args.team or "",
        models=tuple(args.model),
        clients=tuple(args.client),
        dialects=tuple(args.dialect),
        created_at_ms=now_ms,
        expires_at_ms=None if args.expires_days is None else now_ms + args.expires_days * 86_400_000,
        requests_per_minute=args.rpm,
        tokens_per_minute=args.tpm,
    )
    secret = new_secret()
    store.add_key(key, secret_hash(secret), _limits(args, "key", key.key_id, "budget_"))
    return _say(args, {**_row(key), "secret": secret}, f"{key.key_id}\n{secret}\nIt is not shown again.")


def _rotate(store: Store, args: argparse.Namespace) -> int:
    from mohist.gateway.key import new_secret, secret_hash

    secret = new_secret()
    key = store.rotate_key(args.key, secret_hash(secret), SystemClock().now_ms(), args.grace_hours * 3_600_000)
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
        print(plain(f"{row['key_id']}  {row['status']:8}  {row['created_at']}  {whose}"))
    return ExitCode.DONE


def _budget(store: Store, args: argparse.Namespace) -> int:
    from mohist.gateway.errors import StoreError
    from mohist.terminal import plain

    if args.act == "remove":
        count = store.remove_budgets(args.subject, args.name)
        return _say(args, {"removed": count}, f"removed {count}")
    if args.act == "set":
        budgets = _limits(args, args.subject, args.name, "")
        if not budgets:
            raise StoreError("No limit is named.", "Say for instance: --usd-month 50", audience="user")
        if args.subject == "key":
            store.key(args.name)
        for budget in budgets:
            store.set_budget(budget)
    else:
        budgets = store.budgets()
    rows = [
        {
            "subject": budget.subject,
            "name": budget.name,
            "period": budget.period,
            "limit_microusd": budget.limit_microusd,
            "limit_tokens": budget.limit_tokens,
            "allow_unpriced": budget.allow_unpriced,
        }
        for budget in budgets
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return ExitCode.DONE
    for budget in budgets:
        limits = [] if budget.limit_microusd is None else [f"${budget.limit_microusd / 1e6:,.2f}"]
        limits += [] if budget.limit_tokens is None else [f"{budget.limit_tokens:,} tokens"]
        limits += ["passes models without a price"] if budget.allow_unpriced else []
        print(plain(f"{budget.subject:7}  {budget.name}  {budget.period:5}  {', '.join(limits)}"))
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
    return {
        "key_id": key.key_id,
        "status": _status(key),
        "user": key.user,
        "project": key.project,
        "team": key.team,
        "models": key.models,
        "clients": key.clients,
        "dialects": key.dialects,
        "created_at": _moment(key.created_at_ms),
        "expires_at": _moment(key.expires_at_ms),
        "revoked_at": _moment(key.revoked_at_ms),
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
    }


def _status(key: Key) -> str:
    if key.revoked_at_ms is not None:
        return "revoked"
    expired = key.expires_at_ms is not None and key.expires_at_ms <= SystemClock().now_ms()
    return "expired" if expired else "active"


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


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
    if not text or len(text) > 200 or not text.isprintable() or text != text.strip():
        raise argparse.ArgumentTypeError(f"not a name: {text!r}")
    if text.startswith("mhk-"):
        # It would be kept in the clear.
        raise argparse.ArgumentTypeError("this is a secret key, not a name; a key is named by its id, key-…")
    return text
