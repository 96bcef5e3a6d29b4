"""How deliveries are shown: one on a screen, all in a table, and both as they change."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.app.office import Office
    from mohist.delivery.state import Delivery, Facts, Gate

LOOK_S: Final = 0.5
_LINE_CHARS: Final = 110
_CLEAR: Final = "\x1b[H\x1b[2J"


def describe(office: Office, delivery: Delivery) -> Iterator[str]:
    """A delivery for people, on one screen."""
    from mohist.app.deliver import open_gates
    from mohist.delivery.account import usd
    from mohist.delivery.machine import state_of
    from mohist.terminal.style import money, plain

    facts = office.book.facts(delivery.delivery_id)
    delivery = facts.delivery
    yield f"{delivery.delivery_id}  {delivery.status}" + (f": {plain(delivery.detail)}" if delivery.detail else "")
    yield f"  {clipped(delivery.requirement, _LINE_CHARS)}"
    yield f"  asked for by {plain(delivery.requested_by)} {age(office, delivery.created_at_ms)} ago"
    for stage, row in state_of(facts).items():
        if row.status != "pending" or row.attempt == delivery.attempt:
            yield f"  {stage:9} {row.status:8} {clipped(row.detail, _LINE_CHARS - 20)}".rstrip()
    yield f"  cost {usd(delivery.spent_microusd, delivery.unpriced)}, {delivery.spent_tokens} tokens"
    if delivery.held_microusd:
        yield f"  {money(delivery.held_microusd)} of the budget is taken by runs whose price is unknown"
    folder = office.desk(delivery.delivery_id)
    for name in ("spec.md", "plan.toml", "report.html"):
        if (folder / name).is_file():
            yield f"  {folder / name}"
    if delivery.merged:
        yield f"  merged into {plain(delivery.base_branch)}: {delivery.merged[:12]}"
    for release in facts.releases:
        yield f"  {release.environment}: {release.release_id} {release.status}: {clipped(release.detail, 100)}"
    for gate in open_gates(facts):
        yield from _gate(office, gate, delivery)
    yield from _onward(facts)


def clipped(text: str, most_chars: int) -> str:
    """A text on one line, of at most so many characters; what is cut off is seen to be."""
    from mohist.terminal.style import plain

    line = " ".join(plain(text).split())
    return line if len(line) <= most_chars else f"{line[: most_chars - 1].rstrip()}…"


def age(office: Office, at_ms: int) -> str:
    """How long ago that was: `40 s`, `12 min`, `3 h`, `5 d`."""
    seconds = max(0, office.clock.now_ms() - at_ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _gate(office: Office, gate: Gate, delivery: Delivery) -> Iterator[str]:
    from mohist.delivery.consent import who_may
    from mohist.terminal.style import plain

    since = age(office, gate.opened_at_ms)
    yield f"  waits for a person since {since}: {plain(gate.subject)}  [{gate.gate_id}]"
    risk = gate.facts.get("risk")
    if risk:
        yield f"    risk {risk}: {clipped('; '.join(map(str, gate.facts.get('reasons', ()))), _LINE_CHARS)}"
    yield f"    {plain(who_may(gate, delivery.requested_by))}"
    if gate.kind == "questions":
        for one in gate.facts.get("questions", ()):
            yield f"    {one['id']}: {plain(str(one['question']))}"
            yield f"        recommended: {plain(str(one.get('recommended') or 'nothing; you must say'))}"
        yield f'    mohist deliver answer {delivery.delivery_id} Q1="…", or without words: as recommended'
    else:
        yield f"    mohist deliver approve {delivery.delivery_id}, or reject {delivery.delivery_id} --because TEXT"


def _onward(facts: Facts) -> Iterator[str]:
    """What goes on with it where that is not a gate's decision."""
    from mohist.terminal.style import plain

    delivery = facts.delivery
    if delivery.taken_by:
        yield f"  {plain(delivery.taken_by)} works on it; then: mohist deliver hand-back {delivery.delivery_id}"
    elif delivery.status == "paused":
        yield f"  go on with: mohist deliver resume {delivery.delivery_id}"
    elif delivery.status == "failed" and not delivery.merged:
        yield f"  once it is mended: mohist deliver retry {delivery.delivery_id} {delivery.stage}"


def table(office: Office, rows: Sequence[Delivery], most_chars: int) -> Iterator[str]:
    """Deliveries, a line each."""
    from mohist.terminal.style import money

    for row in rows:
        cost = "unpriced" if row.unpriced and not row.spent_microusd else money(row.spent_microusd)
        cost += "+" if row.unpriced and row.spent_microusd else ""
        words = clipped(row.requirement, 60)
        if row.detail and row.status in ("waiting", "paused", "failed"):
            words = f"{clipped(row.requirement, 40)} · {clipped(row.detail, 60)}"
        since = age(office, row.updated_at_ms)
        yield clipped_line(
            f"{row.delivery_id}  {row.status:9} {row.stage:9} {since:>6} {cost:>10}  {words}", most_chars
        )


def clipped_line(line: str, most_chars: int) -> str:
    """A line that keeps its columns."""
    return line if len(line) <= most_chars else f"{line[: most_chars - 1]}…"


def listing(office: Office, args: argparse.Namespace) -> int:
    """`deliver list`; with `--follow` until somebody ends it."""
    from dataclasses import asdict

    before = ""
    while True:
        rows = office.book.list(args.status)
        if args.json:
            shown = json.dumps([asdict(row) for row in rows], indent=None if args.follow else 2)
        else:
            shown = _page(office, rows, args.status)
        if shown != before:
            # A screen is drawn anew; into a file or a pipe goes each state after the other.
            clear = _CLEAR if args.follow and sys.stdout.isatty() and not args.json else ""
            print(clear + shown, flush=True)
        if not args.follow:
            return ExitCode.DONE
        before = shown
        time.sleep(LOOK_S)


def _page(office: Office, rows: Sequence[Delivery], status: str) -> str:
    if not rows:
        return f"no deliveries are {status}" if status else 'no deliveries yet: mohist deliver "REQUIREMENT"'
    most_chars = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    return "\n".join(table(office, rows, most_chars))


def follow(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    """`deliver show --follow`: what happened and what happens, until it is over; or, if asked, until a person is next."""
    from dataclasses import asdict

    from mohist.app.deliver import exit_code, open_gates
    from mohist.app.work import stands
    from mohist.delivery.machine import OVER
    from mohist.terminal.delivery import DeliveryProgress
    from mohist.terminal.style import Style

    progress = DeliveryProgress(sys.stdout, Style.of(sys.stdout, os.environ), timed=True)
    after, told = 0, -1
    while True:
        delivery = office.book.get(delivery.delivery_id)
        notes = office.book.notes(delivery.delivery_id, after)
        after = notes[-1].number if notes else after
        if args.json:
            for note in notes:
                print(json.dumps(asdict(note)), flush=True)
        else:
            progress.notes(delivery, notes)
        if stands(delivery) and not notes:
            facts = office.book.facts(delivery.delivery_id)
            gates = open_gates(facts)
            asked = bool(gates) or delivery.status == "paused"
            if delivery.status in OVER or (asked and args.until_waiting):
                return exit_code(facts)
            if asked and not args.json and told != delivery.revision:
                told = delivery.revision
                for gate in gates:
                    print("\n".join(_gate(office, gate, delivery)), flush=True)
                print("\n".join(_onward(facts)) or "  watching; Ctrl-C leaves", flush=True)
        time.sleep(LOOK_S)
