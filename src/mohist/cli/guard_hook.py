"""`mohist guard hook`: the pre-commit hook of a repository."""

from __future__ import annotations

import argparse
from pathlib import Path

from mohist.base import ExitCode

EPILOG = """\
Nothing is written unless it is asked for here, and another hook is left alone. The hook runs `mohist guard scan --staged`; git
makes no commit when that finds something. `git commit --no-verify` goes past any hook: what must hold belongs on the server
too. For the program pre-commit there is the hook `mohist-guard` in .pre-commit-hooks.yaml.

examples:
  mohist guard hook install
  mohist guard hook install --baseline known.json
  mohist guard hook remove"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("what", choices=("install", "remove"), help="write it, or take it away")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="in the repository (default: .)"
    )
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="what the hook leaves out")


def main(args: argparse.Namespace) -> int:
    from mohist.app.hook import Hook

    hook = Hook.of(args.folder)
    if args.what == "install":
        hook.install(args.baseline)
        print(f"wrote {hook.path}")
    else:
        hook.remove()
        print(f"removed {hook.path}")
    return ExitCode.DONE
