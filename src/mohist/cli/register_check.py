"""`mohist register check`: what is installed on this machine, held against the register; or one tool."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from mohist.base import ExitCode, SystemClock

EPILOG = """\
Looks for packages of npm and PyPI, Homebrew's, programs on the path, extensions of editors like VS Code, plug-ins of JetBrains'
editors, and the MCP servers that clients' settings name. Starts nothing that it finds, and prints nothing of settings but names.

exit codes: 0 nothing is refused, 1 something is, 2 a register can't be read.

examples:
  mohist register check                                this user, the machine, and the project here
  sudo mohist register check --all-users --json        for device management
  mohist register check --register register.toml       against a file instead of what is in force here
  mohist register check --tool claude-code@2.1.120     what holds of one tool today"""


def declare(verbs: Any) -> list[argparse.ArgumentParser]:
    check = verbs.add_parser(
        "check",
        help="what is installed here: exit code 1 when something refused is",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("--tool", metavar="TOOL[@VERSION]", help="say what holds of this tool, and look for nothing")
    check.add_argument("--register", type=Path, metavar="FILE", help="this register instead of those in force here")
    check.add_argument("--all-users", action="store_true", help="everybody's homes, as far as they can be read")
    check.add_argument(
        "--project", type=Path, action="append", metavar="FOLDER", help="settings of this project; repeat"
    )
    check.add_argument(
        "--folder",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="an environment or prefix to look in; repeat",
    )
    check.add_argument("--quiet", action="store_true", help="name only what is refused or will be")
    return [check]


def main(args: argparse.Namespace) -> int:
    from mohist.app.register import project_of, read_register, registers, today

    project = project_of(Path.cwd())
    in_force = [read_register(args.register)] if args.register else registers(os.environ, project)
    day = today(SystemClock())
    return _one(args, in_force, day) if args.tool else _machine(args, in_force, day)


def _one(args: argparse.Namespace, registers: Any, day: Any) -> int:
    from mohist.app.inventory.audit import outcome_row, word_of
    from mohist.gateway.registrar import bound_tool
    from mohist.policy.register import Allowed, decide, strictest
    from mohist.terminal import plain

    tool = bound_tool(args.tool)
    outcome = strictest(decide(register, tool, day) for register in registers)
    if args.json:
        print(json.dumps({"tool": args.tool, **outcome_row(outcome)}, indent=2, ensure_ascii=False))
    else:
        said = (
            "; ".join(part for part in (outcome.note, *outcome.conditions) if part)
            if isinstance(outcome, Allowed)
            else outcome.text
        )
        print(plain(f"{word_of(outcome)}: {tool.title}" + (f": {said}" if said else "")))
    return ExitCode.FAILED if word_of(outcome) == "refused" else ExitCode.DONE


def _machine(args: argparse.Namespace, registers: Any, day: Any) -> int:
    from mohist.app.inventory.audit import audit, every_home, report, take_stock
    from mohist.app.inventory.found import Inventory
    from mohist.app.register import project_of
    from mohist.policy.register import Allowed
    from mohist.terminal import plain

    root = Path("/")
    home = Path(os.environ.get("HOME") or Path.home())
    homes = every_home(Inventory(), root) if args.all_users else []
    homes = list(dict.fromkeys([home, *homes]))
    projects = args.project if args.project is not None else list(dict.fromkeys([Path.cwd(), project_of(Path.cwd())]))
    inventory = take_stock(root, homes, os.environ.get("PATH", ""), projects, [one.absolute() for one in args.folder])
    judged = audit(inventory, registers, day)
    said = report(judged, inventory, registers, day)
    if args.json:
        print(json.dumps(said, indent=2, ensure_ascii=False))
        return ExitCode.FAILED if said["refused"] else ExitCode.DONE
    for one in judged:
        if args.quiet and one.word == "allowed":
            continue
        by = f" in the settings of {one.found.used_by}" if one.found.used_by else ""
        print(plain(f"{one.word:<8} {one.found.tool.title} ({one.found.kind}{by}): {one.found.place}"))
        if not isinstance(one.outcome, Allowed):
            print(plain(f"         {one.outcome.text}"))
        elif one.outcome.conditions:
            print(plain(f"         {'; '.join(one.outcome.conditions)}"))
    for trouble in said["not_looked_at"]:
        print(plain(f"not looked at: {trouble['place']} {trouble['why']}"))
    print(f"{len(judged)} found: {said['refused']} refused, {said['warned']} warned, {said['allowed']} allowed.")
    return ExitCode.FAILED if said["refused"] else ExitCode.DONE
