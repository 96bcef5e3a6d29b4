"""The step that opens a hostile repository with a subject and looks what of it takes effect before anybody has agreed."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from mohist.sandbox import Sandbox
from mohist.vet.behaviour.attack import Attack, attacks, host_of, marks, together
from mohist.vet.behaviour.bench import Bench, Seen, Stay
from mohist.vet.behaviour.project import FILES
from mohist.vet.behaviour.recipe import Recipe
from mohist.vet.behaviour.surroundings import Surroundings
from mohist.vet.difference.trial import Progress
from mohist.vet.dossier import Dossier, Record, Unread
from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import Finding, Severity

HOME_INSIDE = "/home/agent"
_OF_GIT = "git-"
"""How the ids of commands begin that git runs, whoever has started git."""
_PATIENCE_S = 12.0
"""For a client that waits for an answer at a terminal."""
_ROWS, _COLUMNS = 50, 160
_SCREEN_BYTES, _SCREEN_CHARS = 256 * 1024, 2000
_CONTROL = re.compile(
    r"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])|[\x00-\x09\x0b-\x1f\x7f]"
)
"""Control sequences (ECMA-48) and control characters."""


async def repository(
    sandbox: Sandbox,
    folder: Path,
    recipe: Recipe,
    dossier: Dossier,
    *,
    client: str,
    interactive: Sequence[str],
    subject: str,
    repeat: str,
    limit_s: float,
    progress: Progress,
) -> Record:
    """Tries each group of attacks without a terminal, and all at once at a terminal where nobody answers.

    Args:
        sandbox: starts the runs.
        folder: of its own.
        recipe: how the subject does a task without a terminal.
        dossier: gets the record.
        client: as the table of attacks names it.
        interactive: the command that a person types; empty: none is known.
        subject: as it was named.
        repeat: how to see it again.
        limit_s: for each run without a terminal.
        progress: told after each run.

    Raises:
        SandboxError: a run could not be started.
        DossierError: the record could not be written.
    """
    every = attacks(client, HOME_INSIDE)
    whole = len(every) + 1 + bool(interactive)
    around = Surroundings((), {})
    findings: list[Finding] = []
    facts: list[dict[str, Any]] = []
    missed: list[Unread] = []
    async with Bench(sandbox, folder, recipe) as bench:
        progress("opening hostile repositories", 0, whole)
        calm = await bench.run(around, Stay(limit_s=limit_s))
        for done, attack in enumerate(every, 1):
            progress("opening hostile repositories", done, whole)
            seen = await bench.run(around, _stay(attack, limit_s))
            ran, asked = marks(bench.home, attack.commands), _hosts(seen, attack)
            facts.append(_fact(attack, seen, ran, asked, "without a terminal"))
            findings += _told(attack, ran, asked, seen, repeat, at_terminal=False)
            if calm.sent and not seen.sent and not ran and not asked:
                missed.append(Unread(f"the group {attack.group!r}", "kept the subject from doing its task"))
    if interactive:
        progress("opening hostile repositories", whole - 1, whole)
        attack = together([one for one in every if not one.group.startswith("endpoint")])
        for one in (attack, *(each for each in every if each.group.startswith("endpoint"))):
            ran, asked, seen, screen = await _at_terminal(sandbox, folder, recipe, interactive, one)
            shown = {"screen": printable(screen[-_SCREEN_CHARS:], _SCREEN_CHARS)}
            facts.append(_fact(one, seen, ran, asked, "at a terminal, nobody answering") | shown)
            if not screen.strip():
                missed.append(Unread(f"the group {one.group!r} at a terminal", "showed nothing on the screen"))
            findings += _told(one, ran, asked, seen, repeat, at_terminal=True)
    else:
        missed.append(Unread("the subject at a terminal", "was not tried: how a person starts it is not known"))
    if not calm.sent:
        missed.append(
            Unread("the subject without a terminal", "made no request to the model even in a calm repository")
        )
    progress("opening hostile repositories", whole, whole)
    record = Record("repository", subject, {"runs": facts}, tuple(findings), tuple(missed))
    dossier.write(record)
    return record


def _stay(attack: Attack, limit_s: float) -> Stay:
    files = dict(FILES) | {path: text for path, text in attack.files if not path.startswith(".git/")}
    config = "".join(text for path, text in attack.files if path == ".git/config")
    hooks = {
        path.removeprefix(".git/"): text
        for path, text in attack.files
        if path.startswith(".git/") and path != ".git/config"
    }
    return Stay(files=files, git_config=config, hooks=hooks, open=True, limit_s=limit_s)


async def _at_terminal(
    sandbox: Sandbox, folder: Path, recipe: Recipe, interactive: Sequence[str], attack: Attack
) -> tuple[list[str], list[str], Seen, str]:
    shown = replace(recipe, argv=tuple(interactive), env={**recipe.env, "TERM": "xterm-256color"})
    screen = bytearray()
    async with Bench(sandbox, folder, shown) as bench, _terminal(screen) as slave:
        stay = replace(_stay(attack, _PATIENCE_S), terminal=slave)
        seen = await bench.run(Surroundings((), {}), stay)
        text = " ".join(_CONTROL.sub(" ", screen.decode("utf-8", "replace")).split())
        return marks(bench.home, attack.commands), _hosts(seen, attack), seen, text


@asynccontextmanager
async def _terminal(screen: bytearray) -> AsyncIterator[int]:
    """A pty at which nobody types; what is written to it goes to `screen`."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    os.set_blocking(master, False)

    async def drain() -> None:
        nonlocal screen
        with suppress(OSError):  # Linux ends a pty without a slave in this way
            while True:
                await anyio.wait_readable(master)
                with suppress(BlockingIOError):
                    screen += os.read(master, 65536)
                    del screen[:-_SCREEN_BYTES]

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(drain)
            yield slave
            group.cancel_scope.cancel()
    finally:
        os.close(slave)
        os.close(master)


def _hosts(seen: Seen, attack: Attack) -> list[str]:
    asked = {one.host for one in seen.asked} | {sent.host for sent in seen.strayed}
    return [name for name in attack.hosts if host_of(name) in asked]


def _fact(attack: Attack, seen: Seen, ran: list[str], asked: list[str], how: str) -> dict[str, Any]:
    return {
        "group": attack.group,
        "how": how,
        "tried": [*attack.commands, *attack.hosts],
        "ran": ran,
        "reached": asked,
        "model_requests": len(seen.sent),
        "exit_code": seen.code,
    }


def _told(
    attack: Attack, ran: list[str], asked: list[str], seen: Seen, repeat: str, *, at_terminal: bool
) -> list[Finding]:
    how = (
        "at a terminal, before anybody answered a question"
        if at_terminal
        else "in a run without a terminal, without asking"
    )
    found: list[Finding] = []
    by_itself = [name for name in ran if not name.startswith(_OF_GIT)]
    for names, by_git in ((by_itself, False), ([name for name in ran if name not in by_itself], True)):
        if not names:
            continue
        severity: Severity = "high" if at_terminal and not by_git else "medium"
        found.append(
            Finding(
                rule="repository/runs-commands" + ("-by-git" if by_git else ""),
                title="Commands of a repository are run" + (" by the git that it starts" if by_git else ""),
                severity=severity,
                certainty="observed",
                step="repository",
                what=f"Commands that stand in a repository's own files were run {how}: {', '.join(names)}.",
                evidence=tuple(Evidence(_place(attack, name), f"{name} left its mark") for name in names),
                repeat=repeat,
            )
        )
    if asked:
        with_key = [sent for sent in seen.strayed if sent.host in {host_of(name) for name in asked}]
        found.append(
            Finding(
                rule="repository/asks-elsewhere",
                title="A repository decides where requests go",
                severity="high" if with_key else "medium",
                certainty="observed",
                step="repository",
                what=f"Hosts that only a repository's own files name were asked for {how}: {', '.join(asked)}; "
                f"{len(with_key)} request(s) were sent there.",
                evidence=(
                    *(Evidence(_place(attack, name), f"{host_of(name)} was asked for") for name in asked),
                    *(
                        Evidence(
                            f"request to {sent.host}",
                            f"{sent.method} {printable(sent.target, 120)}",
                            facts=_keys(sent.headers),
                        )
                        for sent in with_key[:4]
                    ),
                ),
                repeat=repeat,
            )
        )
    return found


def _keys(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    carried = [name for name, _ in headers if name.lower() in ("authorization", "x-api-key", "api-key")]
    return (("carries a key in", ", ".join(carried)),) if carried else ()


def _place(attack: Attack, name: str) -> str:
    return next((path for path, text in attack.files if f"-{name}" in text or host_of(name) in text), attack.group)
