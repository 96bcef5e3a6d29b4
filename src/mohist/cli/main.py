"""The `mohist` command: finds the subcommand, runs it, turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from mohist import __version__
from mohist.base import ExitCode, MohistError

COMMANDS = {
    "run": "let an agent work on a task in this repository",
    "demo": "watch an agent fix a bug in a sample repository",
    "deliver": "from a requirement to a deployed change, under control",
    "runs": "list, show, resume, undo or export runs",
    "trust": "let a repository's own settings take effect",
    "serve": "the gateway for model traffic of any coding client",
    "govern": "let a coding client work inside the fence, every prompt by the gateway",
    "models": "what models are known and which are connected",
    "keys": "virtual keys for the gateway, and budgets",
    "policy": "the gateway's rules: try them, explain a call, list them",
    "guard": "what must not leave: what was found, and what may pass all the same",
    "vet": "examine a coding tool before it is let in",
    "register": "which tools may be used, from when on, and what instead",
    "usage": "what was used through the gateway, and what it cost",
    "ledger": "the evidence: show, prove, export, verify, erase",
    "trace": "which run wrote a line, on whose word, and who let it pass",
    "config": "show the settings and where each comes from",
    "doctor": "which guarantees hold on this machine",
}
"""In the order of the help text; `mohist.cli.NAME` implements each."""


class Command(Protocol):
    """A subcommand's module."""

    def declare(self, parser: argparse.ArgumentParser) -> None: ...

    def main(self, args: argparse.Namespace) -> int: ...


def entry() -> None:
    """Console-script entry point; never returns."""
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            # Nobody reads any more, and Python would make that the exit code (120).
            _drop(stream)
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns its exit code. Errors become one line on stderr with the mend."""
    name = next((word for word in argv if not word.startswith("-")), "")
    parser, sub = _parser(name)
    args, unknown = parser.parse_known_args(list(argv))
    if unknown:
        (sub or parser).error(f"unknown: {' '.join(unknown)}")
    if not getattr(args, "command", None):
        parser.print_help()
        return ExitCode.USAGE
    command: Command = importlib.import_module(f"mohist.cli.{args.command}")
    try:
        return command.main(args)
    except MohistError as error:
        print(f"mohist: {error.what}", file=sys.stderr)
        if error.mend:
            print(f"  {error.mend}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.CANCELLED
    except BrokenPipeError:
        # The reader of our output has gone; say nothing more to it.
        _drop(sys.stdout)
        return ExitCode.FAILED
    except OSError as error:
        # What a command needs of the machine and can't have: a state folder, room on the disk.
        where = f" {error.filename!r}" if error.filename else ""
        print(f"mohist: The machine refuses{where}: {error.strerror or error}.", file=sys.stderr)
        if os.environ.get("MOHIST_DEBUG"):
            raise
        return ExitCode.FAILED


def _drop(stream: TextIO | None) -> None:
    """Whatever is still written to `stream` goes nowhere."""
    try:
        descriptor = stream.fileno() if stream is not None else -1
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    except (OSError, ValueError):
        return


def _parser(name: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """The parser, and that of the command called `name`, the only one whose options are declared."""
    called = None
    parser = argparse.ArgumentParser(
        prog="mohist",
        description="AI software development under your own control: any model, in a sandbox, on the record.",
        epilog='Start with: mohist demo. Then: mohist run "fix the failing test".',
    )
    parser.add_argument("--version", action="version", version=f"mohist {__version__}")
    verbs = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command, text in COMMANDS.items():
        sub = verbs.add_parser(command, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if command == name:
            module: Command = importlib.import_module(f"mohist.cli.{command}")
            module.declare(sub)
            called = sub
    return parser, called
