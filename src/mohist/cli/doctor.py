"""`mohist doctor`: which guarantees hold on this machine, on one screen."""

from __future__ import annotations

import argparse
import json
import os
import sys

from mohist.base import ExitCode

EPILOG = """\
Starts the sandbox's probes, looks for a model and for git, and says what holds. Exit code 1 when something that a run
needs is missing.

example:
  mohist doctor --json | jq '.[] | select(.holds != "yes")'"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--json", action="store_true", help="one JSON array")


def main(args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.health import examine
    from mohist.terminal import Style, plain

    findings = anyio.run(examine, os.environ)
    if args.json:
        print(
            json.dumps(
                [{"area": f.area, "name": f.name, "holds": f.holds, "detail": f.detail} for f in findings], indent=2
            )
        )
    else:
        style = Style.of(sys.stdout, os.environ)
        marks = {"yes": style("green", "✓"), "weak": style("yellow", "~"), "no": style("red", "✗")}
        area = ""
        for finding in findings:
            if finding.area != area:
                area = finding.area
                print(style("bold", area))
            print(f"  {marks[finding.holds]} {finding.name}: {plain(finding.detail)}")
    return ExitCode.FAILED if any(f.holds == "no" and f.needed for f in findings) else ExitCode.DONE
