"""`mohist ledger erase|hold|prune|rotate-root`: how long contents are kept, and who may still read them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.app.ledger import LedgerHome

VERBS = ("erase", "hold", "prune", "rotate-root")


def declare(verbs: Any) -> tuple[argparse.ArgumentParser, ...]:
    """The verbs of this module."""
    erase = verbs.add_parser("erase", help="make all that was kept of a person unreadable, for good")
    erase.add_argument("subject", metavar="SUBJECT", help="a person's name, or as entries name it: person:…")
    erase.add_argument("--because", required=True, metavar="REASON", help="entered with it, sealed")
    erase.add_argument("--yes", action="store_true", help="don't ask")
    hold = verbs.add_parser(
        "hold", help="keep the contents of a stream or a person until it is lifted; without one: list"
    )
    hold.add_argument(
        "target", nargs="?", metavar="STREAM|SUBJECT", help="run:…, delivery:…, person:… or a person's name"
    )
    hold.add_argument("--because", metavar="REASON", help="entered with it, sealed")
    hold.add_argument("--lift", action="store_true", help="end it")
    prune = verbs.add_parser("prune", help="drop contents that are older than `ledger.retention` allows, now")
    rotate = verbs.add_parser(
        "rotate-root", help="another root key: old copies and blocks of the key file are worth nothing"
    )
    return erase, hold, prune, rotate


def erase(home: LedgerHome, args: argparse.Namespace) -> int:
    from mohist.app import keeping
    from mohist.app.user import user_name

    home.read().close()
    subject = keeping.subject_of(home, args.subject)
    if not args.yes:
        if not sys.stdin.isatty():
            print("mohist: This can't be undone.\n  Say --yes.", file=sys.stderr)
            return ExitCode.USAGE
        if input(f"Everything kept of {subject} becomes unreadable for good. Type yes: ").strip() != "yes":
            return ExitCode.CANCELLED
    erased = keeping.erase(home, subject, args.because, user_name())
    value = {"subject": erased.subject, "keys": erased.keys, "name": erased.named, "entry": erased.entry}
    name = " and its name" if erased.named else ""
    return _say(args, value, f"{erased.keys} keys of {erased.subject}{name} are gone (entry {erased.entry}).")


def hold(home: LedgerHome, args: argparse.Namespace) -> int:
    from mohist.app import keeping
    from mohist.app.user import user_name
    from mohist.ledger.retention import held

    if not args.target:
        log = home.read()
        try:
            names = sorted(held(log))
        finally:
            log.close()
        return _say(args, names, "\n".join(names) or "Nothing is under a hold.")
    if not args.because:
        print("mohist: A hold, and its end, needs a reason.\n  Say --because.", file=sys.stderr)
        return ExitCode.USAGE
    target = keeping.subject_of(home, args.target)
    receipt = keeping.hold(home, target, args.because, user_name(), on=not args.lift)
    how = "no more under a hold" if args.lift else "under a hold"
    value = {"target": target, "held": not args.lift, "entry": receipt.index}
    return _say(args, value, f"{target} is {how} (entry {receipt.index}).")


def prune(home: LedgerHome, args: argparse.Namespace) -> int:
    from mohist.app import keeping

    if not home.settings.retention:
        return _say(args, {"dropped": 0}, "ledger.retention names no kind: contents are kept for good.")
    count = keeping.prune(home)
    return _say(args, {"dropped": count}, f"{count} contents dropped; their entries stay.")


def rotate_root(home: LedgerHome, args: argparse.Namespace) -> int:
    from mohist.app import keeping
    from mohist.app.user import user_name

    home.read().close()
    receipt = keeping.rotate_root(home, user_name())
    said = f"The key file is under a new root key (entry {receipt.index}): {home.root_key_path}"
    return _say(args, {"entry": receipt.index}, f"{said}\nDestroy every copy of the old one.")


def _say(args: argparse.Namespace, value: Any, text: str) -> int:
    print(json.dumps(value, indent=2) if args.json else text)
    return ExitCode.DONE
