"""What the process and the machine give a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from mohist.agent.execute import Approve
from mohist.agent.tool.ask import Reply
from mohist.app.evidence import Evidence, open_evidence
from mohist.app.key import SandboxName
from mohist.app.ledger_setting import LedgerSettings
from mohist.base import Clock, IdSource, RandomIds, StatePaths, SystemClock
from mohist.event import EventSink, Note
from mohist.sandbox import Bubblewrap, Guarantee, Landlock, Sandbox, find_toolchains


@dataclass(frozen=True, slots=True)
class Machine:
    """Built once at the start of the process; `close` ends what it owns."""

    paths: StatePaths
    clock: Clock
    ids: IdSource
    env: Mapping[str, str]
    sandbox: Sandbox
    sandbox_line: str
    """One line for people: what confines."""
    confined: bool
    readable: tuple[Path, ...]
    """Toolchains outside the system folders that commands may read."""
    shell: str
    emit: EventSink
    approve: Approve | None = None
    reply: Reply | None = None
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    close: Callable[[], None] = lambda: None
    evidence: Evidence | None = None
    """The ledger; None: nothing is entered."""
    sandbox_report: Callable[[], Awaitable[list[Guarantee]]] | None = None
    """What the sandbox's probes find now; None: it has none."""


def build(
    env: Mapping[str, str],
    emit: EventSink,
    approve: Approve | None,
    reply: Reply | None,
) -> Machine:
    """The machine as it is, before any setting is known."""
    paths = StatePaths.from_env(env)
    clock = SystemClock()
    sandbox = Bubblewrap(state=paths.home)
    return Machine(
        paths=paths,
        clock=clock,
        ids=RandomIds(clock),
        env=env,
        sandbox=sandbox,
        sandbox_line=f"{sandbox.name}: workspace and /tmp writable, home and host hidden",
        confined=True,
        readable=find_toolchains(env),
        shell=shutil.which("bash", path=os.defpath) or "/bin/sh",
        emit=emit,
        approve=approve,
        reply=reply,
        close=sandbox.close,
        sandbox_report=sandbox.report,
    )


def recorded_by(machine: Machine, settings: LedgerSettings) -> Machine:
    """The machine with the ledger that its owner has; closing it enters what is queued."""
    evidence = open_evidence(machine.paths.home, settings, machine.env, lambda said: machine.emit(Note(said)))
    if evidence is None:
        return machine
    before = machine.close

    def close() -> None:
        evidence.close()
        before()

    return replace(machine, evidence=evidence, close=close)


def confined_by(machine: Machine, sandbox: SandboxName, readable: tuple[Path, ...] = ()) -> Machine:
    """The machine with the sandbox that the settings name, and the folders they show to commands.

    All but bubblewrap was asked for by a person.
    """
    machine = replace(machine, readable=(*machine.readable, *readable))
    if sandbox == "bubblewrap":
        return machine
    weak = Landlock(accepted=sandbox, state=machine.paths.home)
    return replace(
        machine,
        sandbox=weak,
        sandbox_line=f"{weak.name}, git hooks and settings in the workspace can be changed, the host is seen",
        sandbox_report=weak.report,
    )
