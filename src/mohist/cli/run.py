"""`mohist run`: let an agent work on a task."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.app.result import RunResult
    from mohist.event import Event

MODES = ("plan", "ask", "edit", "auto", "full")
OUTPUTS = ("text", "json", "stream-json")

EPILOG = """\
examples:
  mohist run "the date parser drops time zones, fix it"
  mohist run --check "pytest -q" --max-cost-usd 2 "make test_export pass"
  mohist run --mode plan "how would you split module app.py?"
  mohist run --allow pypi.org --allow files.pythonhosted.org "add a dependency on httpx and use it"
  mohist run --worktree --output json "upgrade to the new API" | jq .status
  echo "fix the failing test" | mohist run -

exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by policy, 4 budget spent, 5 no model reachable, 130 cancelled"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("task", nargs="?", help="what to do; - reads it from standard input")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run (an id, its end, or `last`)")
    add_common(parser)
    parser.add_argument(
        "--worktree", action="store_true", help="work in a fresh git worktree; your tree stays as it is"
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options shared by all commands that start a run."""
    parser.add_argument("--cwd", type=Path, default=Path(), metavar="DIR", help="folder to work in (default: this one)")
    parser.add_argument("--model", help="e.g. anthropic/claude-sonnet-5, http://localhost:8000/v1#qwen, replay:PATH")
    parser.add_argument("--mode", choices=MODES, help="what it may do unasked (default: auto)")
    parser.add_argument(
        "--check", action="append", metavar="CMD", help="must pass in a clean copy before it is done; repeatable"
    )
    parser.add_argument(
        "--network",
        choices=("none", "fenced", "full"),
        help="network of the commands it runs (default: none, or fenced with --allow)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        metavar="HOST",
        help="commands reach this host, by a proxy that records it, and nothing that is not named: HOST, *.HOST, HOST:PORT; repeatable",
    )
    parser.add_argument(
        "--allow-private",
        action="append",
        metavar="HOST",
        help="the same for a mirror at a private address; repeatable",
    )
    parser.add_argument(
        "--sandbox",
        choices=("bubblewrap", "landlock"),
        help="what confines them; landlock is weak, for machines that deny user namespaces (default: bubblewrap)",
    )
    parser.add_argument("--max-turns", type=int, metavar="N")
    parser.add_argument("--max-cost-usd", type=float, metavar="USD")
    parser.add_argument("--timeout-s", type=float, metavar="S")
    parser.add_argument("--output", choices=OUTPUTS, default="text", help="what stdout gets (default: text)")
    parser.add_argument(
        "--record", type=Path, metavar="PATH", help="also write a recording that replay:PATH answers from"
    )
    parser.add_argument("--headless", action="store_true", help="ask nobody: deny what would need asking")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def main(args: argparse.Namespace) -> int:
    import anyio

    from mohist.app.launch import Launch, launch

    task = args.task or ""
    if task == "-":
        task = sys.stdin.read()
    if not task.strip() and not args.resume:
        print('mohist: say what to do: mohist run "TASK" (or - for standard input)', file=sys.stderr)
        return ExitCode.USAGE
    emit, approve, reply = front(args)
    request = Launch(
        task=task,
        cwd=args.cwd,
        model=args.model,
        flags=flags(args),
        worktree=args.worktree,
        record=args.record,
        resume=args.resume,
    )
    result = anyio.run(launch, request, emit, approve, reply)
    show(result, args.output)
    return result.exit_code


def flags(args: argparse.Namespace) -> dict[str, Any]:
    """The options that are settings, by their key in `mohist.toml`.

    Raises ConfigError: two of them exclude each other.
    """
    named = bool(args.allow or args.allow_private)
    if named and args.network not in (None, "fenced"):
        from mohist.app.errors import ConfigError

        raise ConfigError(
            f"--allow names what commands may reach, and --network {args.network} leaves nothing to name.",
            "Leave --network out.",
        )
    return {
        "mode": args.mode,
        "network": args.network or ("fenced" if named else None),
        "allow_hosts": args.allow,
        "allow_private_hosts": args.allow_private,
        "sandbox": args.sandbox,
        "max_turns": args.max_turns,
        "max_cost_usd": args.max_cost_usd,
        "timeout_s": args.timeout_s,
        "checks": args.check,
    }


def front(args: argparse.Namespace) -> tuple[Callable[[Event], None], Any, Any]:
    """Progress on stderr or events on stdout, and the person to ask, if there is one."""
    import os

    from mohist.terminal import Progress, Prompt, Style

    style = Style.of(sys.stderr, os.environ)
    progress = Progress(sys.stderr, style, quiet=args.quiet)
    emit: Callable[[Event], None] = progress
    if args.output == "stream-json":
        from mohist.event import as_json

        def emit(event: Event) -> None:
            progress(event)
            say(json.dumps(as_json(event)))

    if args.headless or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return emit, None, None
    prompt = Prompt(sys.stdin, sys.stderr, style)
    return emit, prompt.approve, prompt.reply


def show(result: RunResult, output: str) -> None:
    """The result on stdout."""
    if output != "text":
        say(json.dumps(result.as_json(), indent=2 if output == "json" else None))
        return
    import os

    from mohist.terminal import Style
    from mohist.terminal.result import render

    say(render(cast("Any", result), Style.of(sys.stdout, os.environ)))


def say(text: str) -> None:
    """Prints `text`. Where nobody reads any more it is dropped: the run goes on, and its log has everything."""
    import os

    try:
        print(text, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
