"""`mohist vet`: examines a coding tool before it is let in."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode, MohistError

if TYPE_CHECKING:
    from mohist.vet import Step
    from mohist.vet.account import Account

EPILOG = """\
Fetches the exact artefact, reads it, runs it in the fence against a scripted model with decoy credentials around it, varies
what is around it and compares its requests byte by byte, and opens hostile repositories with it. Nothing leaves the machine but what
fetches and installs the subject. The evidence is kept in a folder; docs/vet.md tells how to read it.

examples:
  mohist vet npm:@openai/codex@0.169.0
  mohist vet pypi:aider-chat==0.86.2 --out aider
  mohist vet npm:some-client@1.2.3 --steps acquire,static
  mohist vet ./my-client --dialect openai-chat --command './my-client --task @PROMPT@'
  mohist vet npm:some-client@1.3.0 --against vet-some-client-1.2.3 --notes CHANGELOG.md

exit codes: 0 nothing was found that its criteria would ban, 1 something was, or a step failed, 2 wrong usage, 130 cancelled"""

_STEPS = ("acquire", "static", "behave", "differ", "repository")
_QUIET_S = 0.2
_LINE_S = 15.0
"""Between two lines of progress where it can't be written over."""
_SHOWN = 12


class VetUsageError(MohistError):
    """What was asked does not go together."""

    exit_code = ExitCode.USAGE


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "subject",
        metavar="SUBJECT",
        help="npm:NAME@VERSION, pypi:NAME==VERSION, a folder, a program, a .vsix, 'mcp:COMMAND'",
    )
    parser.add_argument(
        "--steps",
        metavar="LIST",
        default=",".join(_STEPS),
        help=f"which, separated by commas (default: {','.join(_STEPS)})",
    )
    parser.add_argument(
        "--command",
        dest="words",
        metavar="WORDS",
        help="what starts it; @PROMPT@ where the task goes (default: as is known of it)",
    )
    parser.add_argument(
        "--interactive", metavar="WORDS", help="what a person types to start it at a terminal; empty: it has none"
    )
    parser.add_argument(
        "--dialect",
        choices=("anthropic-messages", "openai-responses", "openai-chat"),
        help="what a program speaks that is not known",
    )
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="one more name for the base URL; repeat"
    )
    parser.add_argument("--zone", action="append", default=[], metavar="NAME", help="one more time zone; repeat")
    parser.add_argument("--run-limit", type=float, default=120.0, metavar="SECONDS", help="for each run (default: 120)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the plan of runs (default: 1)")
    parser.add_argument(
        "--chance",
        type=_chance,
        default=0.001,
        metavar="SHARE",
        help="bound on a false word about what requests depend on; 0.02 takes half as many runs (default: 0.001)",
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="compare with the dossier of an earlier version")
    parser.add_argument("--notes", type=Path, metavar="FILE", help="its release notes, for --against")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the dossier goes (default: vet-SUBJECT here)")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def main(args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.vet.launch import vet
    from mohist.app.vet.order import Order
    from mohist.app.vet.report import publish

    steps = _wanted(args.steps)
    out = args.out or Path(_folder_name(args.subject))
    order = Order(
        subject=args.subject,
        out=out,
        cwd=Path.cwd(),
        steps=steps,
        command=_words(args.words),
        dialect=args.dialect or "",
        interactive=None if args.interactive is None else _words(args.interactive),
        hosts=tuple(args.host),
        zones=tuple(args.zone),
        run_limit_s=args.run_limit,
        seed=args.seed,
        chance=args.chance,
        against=args.against,
        notes=args.notes,
    )
    progress = _Progress()
    try:
        account = anyio.run(vet, order, os.environ, progress, progress.tell)
    finally:
        progress.end()
    publish(account, out, os.environ)
    if args.json:
        print(json.dumps(account.as_json(), indent=2))
    else:
        _print(account, out)
    return ExitCode.FAILED if account.proposal.disposition == "banned" else ExitCode.DONE


def _wanted(text: str) -> tuple[Step, ...]:
    from mohist.vet import STEPS

    named = [word.strip() for word in text.split(",") if word.strip()]
    if unknown := [word for word in named if word not in _STEPS]:
        raise VetUsageError(f"There is no step {unknown[0]!r}.", f"Steps: {', '.join(_STEPS)}.")
    return tuple(step for step in STEPS if step in named)


def _chance(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("between 0 and 1")
    return value


def _words(text: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text or ""))
    except ValueError:
        raise VetUsageError(f"{text!r} is no command: a quotation mark is not closed.") from None


def _folder_name(subject: str) -> str:
    """Of a dossier: the subject in characters that every file system takes."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._=-") else "-" for c in subject)
    return "vet-" + plain.strip("-.")[:120]


def _print(account: Account, out: Path) -> None:
    from mohist.terminal import plain

    proposal = account.proposal
    shown = [finding for finding in account.findings if finding.severity != "info"]
    for finding in shown[:_SHOWN]:
        print(plain(f"{finding.severity:<7} {finding.rule:<28} {finding.what}"))
    if len(shown) > _SHOWN:
        print(f"and {len(shown) - _SHOWN} more")
    print(plain(f"recommended for {account.subject}: {proposal.disposition}"))
    for met in proposal.met:
        print(plain(f"  {met.criterion.criterion_id}: {met.criterion.sentence} ({len(met.findings)})"))
    for condition in proposal.conditions:
        print(plain(f"  on condition: {condition}"))
    if proposal.missing:
        print(f"  not done: {', '.join(proposal.missing)}")
    if account.unread:
        print(f"  not looked at: {len(account.unread)}; see {out}/report.html")
    print(f"evidence and report: {out}", file=sys.stderr)


class _Progress:
    """Says on stderr what is being done, and how far it is."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._next_s = 0.0
        self._word = ""
        self._written = False

    def __call__(self, what: str, done: int, whole: int) -> None:
        now_s = time.monotonic()
        if what == self._word and now_s < self._next_s and done < whole:
            return
        text = f"{now_s - self._began_s:5.0f} s  {what}" + (f" {done}/{whole}" if whole > 1 else "")
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._written = True
            self._next_s = now_s + _QUIET_S
        elif what != self._word or now_s >= self._next_s:
            print(text, file=sys.stderr, flush=True)
            self._next_s = now_s + _LINE_S
        self._word = what

    def tell(self, line: str) -> None:
        """A line that stays."""
        from mohist.terminal import plain

        self.end()
        print(plain(line), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Takes the line away."""
        if self._written:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._written = False
