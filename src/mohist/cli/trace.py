"""`mohist trace`: which run wrote a line, on whose word, and who let it pass."""

# ruff: noqa: ASYNC240 - a look at a few paths, and nothing else goes on
from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from mohist.base import ExitCode, StatePaths
from mohist.cli.progress import Progress

if TYPE_CHECKING:
    from mohist.app.inquiry import Inquiry, Why
    from mohist.report import Traced
    from mohist.report.share import Group

EPILOG = """\
Lines are found again after rebase, squash, cherry-pick, amend, merge and formatting: by the file's exact content, else by the
lines' own hashes. What can't be decided is "unknown"; nothing is ever said to be a person's.

examples:
  mohist trace src/app.py:42        the run, the prompt and the approvals behind a line
  mohist trace src/app.py           every line of a file
  mohist trace HEAD~3               what a commit brought in
  mohist trace --summary            how much of this repository runs wrote, by model, and how much of it is still there

  mohist trace map main..HEAD       enters which runs those commits come from; for a hook that runs on push

  mohist trace notes                writes what is known into refs/notes/ai (Git AI 3.0.0) and refs/notes/agent-trace
  mohist trace attest HEAD          a signed in-toto statement about a commit (DSSE); its digest goes into the ledger
  mohist trace bom v1.2..v1.3       the models, prompts and runs behind a release, as CycloneDX
  mohist trace provenance dlv-01…   SLSA provenance of what a delivery built, an envelope a line
  mohist trace verify FILE          whether such a statement is signed, and its digest in the ledger; a delivery's own
                                    stand in deliveries/ID/statements/ of the state folder

Without A..B, `map` takes the newest commits that are in no map yet. A file that is called like one of these words: ./map

exit codes: 0 done, 1 a statement does not hold, 2 no such file, line or commit."""

_LINE = re.compile(r"(?P<path>.+):(?P<first>[1-9]\d*)(?:-(?P<last>[1-9]\d*))?")
VERBS = ("map", "notes", "attest", "bom", "provenance", "verify")
PROMPT_LINES = 8
FILES_SHOWN = 20


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("what", nargs="?", metavar="FILE[:LINE[-LINE]]|COMMIT|VERB", help="what is asked about")
    parser.add_argument(
        "range",
        nargs="?",
        default="",
        metavar="A..B|DELIVERY|FILE",
        help="for a verb: which commits, whose artefact, what statement",
    )
    parser.add_argument("--summary", action="store_true", help="of the whole repository, as it is in HEAD")
    parser.add_argument(
        "--people", action="store_true", help="with --summary: by person as well, where ledger.people_statistics is on"
    )
    parser.add_argument("--at", metavar="COMMIT", help="the file as it was then (default: as it is now)")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="for verify: who is believed, as PEM (default: this ledger's own)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON value")


def main(args: argparse.Namespace) -> int:
    if bool(args.what) == args.summary:
        print("mohist: Name a file, a line or a commit, or say --summary.", file=sys.stderr)
        return ExitCode.USAGE
    if args.what in VERBS:
        from mohist.cli import trace_verb

        return anyio.run(trace_verb.main, args.what, args)
    if args.range:
        print(f"mohist: {args.range!r} goes with {', '.join(VERBS)} only.", file=sys.stderr)
        return ExitCode.USAGE
    return anyio.run(_main, args)


async def _main(args: argparse.Namespace) -> int:
    from mohist.app.database import owner_config
    from mohist.app.inquiry import inquiry
    from mohist.app.ledger import LedgerHome

    settings = owner_config(os.environ).ledger
    if args.people and not settings.people_statistics:
        print("mohist: Lines are not counted by person here.", file=sys.stderr)
        print("  Who may decide that can set ledger.people_statistics = true.", file=sys.stderr)
        return ExitCode.USAGE
    home = LedgerHome(StatePaths.from_env(os.environ).home / "ledger", settings, os.environ)
    async with inquiry(home, Path.cwd(), Progress("entries read")) as asked:
        if args.summary:
            return await _summary(asked, as_json=args.json, people=args.people)
        place = _LINE.fullmatch(args.what)
        path = Path(place["path"] if place and not Path(args.what).exists() else args.what)
        if path.is_file() or args.at:
            found = await asked.file(path if path.is_absolute() or path.exists() else str(path), args.at)
            if place and path == Path(place["path"]):
                first, last = int(place["first"]), int(place["last"] or place["first"])
                if first > len(found):
                    print(f"mohist: {path} has {len(found)} lines.", file=sys.stderr)
                    return ExitCode.USAGE
                return _lines(asked, found[first - 1 : last], as_json=args.json)
            return _file(found, as_json=args.json)
        mapped = await asked.commit(args.what)
        return _commit(mapped.change.commit, mapped.lines, as_json=args.json)


def _value(one: Traced) -> dict[str, Any]:
    write, origin = one.write, one.origin
    value: dict[str, Any] = {
        "line": origin.number,
        "text": origin.text,
        "commit": origin.commit,
        "method": one.method,
        "run": write.run if write else None,
    }
    if write is not None:
        value |= {
            "model": write.model,
            "tool": write.tool,
            "delivery": write.delivery or None,
            "entry": write.entry,
            "prompt_entry": write.prompt,
            "written_at": _moment(write.at_us),
        }
    return value


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _lines(asked: Inquiry, found: Sequence[Traced], *, as_json: bool) -> int:
    from mohist.terminal import plain

    known: dict[int, Why] = {}
    for one in found:
        if one.write is not None:
            known.setdefault(one.write.entry, asked.why(one.write))
    if as_json:
        values = [_value(one) for one in found]
        for value, one in zip(values, found, strict=True):
            if one.write is not None:
                why = known[one.write.entry]
                value |= {
                    "prompt": why.prompt,
                    "person": why.person,
                    "requirement": why.requirement,
                    "behind": list(why.behind),
                }
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    told: set[int] = set()
    for one in found:
        origin = one.origin
        print(plain(f"{origin.number:>6}  {origin.text}"))
        if one.write is None:
            print(f"        unknown: no run is known to have written this (commit {origin.commit[:12]})")
            continue
        if one.write.entry in told:
            print("        same as above")
            continue
        told.add(one.write.entry)
        for line in _because(known[one.write.entry], one):
            print(plain(f"        {line}"))
    return ExitCode.DONE


def _because(why: Why, one: Traced) -> list[str]:
    write = why.write
    lines = [
        f"run       {write.run}, {write.model}, {write.tool}, {_moment(write.at_us)} (found by {one.method})",
        f"ledger    entry {write.entry}" + (f"; intent {write.intent}" if write.intent else ""),
    ]
    if why.prompt:
        words = why.prompt.strip().split("\n")
        more = f"          … {len(words) - PROMPT_LINES} more lines: mohist ledger show {write.prompt}"
        lines.append(f"asked     by {why.person or 'nobody known'}, entry {write.prompt}: {words[0]}")
        lines += [f"          {line}" for line in words[1:PROMPT_LINES]] + ([more] if len(words) > PROMPT_LINES else [])
    if write.delivery:
        lines.append(f"delivery  {write.delivery}" + (f": {why.requirement}" if why.requirement else ""))
        lines += _decisions(why)
    return lines


def _decisions(why: Why) -> list[str]:
    """What let the line pass: checks, reviews, approvals, releases."""
    checks = [entry for entry in why.behind if entry["kind"] == "verdict" and entry["data"].get("phase") == "after"]
    lines = []
    if checks:
        held = sum(entry["data"]["exit_code"] == 0 for entry in checks)
        lines.append(
            f"checked   {held} of {len(checks)} checks of the change held, entries {checks[0]['index']} to {checks[-1]['index']}"
        )
    for entry in why.behind:
        data, index = entry["data"], entry["index"]
        if entry["kind"] == "finding":
            lines.append(f"reviewed  {entry['actor']}: {data['severity']}, {data['status']}, entry {index}")
        elif entry["kind"] == "approval":
            lines.append(
                f"{data['verdict']:<9} {why.people.get(entry['actor'], entry['actor'])}: {data['subject']}, entry {index}"
            )
        elif entry["kind"] == "deploy" and data["status"] in ("committed", "rolled-back", "failed"):
            lines.append(f"released  {data['release']} in {data['environment']}: {data['status']}, entry {index}")
    return lines


def _file(found: Sequence[Traced], *, as_json: bool) -> int:
    from mohist.terminal import plain

    if as_json:
        print(json.dumps([_value(one) for one in found], indent=2, ensure_ascii=False))
        return ExitCode.DONE
    width = max((len(one.write.run) for one in found if one.write is not None), default=7)
    for one in found:
        run = one.write.run if one.write else "unknown"
        print(plain(f"{run:<{width}}  {one.method:<7}  {one.origin.number:>5}  {one.origin.text}"))
    ours = sum(one.write is not None for one in found)
    print(f"\n{ours} of {len(found)} lines were written by runs.")
    return ExitCode.DONE


def _commit(commit: str, files: Mapping[str, Sequence[Traced]], *, as_json: bool) -> int:
    from mohist.terminal import plain

    if as_json:
        value = {"commit": commit, "files": {path: [_value(one) for one in lines] for path, lines in files.items()}}
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    print(f"commit {commit}")
    for path, lines in files.items():
        runs = sorted({one.write.run for one in lines if one.write is not None})
        ours = sum(one.write is not None for one in lines)
        print(plain(f"  {path}: {ours} of {len(lines)} lines by {', '.join(runs) or 'no known run'}"))
    if not files:
        print("  It brought in no lines that are text.")
    return ExitCode.DONE


async def _summary(asked: Inquiry, *, as_json: bool, people: bool) -> int:
    from mohist.terminal import plain

    share = await asked.summary(time.time_ns() // 1000, Progress("files traced"), people=people)
    models = sorted(share.models.items(), key=lambda item: (-item[1].there, item[0]))
    persons = sorted((asked.person(who), group) for who, group in share.people.items())
    if as_json:
        value: dict[str, Any] = {
            "lines": share.lines,
            "by_runs": share.by_runs,
            "models": {model: _group(group) for model, group in models},
            "ages": {age: _group(group) for age, group in share.ages.items()},
            "runs": dict(share.runs),
            "files": {path: {"by_runs": ours, "lines": lines} for path, (ours, lines) in share.files.items()},
        }
        if people:
            value["people"] = {person: _group(group) for person, group in persons}
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    part = f" ({share.by_runs / share.lines:.0%})" if share.lines else ""
    print(
        f"{share.by_runs} of {share.lines} lines were written by {len(share.runs)} known runs{part}; of the others nothing is known."
    )
    for title, groups in (("model", models), ("age", list(share.ages.items())), ("person", persons)):
        shown = [(name, group) for name, group in groups if group.there or group.written]
        if shown:
            print(f"\n{'there':>8} {'written':>8} {'still':>6}  by {title}")
        for name, group in shown:
            kept = group.survival_percent
            print(plain(f"{group.there:>8} {group.written:>8} {'-' if kept is None else f'{kept}%':>6}  {name}"))
    if share.files:
        print(f"\n{'by runs':>8} {'of':>8}  file")
    for path, (ours, lines) in sorted(share.files.items(), key=lambda item: (-item[1][0], item[0]))[:FILES_SHOWN]:
        print(plain(f"{ours:>8} {lines:>8}  {path}"))
    return ExitCode.DONE


def _group(group: Group) -> dict[str, int | None]:
    return {"lines": group.there, "ever_written": group.written, "survival_percent": group.survival_percent}
