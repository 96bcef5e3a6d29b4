"""`mohist deliver`: from a requirement to a deployed change."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.app.office import Office
    from mohist.delivery.state import Delivery

VERBS = {
    "start": 'begin a delivery (what `mohist deliver "REQUIREMENT"` does)',
    "list": "deliveries, newest last",
    "show": "where one is, and what it waits for",
    "answer": "answer its questions",
    "approve": "let it go on",
    "reject": "send it back, and say why",
    "comment": "tell whoever works on it next",
    "delegate": "let another decide in your place",
    "escalate": "let those whom the rules name for it decide, too",
    "pause": "begin nothing new until it is resumed",
    "resume": "go on with it here, in the foreground",
    "cancel": "end it for good, and leave nothing behind",
    "retry": "do a stage and all after it again",
    "take-over": "work in its worktree yourself",
    "hand-back": "give your work to it",
    "report": "what was asked, done, proved, decided and paid",
    "work": "run whatever is to be done, until Ctrl-C",
    "triggers": "schedules, webhooks and folders that begin deliveries: when next, and what last",
}
RECENT = 5
"""Notes that `resume` tells again, to say where it stands."""
STATUSES = ("working", "waiting", "paused", "done", "failed", "cancelled")
EPILOG = """\
examples:
  mohist deliver "orders above 100 EUR ship free"
  mohist deliver --file requirement.md --yes --max-cost-usd 5
  mohist deliver list
  mohist deliver show last --follow
  mohist deliver answer last Q1="per customer"
  mohist deliver approve last
  mohist deliver reject last --because "the limit must be configurable"
  mohist deliver resume last
  mohist deliver report last --markdown
  mohist deliver work
  mohist deliver triggers

ID is an id, a beginning of one, or `last`. Every verb takes --json. A requirement that is one of the verbs' words is begun
with `mohist deliver start WORD`.

exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused, 4 budget spent, 5 no model reachable, 6 waiting for a person,
130 cancelled"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.usage = 'mohist deliver [OPTIONS] "REQUIREMENT" | mohist deliver VERB …'
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog="mohist deliver")
    made = {name: verbs.add_parser(name, help=text) for name, text in VERBS.items()}
    _declare_start(made["start"])
    for name in ("delegate", "escalate"):
        made[name].add_argument("id", metavar="ID")
        made[name].add_argument("--gate", default="", metavar="GATE", help="which one (its number, kind or id)")
        made[name].add_argument("--because", default="", metavar="TEXT", help="the reason")
    made["delegate"].add_argument("--to", required=True, metavar="USER", help="who; yourself: take it back")
    made["approve"].add_argument(
        "--more-cost-usd", type=float, metavar="USD", help="at a budget: so much more, not as much again"
    )
    made["approve"].add_argument("--more-tokens", type=int, metavar="N", help="the same, in tokens")
    made["approve"].add_argument("--more-minutes", type=float, metavar="N", help="the same, in minutes of work")
    for name in ("show", "answer", "approve", "reject", "comment", "pause", "resume", "cancel", "retry", "take-over"):
        made[name].add_argument("id", metavar="ID")
    for name in ("hand-back", "report"):
        made[name].add_argument("id", metavar="ID")
    made["list"].add_argument("--status", default="", choices=STATUSES, metavar="STATUS", help=", ".join(STATUSES))
    made["list"].add_argument("--follow", action="store_true", help="stay, and show it as it changes")
    made["show"].add_argument("--follow", action="store_true", help="stay until it is over, and show what happens")
    made["show"].add_argument(
        "--until-waiting", action="store_true", help="the same, and end where a person is next (exit code 6)"
    )
    made["answer"].add_argument("answers", nargs="*", metavar="QUESTION=TEXT", help="none: as recommended")
    made["comment"].add_argument("text", help="what to heed")
    made["retry"].add_argument("stage", metavar="STAGE")
    for name in ("approve", "reject"):
        made[name].add_argument("--gate", default="", metavar="GATE", help="only this one (its number, kind or id)")
        made[name].add_argument("--because", default="", metavar="TEXT", required=name == "reject", help="the reason")
    made["reject"].add_argument(
        "--roll-back", action="store_true", help="at a deploy: also take back what serves already"
    )
    made["cancel"].add_argument("--because", default="", metavar="TEXT", help="the reason")
    made["report"].add_argument("--markdown", action="store_true", help="the report itself on stdout")
    for name, sub in made.items():
        sub.add_argument("--json", action="store_true", help="one JSON value on stdout")
        if name not in ("list", "show", "report", "work", "triggers"):
            sub.add_argument(
                "--as", dest="person", metavar="USER", help="who acts, where the database is your own file"
            )
        if name in ("start", "resume"):
            sub.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    parse = parser.parse_known_args

    def with_verb(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        words = list(args or ())
        if len(words) > 1 and not words[1].startswith("-"):
            # Two words without quotes are no requirement, but may be a verb that is misspelt.
            near = difflib.get_close_matches(words[0], VERBS, n=1, cutoff=0.6)
            if near and near[0] != words[0]:
                parser.error(f"there is no verb {words[0]!r}; did you mean {near[0]!r}? A requirement goes in quotes.")
        if not words or (words[0] not in VERBS and words[0] not in ("-h", "--help")):
            words.insert(0, "start")
        return parse(words, namespace)

    # A requirement needs no verb before it.
    parser.parse_known_args = with_verb  # type: ignore[method-assign, assignment]


def _declare_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("requirement", nargs="?", default="", help="what is to change; - reads it from standard input")
    parser.add_argument("--file", type=Path, metavar="FILE", help="read it from a file")
    parser.add_argument("--cwd", type=Path, default=Path(), metavar="DIR", help="the repository (default: this folder)")
    parser.add_argument("--base", default="", metavar="BRANCH", help="branch it is for (default: the one checked out)")
    parser.add_argument(
        "--remote", metavar="URL", help="where that branch lives: ssh://…, or a bare repository's path (default: here)"
    )
    parser.add_argument("--yes", action="store_true", help="recommended answers, and your own approval where it counts")
    parser.add_argument(
        "--candidates", type=int, default=1, metavar="N", help="independent attempts a task; the best is kept"
    )
    parser.add_argument(
        "--short", action=argparse.BooleanOptionalAction, help="the short way, or never (default: by size)"
    )
    parser.add_argument("--model", help="for all its runs; as in `mohist run`")
    parser.add_argument("--reviewer-model", metavar="MODEL", help="another one for the reviewer")
    parser.add_argument("--max-cost-usd", type=float, metavar="USD")
    parser.add_argument("--max-tokens", type=int, metavar="N")
    parser.add_argument("--max-minutes", type=float, metavar="N", help="of work; waiting for people counts nothing")
    parser.add_argument("--environment", action="append", metavar="E", help="deploy only there; repeatable")
    parser.add_argument("--no-deploy", action="store_true", help="stop after the merge")
    parser.add_argument("--detach", action="store_true", help="only record it; a worker (`deliver work`) runs it")


def main(args: argparse.Namespace) -> int:
    import os

    from mohist.app.office import Office
    from mohist.cli import deliver_verb

    office = Office(os.environ)
    try:
        if args.verb == "start":
            return _start(office, args)
        if args.verb == "list":
            from mohist.cli.deliver_view import listing

            return listing(office, args)
        if args.verb == "work":
            return _work(office)
        if args.verb == "triggers":
            from mohist.cli.deliver_trigger import triggers

            return triggers(office, args)
        delivery = office.book.get(args.id)
        if args.verb == "resume":
            return _resume(office, delivery, args)
        verb = getattr(deliver_verb, args.verb.replace("-", "_"))
        code: int = verb(office, delivery, args)
        return code
    finally:
        office.close()


def _start(office: Office, args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.deliver import Asked, actor, begin, read_file
    from mohist.delivery.state import Bound

    text, source = args.requirement, "text"
    if args.file is not None:
        if text:
            print("mohist: give either a requirement or --file", file=sys.stderr)
            return ExitCode.USAGE
        text, source = read_file(args.file), str(args.file)
    elif text == "-":
        text = sys.stdin.read()
    if args.candidates < 1:
        print("mohist: --candidates takes 1 or more", file=sys.stderr)
        return ExitCode.USAGE
    bound = Bound(
        None if args.max_cost_usd is None else round(args.max_cost_usd * 1e6),
        args.max_tokens,
        None if args.max_minutes is None else round(args.max_minutes * 60),
    )
    named: dict[str, Any] = {
        "yes": args.yes,
        "candidates": args.candidates,
        "short": args.short,
        "model": args.model,
        "reviewer_model": args.reviewer_model,
        "remote": args.remote and str(Path(args.remote).absolute() if "://" not in args.remote else args.remote),
        "environments": args.environment,
        "no_deploy": args.no_deploy,
    }
    options = {name: value for name, value in named.items() if value not in (None, False) or name == "short"}
    if options["short"] is None:
        del options["short"]
    asked = Asked(text, source, args.cwd, args.base, bound, options)
    delivery, remarks = anyio.run(begin, office, asked, actor(office, args.person))
    for remark in remarks:
        print(f"  {remark}", file=sys.stderr)
    if args.detach:
        return _tell(office, delivery, args)
    return _go_on(office, delivery, args)


def _resume(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.app.deliver import actor, ordered
    from mohist.app.work import press_on
    from mohist.delivery import order

    if delivery.status == "paused":
        delivery = ordered(office, delivery.delivery_id, order.resume, actor(office, args.person))
    elif not delivery.segment:
        delivery = press_on(office, delivery.delivery_id)
    # What happened long before is no news; `show --follow` tells it.
    notes = office.book.notes(delivery.delivery_id)
    return _go_on(office, delivery, args, max(0, notes[-1].number - RECENT) if notes else 0)


def _go_on(office: Office, delivery: Delivery, args: argparse.Namespace, after: int = 0) -> int:
    import os

    import anyio

    from mohist.app.work import go_on
    from mohist.terminal.delivery import DeliveryProgress
    from mohist.terminal.style import Style

    progress = DeliveryProgress(sys.stderr, Style.of(sys.stderr, os.environ), quiet=args.quiet)
    progress.begin(delivery)
    office.emit = progress.event
    delivery, stood = anyio.run(go_on, office, delivery.delivery_id, progress.notes, after)
    if not stood:
        print(f"stopped; go on with: mohist deliver resume {delivery.delivery_id}", file=sys.stderr)
        return ExitCode.CANCELLED
    return _tell(office, delivery, args)


def _tell(office: Office, delivery: Delivery, args: argparse.Namespace) -> int:
    from mohist.app.deliver import as_json, exit_code
    from mohist.cli.deliver_view import describe

    if args.json:
        print(json.dumps(as_json(office, delivery), indent=2))
    else:
        for line in describe(office, delivery):
            print(line)
    if delivery.status == "working":
        return ExitCode.DONE
    return exit_code(office.book.facts(delivery.delivery_id))


def _work(office: Office) -> int:
    import anyio

    from mohist.app.trigger import work_with_triggers

    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    anyio.run(work_with_triggers, office, told)
    return ExitCode.DONE
