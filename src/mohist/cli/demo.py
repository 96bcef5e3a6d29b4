"""`mohist demo`: watch an agent fix a bug in a sample repository."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mohist.cli.run import OUTPUTS, front, show

EPILOG = """\
Makes a small git repository with a bug in a temporary folder and lets the agent fix it: it reads, edits and runs
tests in the sandbox, and its change is checked in a clean copy. With a model configured that one is used; else the
model's answers come from a recorded run, and everything else is real.

examples:
  mohist demo
  mohist demo --model http://localhost:8000/v1"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--model", help="use this model instead of the configured one or the recording")
    parser.add_argument("--output", choices=OUTPUTS, default="text", help="what stdout gets (default: text)")
    parser.add_argument("--record", type=Path, metavar="PATH", help="also write a recording")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def main(args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.demo import play, prepare

    args.headless = True
    stage = anyio.run(prepare, args.model)
    print(stage.line, file=sys.stderr, flush=True)
    emit, approve, reply = front(args)
    result = anyio.run(play, stage, args.record, emit, approve, reply)
    show(result, args.output)
    if args.output == "text":
        print(f"look at it: git -C {stage.folder} diff")
    return result.exit_code
