"""`mohist demo`: watch a service being changed, deployed and rolled back; or one agent that fixes a bug."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode
from mohist.cli.run import OUTPUTS, front, show

if TYPE_CHECKING:
    from mohist.app.office import Office
    from mohist.app.tour import Chapter, Site
    from mohist.delivery.state import Delivery, Note

EPILOG = """\
Makes a small service with a bare git repository in a temporary folder and delivers two requirements for it: spec, plan,
change, checks in a clean copy, review, merge, and a release as a process on 127.0.0.1. The second release does not come up
healthy and is taken back, while somebody goes on using the service. On a terminal you are asked for each approval.
With --run one agent fixes a bug in a sample repository instead.

With a model configured that one is used; else the model's answers come from recorded runs, and everything else is real.

examples:
  mohist demo
  mohist demo --yes
  mohist demo --run
  mohist demo --model http://localhost:8000/v1"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--run", action="store_true", help="only one run of the agent, which fixes a bug")
    parser.add_argument("--yes", action="store_true", help="approve what you may approve; so it is without a terminal")
    parser.add_argument("--model", help="use this model instead of the configured one or the recording")
    parser.add_argument(
        "--output", choices=OUTPUTS, default="text", help="what stdout gets, with --run (default: text)"
    )
    parser.add_argument("--record", type=Path, metavar="PATH", help="also write a recording, with --run")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def main(args: argparse.Namespace) -> int:
    if args.run:
        return _run(args)
    if args.record or args.output != "text":
        print("mohist: --record and --output belong to: mohist demo --run", file=sys.stderr)
        return ExitCode.USAGE
    return _deliver(args)


def _run(args: argparse.Namespace) -> int:
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


def _deliver(args: argparse.Namespace) -> int:
    import os

    import anyio

    from mohist.app import tour
    from mohist.app.office import Office
    from mohist.app.prober import Prober

    began_s = time.monotonic()
    office = Office(os.environ)
    try:
        site = anyio.run(tour.prepare, office, args.model)
        print(site.line, file=sys.stderr, flush=True)
        first, second = tour.CHAPTERS
        try:
            done = _chapter(office, site, first, args)
            if done is None or done.status != "done":
                return _unlike(office, done)
            _tell(f"it serves at http://127.0.0.1:{site.port}{tour.PRICE}; somebody uses it from now on")
            with Prober(site.port, tour.PRICE) as prober:
                sick = _chapter(office, site, second, args)
            if sick is None:
                return ExitCode.CANCELLED
            _last(office, sick)
            _tell(
                f"{prober.asked} requests of users meanwhile, {prober.failed} failed"
                + (f" ({prober.trouble})" if prober.trouble else "")
            )
        finally:
            _cancel(office, site)
            anyio.run(tour.close, office, site)
        for delivery in (done, sick):
            _tell(f"report: {office.desk(delivery.delivery_id) / 'report.html'}")
        _tell(f"what was merged: git -C {site.remote} log -p main")
        holds = _evidence(office, site)
        _tell(f"the service has been stopped; {time.monotonic() - began_s:.0f} s")
        return ExitCode.DONE if holds and not prober.failed else ExitCode.FAILED
    finally:
        office.close()


def _evidence(office: Office, site: Site) -> bool:
    """Hands the evidence out as to an auditor, and verifies it as one would; whether it holds."""
    from mohist.app.ledger import LedgerHome, export_all
    from mohist.ledger.verify import verify

    evidence = office.evidence
    if evidence is None:
        _tell("the ledger is switched off (ledger.on), so nothing of this can be proved")
        return True
    home = LedgerHome(office.paths.home / "ledger", evidence.settings, office.env)
    folder = site.room / "evidence"
    size, key = export_all(home, folder)
    verdict = verify(folder, key)
    if not verdict.holds:
        _tell(f"the evidence does not hold: {verdict.step}: {verdict.where}: {verdict.why}")
        return False
    _tell(f"evidence: {size} entries in {folder}, verified: {', '.join(verdict.steps)}")
    _tell(f"change an entry, a tile or the checkpoint in it, then: mohist ledger verify {folder} --key '{key}'")
    return True


def _chapter(office: Office, site: Site, chapter: Chapter, args: argparse.Namespace) -> Delivery | None:
    """The delivery as it ended; None: a signal, or a person at a gate, stopped it."""
    import os

    import anyio

    from mohist.app.deliver import account_name, decide, open_gates
    from mohist.app.tour import open_chapter
    from mohist.app.work import go_on
    from mohist.event import CheckFinished, Event, ToolFinished, ToolStarted
    from mohist.terminal.delivery import DeliveryProgress
    from mohist.terminal.style import Style

    by_hand = not args.yes and sys.stdin.isatty() and sys.stderr.isatty()
    by = account_name()
    progress = DeliveryProgress(sys.stderr, Style.of(sys.stderr, os.environ), quiet=args.quiet)
    last = 0

    def watch(delivery: Delivery, notes: Sequence[Note]) -> None:
        nonlocal last
        last = notes[-1].number if notes else last
        progress.notes(delivery, notes)

    async def begun() -> Delivery:
        return await open_chapter(office, site, chapter, by, yes=not by_hand)

    delivery = anyio.run(begun)

    def emit(event: Event) -> None:
        # Which recording a run plays, and that it costs nothing, is told once for all.
        if site.model is not None or isinstance(event, (ToolStarted, ToolFinished, CheckFinished)):
            progress.event(event)

    office.emit = emit
    progress.begin(delivery)
    while True:
        delivery, stood = anyio.run(go_on, office, delivery.delivery_id, watch, last)
        gates = open_gates(office.book.facts(delivery.delivery_id))
        if not stood or (gates and not by_hand):
            return None if not stood else delivery
        if not gates:
            return delivery
        for gate in gates:
            if not _asked(f"approve {gate.subject}? See {office.desk(delivery.delivery_id)} [y/N] "):
                _tell(f"{gate.subject} is not approved: the demo ends here")
                return None
            decide(office, delivery.delivery_id, by, "approve", gate_id=gate.gate_id)


def _cancel(office: Office, site: Site) -> None:
    """Ends what was stopped on the way: nobody goes on with a delivery whose service is gone."""
    import anyio

    from mohist.app.clearing import clear
    from mohist.app.deliver import account_name, ordered
    from mohist.app.work import go_on
    from mohist.delivery import order
    from mohist.delivery.machine import OVER

    by = account_name()
    for row in office.book.list():
        if row.repository != str(site.folder) or row.status in OVER:
            continue
        delivery = ordered(office, row.delivery_id, order.cancel, by, "the demo was ended")
        if delivery.segment:
            delivery, _ = anyio.run(go_on, office, row.delivery_id, lambda *_: None)
        anyio.run(clear, office, row.delivery_id)


def _asked(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _last(office: Office, delivery: Delivery) -> None:
    """How the second delivery ended."""
    release = next(iter(office.book.releases(delivery.delivery_id)), None)
    if release is None:
        _tell(f"nothing was deployed: the delivery is {delivery.status}: {delivery.detail}")
    elif release.status == "committed":
        _tell("this release came up healthy: there was nothing to roll back")
    else:
        _tell(f"release {release.release_id} is {release.status}: {release.detail}")


def _unlike(office: Office, delivery: Delivery | None) -> int:
    """The first delivery did not get as far as its release."""
    if delivery is None:
        return ExitCode.CANCELLED
    from mohist.app.deliver import exit_code

    _tell(f"it is {delivery.status}: {delivery.detail}; see mohist deliver show {delivery.delivery_id}")
    return exit_code(office.book.facts(delivery.delivery_id))


def _tell(text: str) -> None:
    from mohist.terminal.style import plain

    print(f"◆ {plain(text)}", flush=True)
