"""`mohist trust`: let a repository's own settings take effect."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from mohist.base import ExitCode, StatePaths, SystemClock

EPILOG = """\
A repository may bring .mohist/mohist.toml. What it tightens holds at once; what it sets (model, endpoints, checks)
waits until you trust it. Trust is for exactly what you see: when the file changes, it waits again.

examples:
  mohist trust            show what waits, and ask
  mohist trust --yes
  mohist trust --remove
  mohist trust --list"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--cwd", type=Path, default=Path(), metavar="DIR", help="the repository (default: this folder)")
    parser.add_argument("--yes", action="store_true", help="don't ask")
    parser.add_argument("--remove", action="store_true", help="trust it no longer")
    parser.add_argument("--list", action="store_true", help="what is trusted")


def main(args: argparse.Namespace) -> int:
    from mohist.app.config import load_config
    from mohist.app.trust import TrustStore
    from mohist.sandbox import find_repository
    from mohist.terminal import plain

    paths = StatePaths.from_env(os.environ)
    store = TrustStore(paths.home / "trust.json", SystemClock())
    if args.list:
        for entry in store.listed():
            print(entry.root)
        return ExitCode.DONE
    repository = find_repository(args.cwd)
    if repository is None:
        print(f"mohist: {str(args.cwd)!r} is not in a git repository.", file=sys.stderr)
        return ExitCode.USAGE
    if args.remove:
        print("removed" if store.untrust(repository.root) else "it was not trusted")
        return ExitCode.DONE
    config = load_config(env={}, paths=paths, project_root=repository.root, trust=store)
    project = config.project
    if project is None or not project.waiting:
        print("nothing waits for trust here")
        return ExitCode.DONE
    print(f"{repository.root} sets:")
    # From the values that the digest covers, not from the file: it may have changed since it was read.
    for row in (entry.as_json() for entry in config.explained if entry.key in project.waiting):
        for said in row["said"]:
            if said["layer"] == "project":
                print(plain(f"  {row['key']} = {json.dumps(said['value'], ensure_ascii=False)}"))
    if not args.yes:
        if not sys.stdin.isatty():
            print("mohist: nobody to ask; say --yes", file=sys.stderr)
            return ExitCode.REFUSED
        if input("trust exactly this? [y/N] ").strip().lower() not in ("y", "yes"):
            return ExitCode.REFUSED
    store.trust(repository.root, project.digest)
    print("trusted")
    return ExitCode.DONE
