"""The verbs of `mohist deliver` that act on one delivery."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.app.office import Office
    from mohist.delivery.state import Delivery, Facts, Move


def show(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.app.deliver import as_json
    from mohist.cli.deliver_view import describe, follow

    if args.follow or args.until_waiting:
        return follow(office, delivery, args)
    if args.json:
        print(json.dumps(as_json(office, delivery), indent=2))
    else:
        for line in describe(office, delivery):
            print(line)
    return ExitCode.DONE


def answer(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    given = {}
    for pair in args.answers:
        name, equals, text = pair.partition("=")
        if not equals:
            print(f"mohist: {pair!r} is not QUESTION=TEXT", file=sys.stderr)
            return ExitCode.USAGE
        given[name] = text
    return _decide(office, delivery, args, "answer", answers=given)


def approve(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    more = {
        "cost_microusd": args.more_cost_usd and args.more_cost_usd * 1e6,
        "tokens": args.more_tokens,
        "seconds": args.more_minutes and args.more_minutes * 60,
    }
    if any(value is not None and value <= 0 for value in more.values()):
        print("mohist: --more-… takes more than 0", file=sys.stderr)
        return ExitCode.USAGE
    answers = {name: str(round(value)) for name, value in more.items() if value}
    return _decide(office, delivery, args, "approve", args.because, answers, args.gate)


def reject(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    if not args.because.strip():
        print("mohist: say why: --because TEXT", file=sys.stderr)
        return ExitCode.USAGE
    answers = {"roll_back": "yes"} if args.roll_back else {}
    return _decide(office, delivery, args, "reject", args.because, answers, args.gate)


def delegate(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.delivery import deputy

    def transition(facts: Facts, gate_id: str, by: str, teams: tuple[str, ...]) -> Move:
        return deputy.delegate(facts, gate_id, by, teams, args.to, args.because)

    return _depute(office, delivery, args, transition)


def escalate(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.delivery import deputy

    def transition(facts: Facts, gate_id: str, by: str, teams: tuple[str, ...]) -> Move:
        return deputy.escalate(facts, gate_id, by, teams, args.because)

    return _depute(office, delivery, args, transition)


def _depute(
    office: Office,
    delivery: Delivery,
    args: argparse.Namespace,
    transition: Callable[[Facts, str, str, tuple[str, ...]], Move],
) -> int:
    from mohist.app.deliver import actor, deputed
    from mohist.delivery.consent import who_may
    from mohist.terminal.style import plain

    gate = deputed(office, delivery.delivery_id, actor(office, args.person), args.gate, transition)
    if not args.json:
        print(f"{plain(gate.subject)}: {plain(who_may(gate, delivery.requested_by))}", file=sys.stderr)
    return _said(office, office.book.get(delivery.delivery_id), args)


def comment(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.app.deliver import actor
    from mohist.delivery import order

    by = actor(office, args.person)
    return _said(
        office, office.book.move(delivery.delivery_id, lambda facts: order.comment(facts, by, args.text)), args
    )


def pause(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.app.deliver import actor, ordered
    from mohist.delivery import order

    return _said(office, ordered(office, delivery.delivery_id, order.pause, actor(office, args.person)), args)


def cancel(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.clearing import clear
    from mohist.app.deliver import actor, ordered
    from mohist.app.work import go_on
    from mohist.terminal.style import plain

    by = actor(office, args.person)
    delivery = ordered(office, delivery.delivery_id, order_cancel, by, args.because)
    if delivery.segment:
        # Whoever runs it ends it; where nobody does, this process settles it.
        delivery, _ = anyio.run(go_on, office, delivery.delivery_id, lambda *_: None)
    if delivery.segment:
        print("mohist: what runs has not ended yet; a worker clears it, or cancel it again", file=sys.stderr)
        return ExitCode.WAITING
    told = anyio.run(clear, office, delivery.delivery_id)
    words = {"taken back": told.done, "stays": told.left, "not taken back": told.stuck, "tried again later": told.later}
    for word, lines in words.items():
        for line in lines:
            print(f"mohist: {word}: {plain(line)}", file=sys.stderr)
    _said(office, office.book.get(delivery.delivery_id), args)
    return ExitCode.FAILED if told.stuck else ExitCode.WAITING if told.later else ExitCode.DONE


def order_cancel(*args: Any) -> Any:
    from mohist.delivery import order

    return order.cancel(*args)


def retry(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.app.deliver import actor, stage_of
    from mohist.delivery import order

    stage, by = stage_of(args.stage), actor(office, args.person)
    now_ms = office.clock.now_ms()
    after = office.book.move(delivery.delivery_id, lambda facts: order.retry(facts, stage, by, now_ms))
    return _said(office, after, args)


def take_over(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.deliver import actor, ordered, until_ended, worktree
    from mohist.delivery import order

    after = ordered(office, delivery.delivery_id, order.take_over, actor(office, args.person))
    if after.segment:
        after = anyio.run(until_ended, office, delivery.delivery_id, 15.0)
    folder = anyio.run(worktree, office, after)
    if args.json:
        print(json.dumps({"delivery_id": after.delivery_id, "folder": str(folder), "segment": after.segment}))
    else:
        print(folder)
        print(f"when you are through: mohist deliver hand-back {after.delivery_id}", file=sys.stderr)
    return ExitCode.DONE


def hand_back(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.deliver import actor
    from mohist.app.deliver import hand_back as give

    return _said(office, anyio.run(give, office, delivery, actor(office, args.person)), args)


def report(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.deliver import report as make
    from mohist.delivery.account import as_json
    from mohist.delivery.report import PAGE_FILE, markdown

    made, folder = anyio.run(make, office, delivery)
    if args.json:
        print(json.dumps(as_json(made), indent=2))
    elif args.markdown:
        print(markdown(made), end="")
    else:
        print(folder / PAGE_FILE)
    return ExitCode.DONE


def _decide(
    office: Office,
    delivery: Delivery,
    args: argparse.Namespace,
    verdict: str,
    because: str = "",
    answers: dict[str, str] | None = None,
    gate: str = "",
) -> int:
    from mohist.app.deliver import actor, decide
    from mohist.terminal.style import plain

    gates = decide(office, delivery.delivery_id, actor(office, args.person), verdict, because, answers, gate)
    if not args.json:
        for one in gates:
            print(f"{verdict}: {plain(one.subject)} is {one.status}", file=sys.stderr)
    return _said(office, office.book.get(delivery.delivery_id), args)


def _said(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    """What became of an order; the delivery itself goes on with a worker."""
    from mohist.app.deliver import as_json

    if args.json:
        print(json.dumps(as_json(office, delivery), indent=2))
        return ExitCode.DONE
    print(f"{delivery.delivery_id}  {delivery.status}" + (f": {delivery.detail}" if delivery.detail else ""))
    if delivery.segment and delivery.status == "working":
        print(f"  a worker goes on with it, or: mohist deliver resume {delivery.delivery_id}", file=sys.stderr)
    return ExitCode.DONE
