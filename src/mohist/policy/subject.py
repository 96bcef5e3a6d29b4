"""A call taken apart into the things that are judged one by one."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mohist.policy.access import Effect
from mohist.policy.cover import command_cover
from mohist.policy.pattern import UNKNOWN
from mohist.policy.question import Question

Kind = Literal["call", "command", "write", "read", "host", "assign", "opaque"]

_HARMLESS_DEVICES = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/fd/1", "/dev/fd/2"})
_NAME_NO_FILE = frozenset(
    {"echo", "printf", "true", "false", ":", "seq", "expr", "sleep", "exit", "return", "set", "read"}
)
_PRIVATE_TMP = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - the sandbox mounts its own there; nothing is written here


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing a call does."""

    kind: Kind
    tool: str
    text: str
    """For people: `git push origin`, `write src/app.py`."""
    in_shell: bool = False
    """It comes from a command line, so that whether the sandbox is in force matters."""
    argv: tuple[str, ...] = ()
    name: str = ""
    """A host or an environment variable; for a call that can't be analysed, why."""
    path: str = ""
    """Relative to the workspace, or absolute outside of it; empty when it isn't known."""
    place: Literal["", "inside", "outside", "scratch"] = ""
    effect: Effect = "none"
    cover: str = ""
    """What "always allow" would cover; empty when that can't be generalised."""


def subjects_of(question: Question) -> tuple[Subject, ...]:
    """Everything `question` would do; never empty."""
    return tuple(_subjects(question))


def _subjects(question: Question) -> Iterator[Subject]:
    access, tool = question.access, question.tool
    scope = "" if ";" in access.scope else access.scope
    if access.command is not None:
        yield from _shell_subjects(question, access.command)
    else:
        yield Subject("call", tool, f"call {tool}", effect=access.effect, cover=scope)
    for path in sorted(access.writes):
        # A command's declared writes are the bound the sandbox gets, not what it means to do: only a
        # place beyond the workspace says something about it.
        if access.command is None or _place(question, str(path))[0] == "outside":
            yield _path_subject(question, "write", str(path), cover=scope)
    for path in sorted(access.reads) if access.command is None else ():
        yield _path_subject(question, "read", str(path), cover=scope)
    for host in sorted(access.hosts):
        yield Subject("host", tool, f"reach {host}", name=host)
    if access.command is not None and question.network and not access.hosts:
        yield Subject("host", tool, "reach any host", name="*")


def _shell_subjects(question: Question, line: str) -> Iterator[Subject]:
    # Imported here: the grammar is loaded with the first command line, not with the program.
    from mohist.policy.syntax import CannotAnalyse, analyse

    tool = question.tool
    analysis = analyse(line)
    if isinstance(analysis, CannotAnalyse):
        yield Subject("opaque", tool, analysis.reason, in_shell=True, name=analysis.reason)
        return
    for name in analysis.assignments:
        yield Subject("assign", tool, f"set {name}", in_shell=True, name=name)
    for command in analysis.commands:
        text = " ".join(command.argv).replace(UNKNOWN, "…")
        yield Subject("command", tool, text[:200], in_shell=True, argv=command.argv, cover=command_cover(command.argv))
        if not question.confined:
            yield from _paths_read(question, command.argv, command.folder)
    for target in analysis.writes:
        if target.path is None or (target.folder is None and not target.path.startswith("/")):
            yield Subject("write", tool, "write to a file only the shell can name", in_shell=True)
        elif target.path not in _HARMLESS_DEVICES:
            path = _absolute(question, target.folder or "", target.path)
            yield _path_subject(question, "write", path, in_shell=True, cover="")


def _paths_read(question: Question, argv: tuple[str, ...], folder: str | None) -> Iterator[Subject]:
    """Without the sandbox `cat ~/.ssh/id_ed25519` is a read-only command too: what it names is judged as well."""
    if argv[0] in _NAME_NO_FILE:
        return
    for argument in argv[1:]:
        value = argument.partition("=")[2] if argument.startswith("-") and "=" in argument else argument
        if UNKNOWN in value or (folder is None and not value.startswith("/")):
            yield Subject("read", question.tool, "read a file only the shell can name", in_shell=True)
        elif value.startswith("~"):
            yield Subject("read", question.tool, f"read {value}", in_shell=True, path=f"/home/{value}", place="outside")
        elif "/" in value or value == "..":
            path = _absolute(question, folder or "", value)
            if _place(question, path)[0] == "outside":
                yield _path_subject(question, "read", path, in_shell=True, cover="")


def _absolute(question: Question, folder: str, path: str) -> str:
    start = str(question.cwd or question.workspace)
    joined = posixpath.normpath(posixpath.join(start, folder, path))
    return "/" + joined.lstrip("/")


def _place(question: Question, path: str) -> tuple[Literal["inside", "outside", "scratch"], str]:
    pure = Path(path)
    if pure.is_relative_to(question.workspace):
        return "inside", pure.relative_to(question.workspace).as_posix()
    scratch = question.scratch
    if question.access.command is not None and question.confined:
        scratch = (*scratch, *_PRIVATE_TMP)
    if any(pure.is_relative_to(folder) for folder in scratch):
        return "scratch", path
    return "outside", path


def _path_subject(
    question: Question, kind: Literal["read", "write"], path: str, *, cover: str, in_shell: bool = False
) -> Subject:
    place, shown = _place(question, path)
    if in_shell and re.fullmatch(r"[\w./@+-]+", shown):
        cover = f"{kind} {shown}"
    return Subject(kind, question.tool, f"{kind} {shown}", in_shell=in_shell, path=shown, place=place, cover=cover)
