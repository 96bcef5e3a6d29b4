"""`mohist guard secrets`: the exact list of a company's own secrets, kept as keyed hashes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode, MohistError, StatePaths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mohist.guard.secret import Register, Tracer

EPILOG = """\
A listed secret is found wherever it is about to leave, as it is or in base64, hex or URL encoding. Only keyed hashes of it are
kept; values are never taken from the command line, where other processes could read them.

examples:
  mohist guard secrets add db-password                 asks on standard input
  vault read -field=token x | mohist guard secrets add deploy-token
  mohist guard secrets add mail --env SMTP_PASSWORD
  mohist guard secrets add --env-file .env             every value of a file of NAME=value lines
  mohist guard secrets list
  mohist guard secrets remove db-password"""

VALUE_MAX_BYTES = 1 << 20


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    acts = parser.add_subparsers(dest="act", metavar="VERB", required=True)
    adding = acts.add_parser("add", help="put secrets on the list")
    adding.add_argument("label", nargs="?", metavar="LABEL", help="what it is called in findings")
    adding.add_argument("--env", metavar="NAME", help="take the value of this variable")
    adding.add_argument("--file", type=Path, metavar="FILE", help="take the content of this file")
    adding.add_argument("--env-file", type=Path, metavar="FILE", help="take every value of NAME=value lines")
    removing = acts.add_parser("remove", help="take one off the list")
    removing.add_argument("label", metavar="LABEL")
    listing = acts.add_parser("list", help="what is listed; never a value")
    listing.add_argument("--json", action="store_true")


def main(args: argparse.Namespace) -> int:
    register, tracer = _opened()
    if args.act == "add":
        return _add(args, register, tracer)
    if args.act == "remove":
        register.remove(args.label)
        print(f"{args.label} is no longer listed")
        return ExitCode.DONE
    listed = register.read()
    if args.json:
        print(json.dumps([{"label": one.label, "forms": len(one.traces)} for one in listed]))
        return ExitCode.DONE
    for one in listed:
        print(f"{one.label}  ({len(one.traces)} forms)")
    print(f"{len(listed)} listed")
    return ExitCode.DONE


def _opened() -> tuple[Register, Tracer]:
    from mohist.app.database import owner_config
    from mohist.app.guard import guard_key
    from mohist.guard.secret import Register, Tracer, listed_path

    paths = StatePaths.from_env(os.environ)
    settings = owner_config(os.environ).guard
    return Register(settings.listed_secrets or listed_path(paths.home)), Tracer(guard_key(settings, paths))


def _add(args: argparse.Namespace, register: Register, tracer: Tracer) -> int:
    values = dict(_values(args))
    if not values:
        raise MohistError("There is nothing to list.")
    register.add(tuple(tracer.listed(label, value) for label, value in values.items()))
    print(f"listed: {', '.join(values)}")
    return ExitCode.DONE


def _values(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    if args.env_file:
        for line in _text(args.env_file).splitlines():
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            value = value.strip().strip("'\"")
            if equals and not name.lstrip().startswith("#") and len(value.encode("utf-8")) >= 8:
                yield name.strip(), value
        return
    if not args.label:
        raise MohistError("Say what the secret is called.", "mohist guard secrets add LABEL")
    if args.env:
        if args.env not in os.environ:
            raise MohistError(f"The variable {args.env!r} is not set.")
        yield args.label, os.environ[args.env]
    else:
        yield args.label, (_text(args.file) if args.file else _asked()).rstrip("\r\n")


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(VALUE_MAX_BYTES + 1)
    if len(data) > VALUE_MAX_BYTES:
        raise MohistError(f"{str(path)!r} is larger than {VALUE_MAX_BYTES} bytes.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise MohistError(f"{str(path)!r} is not UTF-8.") from None


def _asked() -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("Secret (not shown): ")
    return sys.stdin.read(VALUE_MAX_BYTES)
