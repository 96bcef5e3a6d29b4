"""`mohist guard`: what the guard found, and what may pass all the same."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol

EPILOG = """\
What is looked for and what happens to it: docs/guard.md. In force on this machine: mohist doctor.

examples:
  mohist guard report --since 7d                    what was stopped, changed or noted, and what would have been
  mohist guard release 3f2a90c1d2e4 --for 1h --because "test key of the sandbox account"
  mohist guard release 3f2a90c1d2e4 --for-good --because "a hash, no secret"
  mohist guard releases"""

VERBS = {
    "scan": "look for what must not leave in files, staged changes or a history",
    "hook": "have git look at each commit before it is made",
    "report": "what was found in calls, by rule, client, team and destination",
    "release": "let one value pass",
    "releases": "list what was let pass, or end it",
    "test": "try rules of detection on their own examples",
    "register": "recognise a repository's code wherever it turns up",
    "secrets": "list your own secrets, so that each is found exactly",
}
"""In the order of the help text; `mohist.cli.guard_NAME` implements each."""


class Verb(Protocol):
    """A verb's module."""

    def declare(self, parser: argparse.ArgumentParser) -> None: ...

    def main(self, args: argparse.Namespace) -> int: ...


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in VERBS.items():
        sub = verbs.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        _module(name).declare(sub)


def main(args: argparse.Namespace) -> int:
    return _module(args.verb).main(args)


def _module(name: str) -> Verb:
    module: Verb = importlib.import_module(f"mohist.cli.guard_{name}")
    return module
