"""`mohist register export|import|users|history`: the register as a file, who is concerned, and who changed what."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from mohist.base import ExitCode


def declare(verbs: Any) -> list[argparse.ArgumentParser]:
    export = verbs.add_parser("export", help="the register as TOML, for other machines")
    export.add_argument("--output", type=Path, metavar="FILE", help="default: to standard output")
    taking = verbs.add_parser("import", help="take over the entries of a file")
    taking.add_argument("file", type=Path, metavar="FILE", help="as `export` writes it")
    taking.add_argument("--replace", action="store_true", help="entries that are not in the file go, its settings hold")
    users = verbs.add_parser("users", help="who called the gateway with what an entry warned of or refused")
    users.add_argument("entry", nargs="?", default="", metavar="ID")
    users.add_argument("--days", type=_days, default=30, metavar="N", help="of the last N days (default: %(default)s)")
    history = verbs.add_parser("history", help="changes of the register, from the ledger, the newest last")
    history.add_argument("--entry", default="", metavar="ID", help="of this entry alone")
    history.add_argument("--last", type=_days, default=50, metavar="N", help="at most so many (default: %(default)s)")
    return [export, taking, users, history]


def main(args: argparse.Namespace) -> int:
    return {"export": _export, "import": _import, "users": _users, "history": _history}[args.verb](args)


def _export(args: argparse.Namespace) -> int:
    from mohist.app.register import opened
    from mohist.policy.register import as_mapping, as_text

    with opened(os.environ) as store:
        register = store.register()
    text = as_text(register)
    if args.json:
        settings = register.settings
        said = {"unlisted": settings.unlisted, "two_persons": settings.two_persons, "ask": settings.ask}
        entries = [as_mapping(entry) for entry in register.entries]
        text = json.dumps({"register": said, "entry": entries}, indent=2, ensure_ascii=False) + "\n"
    if args.output is None:
        sys.stdout.write(text)
    else:
        args.output.write_text(text, encoding="utf-8")
    return ExitCode.DONE


def _import(args: argparse.Namespace) -> int:
    from mohist.app.register import opened, read_register
    from mohist.cli.register_change import changed
    from mohist.gateway.register import Edit

    register = read_register(args.file)
    with opened(os.environ) as store:
        before = store.register()
        kept = {entry.entry_id for entry in register.entries}
        fresh = tuple(entry for entry in register.entries if entry not in before.entries)
        gone = tuple(entry.entry_id for entry in before.entries if entry.entry_id not in kept) if args.replace else ()
        settings = register.settings if args.replace and register.settings != before.settings else None
        if not fresh and not gone and settings is None:
            print(json.dumps({"in_force": True, "proposal": None}) if args.json else "Nothing of it is new.")
            return ExitCode.DONE
        return changed(store, Edit(fresh, gone, settings), args)


def _users(args: argparse.Namespace) -> int:
    from mohist.app.register import opened
    from mohist.terminal import plain

    with opened(os.environ) as store:
        found = store.users(args.entry, args.days)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    for row in found:
        calls = f"{row['warned']} warned, {row['refused']} refused"
        print(plain(f"{row['entry']}  {row['user']}  {row['client'] or 'unknown'}  {calls}, last {row['last']}"))
    if not found:
        print("Nobody called with what an entry warned of or refused.")
    return ExitCode.DONE


def _history(args: argparse.Namespace) -> int:
    from mohist.app.register_history import history
    from mohist.terminal import plain

    rows = history(os.environ, args.entry, args.last)
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    for row in rows:
        print(plain(f"{row['index']:>8}  {row['at']}  {row['by']}  {row['what']}"))
    if not rows:
        print("The register was not changed yet.")
    return ExitCode.DONE


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 3660 and len(text) <= 6):
        raise argparse.ArgumentTypeError(f"not 1 to 3660: {text!r}")
    return int(text)
