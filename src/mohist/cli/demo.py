"""`mohist demo`: watch an agent fix a bug in a sample repository."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode
from mohist.cli.run import OUTPUTS, front, show

if TYPE_CHECKING:
    from mohist.app.office import Office
    from mohist.delivery.state import Delivery

EPILOG = """\
Makes a small git repository with a bug in a temporary folder and lets the agent fix it: it reads, edits and runs
tests in the sandbox, and its change is checked in a clean copy. With a model configured that one is used; else the
model's answers come from a recorded run, and everything else is real.

examples:
  mohist demo
  mohist demo --deliver                 # requirement, spec, change, review, merge, release, and one that is taken back
  mohist demo --model http://localhost:8000/v1"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--deliver", action="store_true", help="two requirements, from words to a process that serves")
    parser.add_argument("--by-hand", action="store_true", help="with --deliver: you approve, not --yes")
    parser.add_argument("--model", help="use this model instead of the configured one or the recording")
    parser.add_argument("--output", choices=OUTPUTS, default="text", help="what stdout gets (default: text)")
    parser.add_argument("--record", type=Path, metavar="PATH", help="also write a recording")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def main(args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.demo import play, prepare

    if args.deliver:
        return _deliver(args)
    args.headless = True
    stage = anyio.run(prepare, args.model)
    print(stage.line, file=sys.stderr, flush=True)
    emit, approve, reply = front(args)
    result = anyio.run(play, stage, args.record, emit, approve, reply)
    show(result, args.output)
    if args.output == "text":
        print(f"look at it: git -C {stage.folder} diff")
    return result.exit_code


def _deliver(args: argparse.Namespace) -> int:
    import os

    import anyio

    from mohist.app import showcase
    from mohist.app.deliver import account_name
    from mohist.terminal.delivery import DeliveryProgress
    from mohist.terminal.style import Style

    scene = anyio.run(showcase.prepare, args.model)
    print(scene.line, file=sys.stderr, flush=True)
    progress = DeliveryProgress(sys.stderr, Style.of(sys.stderr, os.environ), quiet=args.quiet)
    agreed = _agreed if args.by_hand else None
    ends = []
    with showcase.staged(scene) as office:
        office.emit = progress.event
        try:
            for name in showcase.REQUIREMENTS:
                print(f"\n{showcase.REQUIREMENTS[name]}", file=sys.stderr)
                delivery = anyio.run(showcase.deliver, office, scene, name, account_name(), progress.notes, agreed)
                ends.append(delivery.status)
                says = anyio.run(showcase.ask_service, scene)
                print(f"{name}: {delivery.status}{': ' if delivery.detail else ''}{delivery.detail}")
                print(f"  the service at {scene.address} says: {says}")
                print(f"  report: {showcase.page(office, delivery)}", flush=True)
        finally:
            anyio.run(showcase.end, office, scene)
    print(f"look at it: git -C {scene.bare} log --stat")
    # The second one is meant to fail its health check, and to be taken back.
    return ExitCode.DONE if scene.model or ends == ["done", "failed"] else ExitCode.FAILED


def _agreed(office: Office, delivery: Delivery) -> bool:
    """Asks the person at the terminal about the open gates."""
    from mohist.app.deliver import account_name, decide
    from mohist.cli.deliver_verb import describe

    for line in describe(office, delivery):
        print(line, file=sys.stderr)
    if input("approve? [y/N] ").strip().lower() not in ("y", "yes"):
        return False
    decide(office, delivery.delivery_id, account_name(), "approve", "looked at it in the demo")
    return True
