"""Programs whose job is to start another: `timeout 60 pytest` is pytest.

A wrapper is seen through only when each of its options is known here; otherwise it stands for itself, no
rule knows it, and it is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mohist.policy.pattern import UNKNOWN


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The program itself (None: it only hands over) and the argument vectors it starts."""

    own: tuple[str, ...] | None
    inner: tuple[tuple[str, ...], ...] = ()
    assignments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """`sh -c '…'` with a script that is written out."""

    script: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """What it would run can't be seen."""

    reason: str


Result = Unwrapped | Literal | Hidden

SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "ash", "rbash", "fish"})
_SYSTEM_FOLDERS = ("/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/", "/usr/sbin/")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")


def unwrap(argv: Sequence[str]) -> Result:
    """What `argv` (not empty, first word known) runs. Names in a system folder lose the folder."""
    name = _plain_name(argv[0])
    argv = (name, *argv[1:])
    if name in SHELLS:
        return _shell(argv)
    if name == "eval":
        return Hidden("eval runs text that is put together while it runs")
    handler = _HANDLERS.get(name)
    if handler is not None:
        return handler(argv)
    spec = _PREFIXES.get(name)
    return Unwrapped(tuple(argv)) if spec is None else _prefix(argv, *spec)


def _plain_name(name: str) -> str:
    for folder in _SYSTEM_FOLDERS:
        if name.startswith(folder) and "/" not in name[len(folder) :]:
            return name[len(folder) :]
    return name


# name -> options without a value, options with one (also as --x=1 or -n1), operands before the command
_PREFIXES: dict[str, tuple[str, str, int]] = {
    "command": ("-p", "", 0),
    "builtin": ("", "", 0),
    "exec": ("-c -l", "", 0),
    "time": ("-p -v", "", 0),
    "nohup": ("", "", 0),
    "setsid": ("-w --wait -f", "", 0),
    "nice": ("", "-n --adjustment", 0),
    "ionice": ("-t", "-c -n --class --classdata", 0),
    "timeout": ("--preserve-status --foreground -v --verbose", "-k -s --kill-after --signal", 1),
    "stdbuf": ("", "-i -o -e --input --output --error", 0),
}


def _options(argv: Sequence[str], flags: str, valued: str) -> int | None:
    """Where the operands begin; None at an option that is not known."""
    with_value = valued.split()
    at = 1
    while at < len(argv) and argv[at].startswith("-") and argv[at] != "-":
        argument = argv[at]
        if UNKNOWN in argument:
            return None
        if argument == "--":
            return at + 1
        if argument in with_value:
            at += 2
        elif argument in flags.split() or any(
            argument.startswith(f"{option}=" if option.startswith("--") else option) for option in with_value
        ):
            at += 1
        else:
            return None
    return at


def _prefix(argv: Sequence[str], flags: str, valued: str, operands: int) -> Result:
    at = _options(argv, flags, valued)
    if at is None or len(argv) <= at + operands or any(UNKNOWN in part for part in argv[at : at + operands]):
        return Unwrapped(tuple(argv))
    return Unwrapped(None, (tuple(argv[at + operands :]),))


def _shell(argv: Sequence[str]) -> Result:
    at = 1
    script = False
    while at < len(argv) and re.fullmatch(r"-[celuxo]+", argv[at]):
        script = script or "c" in argv[at]
        at += 1 + ("o" in argv[at])
    if at >= len(argv):
        return Hidden(f"{argv[0]} would run a program that it reads while it runs")
    if script:
        if UNKNOWN in argv[at]:
            return Hidden(f"{argv[0]} -c runs text that is put together while it runs")
        return Literal(argv[at])
    if argv[at].startswith("-") or UNKNOWN in argv[at] or argv[at].startswith("/dev/"):
        return Hidden(f"{argv[0]} would run a program that can't be seen")
    return Unwrapped(tuple(argv))


def _env(argv: Sequence[str]) -> Result:
    at = _options(argv, "-i --ignore-environment", "-u --unset")
    if at is None:
        return Unwrapped(tuple(argv))
    names = []
    while at < len(argv) and (match := _ASSIGNMENT.match(argv[at])):
        names.append(match[1])
        at += 1
    if at >= len(argv):
        return Unwrapped(("env",), (), tuple(names))
    if UNKNOWN in argv[at] or argv[at].startswith("-"):
        return Unwrapped(tuple(argv))
    return Unwrapped(None, (tuple(argv[at:]),), tuple(names))


def _starts(inner: Sequence[str], of: str) -> Hidden | None:
    name = _plain_name(inner[0]) if inner else ""
    if name in SHELLS or name in ("eval", "env", "xargs"):
        return Hidden(f"{of} would feed data to {name} as a program")
    return None


def _xargs(argv: Sequence[str]) -> Result:
    at = _options(
        argv,
        "-0 -r -t --null --no-run-if-empty --verbose -x",
        "-n -L -P -s -d -I --max-args --max-lines --max-procs --delimiter --replace",
    )
    if at is None:
        return Unwrapped(tuple(argv))
    inner = (*(argv[at:] or ("echo",)), UNKNOWN)
    token = next((argv[i + 1] for i in range(1, at - 1) if argv[i] == "-I"), None)
    glued = next((part[2:] for part in argv[1:at] if part.startswith("-I") and len(part) > 2), None)
    if mark := token or glued:
        inner = tuple(UNKNOWN if mark in part else part for part in inner)
    if hidden := _starts(inner, "xargs"):
        return hidden
    return Unwrapped(None, (inner,)) if UNKNOWN not in inner[0] else Hidden("xargs would run what it reads")


def _find(argv: Sequence[str]) -> Result:
    inner: list[tuple[str, ...]] = []
    own: list[str] = []
    at = 0
    while at < len(argv):
        if argv[at] not in ("-exec", "-execdir", "-ok", "-okdir"):
            own.append(argv[at])
            at += 1
            continue
        end = next(
            (i for i in range(at + 1, len(argv)) if argv[i] == ";" or (argv[i] == "+" and argv[i - 1] == "{}")), None
        )
        if end is None or end == at + 1:
            return Hidden("find would run a command that is not complete")
        started = tuple(UNKNOWN if "{}" in part else part for part in argv[at + 1 : end])
        if hidden := _starts(started, "find"):
            return hidden
        inner.append(started)
        at = end + 1
    return Unwrapped(tuple(own), tuple(inner))


def _git(argv: Sequence[str]) -> Result:
    """Drops the options before the subcommand that change neither what runs nor what is trusted."""
    at = 1
    while at < len(argv):
        if argv[at] in ("--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs"):
            at += 1
        elif argv[at] == "-C" and at + 1 < len(argv):
            at += 2
        else:
            break
    return Unwrapped(("git", *argv[at:]))


def _uv(argv: Sequence[str]) -> Result:
    """`uv run` builds the project's environment and then starts the rest: both are judged."""
    if argv[1:2] != ["run"] and argv[1:2] != ("run",):
        return Unwrapped(tuple(argv))
    at = _options(argv[1:], "--frozen --locked --no-sync --offline -q --quiet --active --isolated --all-extras", "")
    if at is None or at + 1 >= len(argv):
        return Unwrapped(tuple(argv))
    return Unwrapped(("uv", "run"), (tuple(argv[at + 1 :]),))


_HANDLERS: dict[str, Callable[[Sequence[str]], Result]] = {
    "env": _env,
    "xargs": _xargs,
    "find": _find,
    "git": _git,
    "uv": _uv,
}
