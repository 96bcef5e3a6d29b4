"""`mohist guard test`: tries rules of detection on their own examples."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.guard.secret import Example, RuleFile

EPILOG = """\
Without FILE: the company's rules that `[guard] company_rules` names. A rule says with `matches` what it must find and with
`passes` what it must let through; {hex:32}, {alnum:20}, {uuid} and the like are filled in, so that no file holds what looks
like a secret. A rule that would cost too much, matches ordinary text, or fails its examples is refused, here and at each start.

examples:
  mohist guard test
  mohist guard test rules.toml
  mohist guard test --own                  the rules that come with the program"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="TOML")
    parser.add_argument("--own", action="store_true", help="the program's own rules, too")
    parser.add_argument("--verbose", "-v", action="store_true", help="every example, not only those that fail")


def main(args: argparse.Namespace) -> int:
    from mohist.guard.secret import own_rules, unchecked_rules

    files = args.files or _configured()
    sets: list[tuple[str, RuleFile]] = [(str(path), unchecked_rules(path)) for path in files]
    if args.own:
        sets.append(("own rules", own_rules()))
    if not sets:
        print("No rules of your own: `[guard] company_rules` names no file.")
        return ExitCode.DONE
    failed = 0
    for name, rules in sets:
        examples = rules.examples()
        failed += sum(example.found is not example.expected for example in examples)
        print(f"{name}: {len(rules.rules)} rules, {len(examples)} examples")
        for line in _lines(examples, verbose=args.verbose):
            print(line)
        for reason in rules.refusals(name):
            failed += 1
            print(f"  refused: {reason}")
    print("every rule does as its examples say" if not failed else f"{failed} failed")
    return ExitCode.DONE if not failed else ExitCode.FAILED


def _configured() -> list[Path]:
    from mohist.app.database import owner_config

    return list(owner_config(os.environ).guard.company_rules)


def _lines(examples: Iterable[Example], *, verbose: bool) -> Iterable[str]:
    for example in examples:
        right = example.found is example.expected
        if verbose or not right:
            did = "found" if example.found else "passed"
            yield f"  {'ok' if right else 'FAILED'}  {example.rule}  {did}: {example.template!r}"
