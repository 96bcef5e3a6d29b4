"""`mohist config`: the settings and where each comes from."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from mohist.base import ExitCode, StatePaths, SystemClock

EPILOG = """\
Managed file > flags > environment > project > user > defaults. A project can only tighten what concerns security.

examples:
  mohist config show
  mohist config explain mode"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, text in (("show", "each setting with its value"), ("explain", "who said what of each setting")):
        sub = verbs.add_parser(verb, help=text)
        sub.add_argument("key", nargs="?", default="", help="only this setting, or those under it")
        sub.add_argument("--json", action="store_true", help="one JSON array")


def main(args: argparse.Namespace) -> int:
    from mohist.app.config import load_config
    from mohist.app.trust import TrustStore
    from mohist.sandbox import find_repository

    paths = StatePaths.from_env(os.environ)
    store = TrustStore(paths.home / "trust.json", SystemClock())
    repository = find_repository(Path.cwd())
    config = load_config(env=os.environ, paths=paths, project_root=repository.root if repository else None, trust=store)
    rows = [
        entry.as_json()
        for entry in config.explained
        if not args.key or entry.key == args.key or entry.key.startswith(args.key + ".")
    ]
    if not rows:
        from mohist.app.errors import ConfigError
        from mohist.provider.resolution import nearest

        near = nearest(args.key, [entry.key for entry in config.explained], 1)
        raise ConfigError(f"There is no setting {args.key!r}.", f"Did you mean {near[0]!r}?" if near else "")
    if args.json:
        print(json.dumps(rows, indent=2))
        return ExitCode.DONE
    for row in rows:
        origin = row["layer"] + (f" {row['source']}" if row["source"] else "")
        print(f"{row['key']} = {json.dumps(row['value'])}  ({origin})")
        if args.verb == "explain":
            for said in row["said"]:
                where = said["layer"] + (f" {said['source']}" if said["source"] else "")
                print(f"    {where}: {json.dumps(said['value'])} — {said['fate']}")
    return ExitCode.DONE
