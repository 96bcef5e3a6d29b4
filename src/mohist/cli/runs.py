"""`mohist runs`: what runs there were, and what to do with one."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode, RandomIds, StatePaths, SystemClock
from mohist.cli.run import add_common, flags, front, show

if TYPE_CHECKING:
    from mohist.agent.log import Entry

EPILOG = """\
RUN is an id, the end of one, or `last`.

examples:
  mohist runs list
  mohist runs show last
  mohist runs resume last "now add a test for it"
  mohist runs undo last
  mohist runs export last > run.jsonl"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="all runs, newest last")
    listing.add_argument("--json", action="store_true", help="one JSON array")
    listing.add_argument("-n", type=int, default=20, metavar="N", help="only the newest N (default: 20, 0: all)")
    showing = verbs.add_parser("show", help="what a run did, step by step")
    showing.add_argument("run", metavar="RUN")
    showing.add_argument("--json", action="store_true", help="its records as a JSON array")
    resuming = verbs.add_parser("resume", help="go on with a run")
    resuming.add_argument("run", metavar="RUN")
    resuming.add_argument("task", nargs="?", default="", help="more words for the agent")
    add_common(resuming)
    undoing = verbs.add_parser("undo", help="take back what a run changed, where the file is still what it wrote")
    undoing.add_argument("run", metavar="RUN")
    undoing.add_argument("--json", action="store_true", help="what was restored and what was kept")
    exporting = verbs.add_parser("export", help="the whole log, one JSON object a line")
    exporting.add_argument("run", metavar="RUN")


def main(args: argparse.Namespace) -> int:
    paths = StatePaths.from_env(os.environ)
    match args.verb:
        case "list":
            return _list(paths, args)
        case "show":
            return _show(paths, args)
        case "resume":
            return _resume(args)
        case "undo":
            return _undo(paths, args)
        case _:
            return _export(paths, args)


def _list(paths: StatePaths, args: argparse.Namespace) -> int:
    from mohist.agent.errors import LogError
    from mohist.agent.log import read_log
    from mohist.agent.record import Header
    from mohist.app.connect import run_names

    rows: list[dict[str, Any]] = []
    for name in run_names(paths)[-args.n :]:
        try:
            entries = read_log(paths.runs / name)
        except LogError as error:
            rows.append({"run_id": name, "status": "unreadable", "task": error.what})
            continue
        if entries and isinstance(entries[0].record, Header):
            rows.append(_row(entries))
    if args.json:
        print(json.dumps(rows, indent=2))
        return ExitCode.DONE
    if not rows:
        print('no runs yet: mohist run "TASK", or mohist demo')
    for row in rows:
        from mohist.terminal import plain
        from mohist.terminal.style import money

        task = " ".join(plain(row["task"]).split())
        cost = money(row["cost_microusd"]) if "cost_microusd" in row else ""
        print(f"{row['run_id']}  {row.get('started_at', ''):16}  {row['status']:9}  {cost:>13}  {task[:60]}")
    return ExitCode.DONE


def _row(entries: list[Entry]) -> dict[str, Any]:
    from mohist.agent.loop import totals
    from mohist.agent.record import Header

    header = entries[0].record
    assert isinstance(header, Header)
    records = [entry.record for entry in entries]
    sums = totals(records)
    return {
        "run_id": header.run_id,
        "started_at": datetime.fromtimestamp(entries[0].at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
        "status": _status(records),
        "task": header.task,
        "model": header.model,
        "workspace": header.workspace,
        "turns": sums.turns,
        "prompt_tokens": sums.usage.prompt_tokens,
        "output_tokens": sums.usage.output_tokens,
        "cost_microusd": sums.cost_microusd,
    }


def _status(records: list[Any]) -> str:
    """How it ended; `open` where it did not, or where somebody went on with it since."""
    from mohist.agent.record import Ended, Undone

    for record in reversed(records):
        if isinstance(record, Ended):
            return record.status
        if not isinstance(record, Undone):
            break
    return "open"


def _show(paths: StatePaths, args: argparse.Namespace) -> int:
    from mohist.agent.log import read_log
    from mohist.agent.record import to_json
    from mohist.app.connect import find_run
    from mohist.app.story import tell

    entries = read_log(find_run(paths, args.run))
    if not entries:
        print("mohist: this run was stopped before its first record", file=sys.stderr)
    if args.json:
        print(json.dumps([{"seq": e.seq, "at_ms": e.at_ms, **to_json(e.record)} for e in entries], indent=1))
        return ExitCode.DONE
    from mohist.terminal import plain

    for line in tell(entries):
        print(plain(line))
    if line := _evidence(paths, args):
        print(plain(line))
    return ExitCode.DONE


def _evidence(paths: StatePaths, args: argparse.Namespace) -> str:
    """Where the run stands in the ledger; empty: nothing of it was entered."""
    from mohist.app.connect import find_run
    from mohist.app.database import owner_config
    from mohist.app.ledger import LedgerHome
    from mohist.app.stretch import stretch
    from mohist.base import MohistError

    home = LedgerHome(paths.home / "ledger", owner_config(os.environ).ledger, os.environ)
    try:
        found = stretch(home, f"run:{find_run(paths, args.run).name}")
    except MohistError as error:
        return f"ledger: {error.what}"
    return str(found) if found else ""


def _resume(args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.launch import Launch, launch

    emit, approve, reply = front(args)
    request = Launch(args.task, args.cwd, args.model, flags(args), record=args.record, resume=args.run)
    result = anyio.run(launch, request, emit, approve, reply)
    show(result, args.output)
    return result.exit_code


def _undo(paths: StatePaths, args: argparse.Namespace) -> int:
    import anyio

    from mohist.agent.log import read_log
    from mohist.agent.record import Header, Undone
    from mohist.app.connect import find_run
    from mohist.app.takeback import take_back

    folder = find_run(paths, args.run)
    records = [entry.record for entry in read_log(folder)]
    before = any(isinstance(record, Undone) for record in records)
    root = Path(next((record.workspace for record in records if isinstance(record, Header)), "/"))
    clock = SystemClock()
    undone = anyio.run(take_back, folder, paths, clock, RandomIds(clock))
    if args.json:
        print(json.dumps({"restored": undone.restored, "kept": undone.kept}, indent=2))
    else:
        for path in undone.restored:
            print(f"restored  {Path(path).relative_to(root)}")
        for path in undone.kept:
            print(f"kept      {path}  (changed since the run wrote it, or too large to have been saved)")
        if not undone.restored and not undone.kept:
            print("nothing is left to take back" if before else "the run changed nothing")
    return ExitCode.FAILED if undone.kept else ExitCode.DONE


def _export(paths: StatePaths, args: argparse.Namespace) -> int:
    from mohist.app.connect import find_run

    data = (find_run(paths, args.run) / "log.jsonl").read_bytes()
    sys.stdout.buffer.write(data[: data.rfind(b"\n") + 1])
    sys.stdout.buffer.flush()
    return ExitCode.DONE
