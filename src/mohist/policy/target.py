"""Which files well-known programs write, as far as their arguments say it.

Only for judging better than the sandbox alone would: an unlisted program writes nothing *known*, and no
rule allows a command because its targets are missing here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mohist.policy.pattern import UNKNOWN

# Options of these take no value as the next argument, or one that is listed.
_EVERY_OPERAND = {
    "tee": "",
    "touch": "-d -r -t",
    "mkdir": "-m",
    "rm": "",
    "rmdir": "",
    "truncate": "-s -r",
    "shred": "-n -s",
}
_LAST_OPERAND = {"cp": "-S", "install": "-m -o -g -S", "ln": "-S"}
_AFTER_FIRST = {"chmod": "", "chown": ""}
_SED_IN_PLACE = re.compile(r"-[nErsz]*i.*|--in-place.*", re.DOTALL)


def written_by(argv: Sequence[str]) -> tuple[str | None, ...]:
    """Files or folders that `argv` names as its output; None stands for one that can't be told."""
    return tuple(None if UNKNOWN in path or path.startswith("~") else path for path in _named(argv))


def _named(argv: Sequence[str]) -> Sequence[str]:
    name = argv[0]
    if name in _EVERY_OPERAND:
        return _operands(argv, _EVERY_OPERAND[name])
    if name == "mv":
        return [*_into(argv), *_operands(argv, "-S -t --target-directory")]
    if name in _LAST_OPERAND:
        return _into(argv) or _operands(argv, _LAST_OPERAND[name])[-1:]
    if name in _AFTER_FIRST:
        return _operands(argv, "")[1:]
    if name == "dd":
        return [part[3:] for part in argv[1:] if part.startswith("of=")]
    if name in ("uniq", "xxd"):
        return _operands(argv, "-c -f -g -l -o -s -w")[1:2]
    if name == "sed" and any(_SED_IN_PLACE.fullmatch(part) for part in argv[1:]):
        operands = _operands(argv, "-e -f -l --expression --file")
        has_script = any(part.startswith(("-e", "-f", "--expression", "--file")) for part in argv[1:])
        return operands if has_script else operands[1:]
    return ()


def _into(argv: Sequence[str]) -> list[str]:
    """The folder of `-t FOLDER`, when it is given."""
    for at, part in enumerate(argv):
        if part in ("-t", "--target-directory"):
            return list(argv[at + 1 : at + 2])
        if part.startswith("--target-directory="):
            return [part.partition("=")[2]]
    return []


def _operands(argv: Sequence[str], valued: str) -> list[str]:
    out: list[str] = []
    skip = only = False
    for part in argv[1:]:
        if skip:
            skip = False
        elif only or not part.startswith("-") or part == "-":
            out.append(part)
        elif part == "--":
            only = True
        else:
            skip = part in valued.split()
    return out
