"""`mohist govern`: a coding client inside the fence, or the settings for one outside of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from mohist.base import ExitCode

EPILOG = """\
Runs the client with a HOME of its own, this project and nothing else of the machine, no way out but the gateway, and a key
that ends with the run. What it tried to reach is told at the end, on stderr.

examples:
  mohist govern -- claude
  mohist govern --model openai/gpt-6 -- codex exec "fix the failing test"
  mohist govern --home work --allow pypi.org -- aider
  mohist govern --server https://models.example.com -- opencode
  mohist govern --dialect openai-chat -- ./my-client
  mohist govern --print-config codex            settings for who runs it outside the fence, behind a gateway

exit codes: 0 the client ended well, 1 it did not, 2 wrong usage, 3 refused by policy, 4 budget spent, 5 no model reachable,
130 cancelled"""

ALL = "all"
HERE = "-"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "client",
        nargs=argparse.REMAINDER,
        metavar="CLIENT ARGS",
        help="after --: the client's program and its arguments",
    )
    parser.add_argument(
        "--home",
        default="fresh",
        metavar="NAME",
        help="a HOME that is kept under this name (default: a fresh one each time)",
    )
    parser.add_argument("--model", help="which model it gets, as for `mohist run`")
    parser.add_argument("--allow", action="append", default=[], metavar="HOST", help="may be reached, e.g. pypi.org, *.example.com:8443; repeat")  # fmt: skip
    parser.add_argument(
        "--allow-private",
        action="append",
        default=[],
        metavar="HOST",
        help="the same, also at a private address; repeat",
    )
    parser.add_argument(
        "--dialect",
        choices=("openai-chat", "openai-responses", "anthropic-messages"),
        help="what a program speaks that is not known",
    )
    parser.add_argument("--server", metavar="URL", help="a gateway that serves already (default: one in this process)")
    parser.add_argument("--trust-settings", action="store_true", help="let the repository's settings for this client hold, as they are now")  # fmt: skip
    parser.add_argument(
        "--print-config",
        nargs="?",
        const=ALL,
        metavar="CLIENT",
        help="print settings for running it behind the gateway, and start nothing",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=HERE,
        metavar="FILE",
        help="the report as JSON into FILE; with --print-config on stdout",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no line at the start, no table at the end")


def main(args: argparse.Namespace) -> int:
    command = args.client[1:] if args.client[:1] == ["--"] else args.client
    if args.print_config is not None:
        return _print(args, command)
    if not command:
        print("mohist: say which client: mohist govern -- CLIENT ARGS", file=sys.stderr)
        return ExitCode.USAGE
    if args.json == HERE:
        print("mohist: stdout is the client's; say where the report goes: --json FILE", file=sys.stderr)
        return ExitCode.USAGE
    import anyio

    from mohist.app.govern.launch import govern
    from mohist.app.govern.order import Order
    from mohist.app.govern.registration import registered
    from mohist.terminal import plain

    def tell(line: str) -> None:
        print(plain(line), file=sys.stderr, flush=True)

    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    order = Order(
        command=tuple(command),
        cwd=Path.cwd(),
        home=args.home,
        model=args.model,
        allow=tuple(args.allow),
        allow_private=tuple(args.allow_private),
        dialect=args.dialect,
        server=args.server,
        trust_settings=args.trust_settings,
        terminal=terminal,
        # A terminal that is only half there is no input: whoever waits for its end would wait for ever.
        streams=(-1 if sys.stdin.isatty() and not terminal else 0, 1, 2),
    )
    governed = anyio.run(
        govern, order, os.environ, (lambda _line: None) if args.quiet else tell, registered(os.environ)
    )
    if not args.quiet:
        for line in governed.table:
            tell(line)
    if args.json is not None:
        text = json.dumps(governed.report, indent=2, ensure_ascii=False)
        Path(args.json).write_text(f"{text}\n", encoding="utf-8")
    return governed.exit_code


def _print(args: argparse.Namespace, command: list[str]) -> int:
    from mohist.app.govern import advice

    # `--print-config claude` and `--print-config -- claude` are one.
    name = next(iter(command), "") if args.print_config == ALL else args.print_config
    rows = advice.advice(name, args.server or advice.SERVER, args.model or advice.MODEL)
    if args.json is not None:
        print(json.dumps(rows if not name else rows[0], indent=2, ensure_ascii=False))
    else:
        print(advice.text(rows))
    return ExitCode.DONE
