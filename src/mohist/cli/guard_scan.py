"""`mohist guard scan`: looks at files, staged changes or a history for what must not leave."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode, MohistError, StatePaths

if TYPE_CHECKING:
    from mohist.app.scan import Leak, Passes, Report, Scan
    from mohist.guard import Block, Finding

EPILOG = """\
Prints where something was found and how sure that is, never the thing itself; a value is shown by its first characters at
most. Ends with 1 when something was found, or could not be looked at, that is not in the baseline. docs/guard.md tells how to
read the result.

examples:
  mohist guard scan                            this folder, without what .gitignore names
  mohist guard scan src docs/notes.zip --json
  mohist guard scan --history                  everything that any commit ever brought in
  mohist guard scan --staged                   what the next commit would bring in
  kubectl logs web | mohist guard scan -
  mohist guard scan --write-baseline known.json; mohist guard scan --baseline known.json"""

_CLASSES = ("secret", "source", "document", "covert", "injection", "unread")
"""What is reported unless others are named: personal data belongs in many files."""
_NAMED = ("personal.name.", "personal.address.")
"""What a model of names is asked for."""
_UNREAD_NAMES = "unread.names"
_NAMES_BATCH_CHARS = 128 * 1024
"""A model takes seconds for that much prose, and a whole batch of it would be over `max_call_ms`."""
_DEFAULT_CONFIDENCE = 0.5
_QUIET_S = 2.0
_REFRESH_S = 0.5
_LINE_S = 10.0
"""Between two lines of progress where it can't be written over."""


class ScanError(MohistError):
    """What was asked does not go together."""

    exit_code = ExitCode.USAGE


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files and folders (default: .), or - for standard input"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--history", action="store_true", help="all commits of the repository at PATH")
    what.add_argument("--staged", action="store_true", help="what is staged in the repository at PATH")
    what.add_argument("--all", action="store_true", dest="everything", help="also what .gitignore names")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object")
    form.add_argument("--sarif", action="store_true", help="SARIF 2.1.0, for code hosts")
    parser.add_argument(
        "--only",
        action="append",
        metavar="CLASS",
        help=f"only findings of this data class, such as secret or personal.email; all: of every class (default: {', '.join(_CLASSES)})",
    )
    parser.add_argument(
        "--min-confidence",
        type=_share,
        default=_DEFAULT_CONFIDENCE,
        metavar="SHARE",
        help=f"leave out what is less sure, from 0 to 1 (default: {_DEFAULT_CONFIDENCE})",
    )
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="leave out what this file knows")
    parser.add_argument(
        "--honour-marks",
        action="store_true",
        help="let pass what a line marks with `mohist: allow RULE because REASON`; for files whose every writer is trusted",
    )
    parser.add_argument("--write-baseline", type=Path, metavar="FILE", help="write down what was found as known")


def main(args: argparse.Namespace) -> int:
    from mohist.app.baseline import read_baseline, without_known, write_baseline
    from mohist.app.scan import STANDARD_INPUT, check_paths

    paths = args.paths or ["."]
    if (args.staged or args.history) and (len(paths) > 1 or paths[0] == STANDARD_INPUT):
        raise ScanError("--staged and --history look at one repository.", "Name its folder, or stand in it.")
    check_paths(paths)
    known = read_baseline(args.baseline) if args.baseline else frozenset()
    progress = _Progress()
    scan = _scan(args, progress)
    try:
        _run(scan, args, paths)
    finally:
        progress.end()
    report = scan.report
    if args.write_baseline:
        write_baseline(args.write_baseline, report)
    left_out = without_known(report, known)
    if args.sarif:
        from mohist.app.sarif import sarif

        print(json.dumps(sarif(report), indent=2))
    elif args.json:
        print(json.dumps(_as_json(report, left_out), indent=2))
    else:
        _print(report, left_out)
    if args.write_baseline:
        return ExitCode.DONE
    return ExitCode.FAILED if report.leaks or any(unread.grave for unread, _ in report.unread) else ExitCode.DONE


def _scan(args: argparse.Namespace, progress: _Progress) -> Scan:
    from mohist.app.database import owner_config
    from mohist.app.guard import digest, limits, scanner
    from mohist.app.scan import BATCH_CHARS, Scan, Wanted

    settings = owner_config(os.environ).guard
    home = StatePaths.from_env(os.environ)
    classes = tuple(args.only or _CLASSES)
    if not any(f"{name}.".startswith(_NAMED) or name in ("all", "personal") for name in classes):
        # Asking a model what nobody wants to know would take minutes.
        settings = replace(settings, names_model=None)
    elif settings.names_model is not None:
        # Who asks for names is told where they were not looked for.
        classes = (*classes, _UNREAD_NAMES)
    return Scan(
        scanner(settings, home, os.environ, begun=_begun),
        digest(settings, home),
        limits(settings),
        Wanted(() if "all" in classes else classes, args.min_confidence),
        progress,
        _passes(settings.allow_list, honour_marks=args.honour_marks),
        BATCH_CHARS if settings.names_model is None else _NAMES_BATCH_CHARS,
    )


def _begun(count: int) -> None:
    print(f"compiling {count} patterns: some seconds, once for these rules", file=sys.stderr, flush=True)


def _passes(allow_list: Path | None, *, honour_marks: bool) -> Passes:
    """By the allow-list and, if asked for, by marks; says which entries no longer hold."""
    from datetime import UTC, datetime

    from mohist.app.detector import allowances
    from mohist.guard.secret import Allowances, marked
    from mohist.terminal import plain

    allowed = Allowances(allowances(allow_list), datetime.now(UTC).date())
    for entry in allowed.expired:
        print(plain(f"no longer let pass since {entry.until}: {entry.reason} ({entry.owner})"), file=sys.stderr)

    def passes(block: Block, finding: Finding) -> bool:
        marks = honour_marks and marked(block.text, finding.start, finding.end, finding.rule)
        return bool(marks) or allowed.why(finding, block.path) is not None

    return passes


def _run(scan: Scan, args: argparse.Namespace, paths: list[str]) -> None:
    from mohist.app.scan import STANDARD_INPUT

    for path in paths:
        if args.staged:
            # In a commit of some files only, git tells its hook of an index made for that.
            index = os.environ.get("GIT_INDEX_FILE")
            scan.staged(Path(path), Path(index).absolute() if index else None)
        elif args.history:
            scan.history(Path(path))
        elif path == STANDARD_INPUT:
            scan.piped(sys.stdin.buffer)
        elif Path(path).is_dir():
            name = "" if path == "." else Path(path).as_posix()
            scan.tree(Path(path), name, everything=args.everything)
        else:
            scan.file(Path(path), Path(path).as_posix())


def _print(report: Report, left_out: int) -> None:
    from mohist.terminal import plain

    for path, leaks in groupby(sorted(report.leaks, key=_order), key=lambda leak: leak.path):
        print(_one_line(path))
        for leak in leaks:
            print(plain("  " + "  ".join(_columns(leak))))
    grave = [unread for unread, _ in report.unread if unread.grave]
    for unread in grave:
        print(f"{_one_line(unread.path)}\n  not looked at: it {plain(unread.why)}")
    files = len({leak.path for leak in report.leaks})
    words = [f"{len(report.leaks)} finding(s) in {files} file(s)", f"{report.files} looked at"]
    if report.unread:
        words.append(f"{len(report.unread)} not, or not wholly")
    if report.passed:
        words.append(f"{report.passed} let pass")
    if left_out:
        words.append(f"{left_out} known ones left out")
    print("; ".join(words), file=sys.stderr)


def _columns(leak: Leak) -> list[str]:
    finding = leak.finding
    where = f"{leak.start.line}:{leak.start.column}" if leak.start.line else f"byte {leak.start.offset}"
    words = [where, finding.data_class, finding.shown, f"{finding.confidence:.0%} sure", finding.rule]
    if finding.via:
        words.append("in " + " in ".join(reversed(finding.via)))
    if finding.also:
        words.append(f"also {', '.join(finding.also)}")
    if finding.note:
        words.append(finding.note)
    if leak.commit:
        words.append(f"since {leak.commit[:12]}")
    return words


def _order(leak: Leak) -> tuple[str, int]:
    return leak.path, leak.start.offset


def _as_json(report: Report, left_out: int) -> dict[str, Any]:
    return {
        "findings": [
            {
                "path": leak.path,
                "line": leak.start.line,
                "column": leak.start.column,
                "end_line": leak.end.line,
                "end_column": leak.end.column,
                "offset": leak.start.offset,
                "end_offset": leak.end.offset,
                "rule": leak.finding.rule,
                "class": leak.finding.data_class,
                "confidence": leak.finding.confidence,
                "shown": leak.finding.shown,
                "via": list(leak.finding.via),
                "also": list(leak.finding.also),
                "note": leak.finding.note,
                "commit": leak.commit,
                "id": leak.identity,
            }
            for leak in sorted(report.leaks, key=_order)
        ],
        "unread": [{"path": one.path, "why": one.why, "grave": one.grave, "id": id_} for one, id_ in report.unread],
        "files": report.files,
        "passed": report.passed,
        "known": left_out,
    }


def _one_line(path: str) -> str:
    """A name may hold a line's end, and what follows it would look like a line of ours."""
    from mohist.terminal import plain

    return plain(path).replace("\n", "\ufffd").replace("\t", "\ufffd")


class _Progress:
    """Says on stderr how far a long scan is."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + _QUIET_S
        self._written = False

    def __call__(self, done_bytes: int, path: str) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        text = f"{done_bytes / 1e6:.1f} MB  {_one_line(path)}"
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)
            self._written = True
            self._next_s = now_s + _REFRESH_S
        else:
            print(text, file=sys.stderr)
            self._next_s = now_s + _LINE_S

    def end(self) -> None:
        """Takes the line away."""
        if self._written:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("between 0 and 1")
    return value
