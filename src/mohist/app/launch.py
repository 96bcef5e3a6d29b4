"""From a command's options to a run and its result."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mohist.agent.execute import Approve
from mohist.agent.log import read_log
from mohist.agent.record import Header
from mohist.agent.tool.ask import Reply
from mohist.app import machine as machines
from mohist.app import session
from mohist.app.caution import caution
from mohist.app.config import Config, load_config
from mohist.app.connect import Connected, connect, find_run, load_rules
from mohist.app.database import owner_config
from mohist.app.errors import ConfigError
from mohist.app.imprint import imprint
from mohist.app.machine import Machine
from mohist.app.result import RunResult
from mohist.app.task import Task
from mohist.app.trust import TrustStore
from mohist.app.workspace import Workspace
from mohist.event import EventSink, Note
from mohist.policy import RuleSet


@dataclass(frozen=True, slots=True)
class Launch:
    """What a command line asks for."""

    task: str
    cwd: Path
    model: str | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    worktree: bool = False
    record: Path | None = None
    resume: str | None = None
    delivery: str = ""
    """What the run is part of; empty: nothing."""


async def launch(request: Launch, emit: EventSink, approve: Approve | None, reply: Reply | None) -> RunResult:
    """Starts or resumes a run and returns how it ended; raises MohistError when it can't start."""
    machine = machines.build(os.environ, emit, approve, reply)
    machine = machines.recorded_by(machine, owner_config(os.environ).ledger)
    # The start waits for git and the sandbox; what the first call needs is loaded meanwhile.
    threading.Thread(target=_load, daemon=True).start()
    try:
        if request.resume:
            return await _resume(machine, request)
        return await _start(machine, request)
    finally:
        machine.close()


def _load() -> None:
    with suppress(ImportError):  # told where it is needed
        for name in ("app.pipeline", "provider.mount", "provider.openai_chat", "provider.catalogue"):
            import_module(f"mohist.{name}")


async def _start(machine: Machine, request: Launch) -> RunResult:
    private = machine.paths.home / "git" / machine.ids.new("tree")
    workspace = await Workspace.open(request.cwd, private)
    branch = ""
    try:
        if request.worktree:
            branch = f"mohist/{machine.ids.new('work')}"
            folder = machine.paths.home / "worktrees" / branch.removeprefix("mohist/")
            folder.parent.mkdir(parents=True, exist_ok=True)
            await workspace.worktree(folder, branch)
            workspace.close()
            workspace = await Workspace.open(folder, private)
        config, rules = settings(machine, workspace.root, request.flags)
        machine = machines.confined_by(machine, config.sandbox, config.readable)
        connected = await _connect(machine, request, workspace, config)
        async with _closing(machine, connected):
            task = _task(connected, config, rules, request.task, request.delivery)
            return await session.start(machine, task, workspace, branch)
    finally:
        workspace.close()


async def _resume(machine: Machine, request: Launch) -> RunResult:
    folder = find_run(machine.paths, request.resume or "")
    header = next((entry.record for entry in read_log(folder)), None)
    if not isinstance(header, Header):
        raise ConfigError(f"The run {folder.name!r} never started.", "Start it anew: mohist run")
    root = Path(header.workspace)
    private = machine.paths.home / "git" / machine.ids.new("tree")
    workspace = await Workspace.open(root, private)
    try:
        config, rules = settings(machine, workspace.root, _held(header) | _given(request.flags))
        _refuse_weaker(config, header)
        machine = machines.confined_by(machine, config.sandbox, config.readable)
        # A model is bound to its run: another one would not fit the prefix, so it must be named to be changed.
        request = replace(request, model=request.model or header.model, worktree=False, resume=None)
        connected = await _connect(machine, request, workspace, config)
        async with _closing(machine, connected):
            task = _task(connected, config, rules, header.task, request.delivery, header.checks)
            return await session.resume(machine, task, workspace, folder, request.task)
    finally:
        workspace.close()


def _refuse_weaker(config: Config, header: Header) -> None:
    """The result names the sandbox that the run began with, so no later part of it may be confined less."""
    if config.sandbox == "landlock" and "weak" not in header.sandbox:
        raise ConfigError(
            f"The run {header.run_id!r} began in a stronger sandbox than {config.sandbox}.",
            "Resume it with --sandbox bubblewrap, or start a new run.",
        )


def settings(machine: Machine, root: Path, flags: Mapping[str, Any]) -> tuple[Config, RuleSet]:
    """Configuration and rules that hold in `root`; says what waits for trust."""
    trust = TrustStore(machine.paths.home / "trust.json", machine.clock)
    config = load_config(env=machine.env, paths=machine.paths, project_root=root, trust=trust, flags=flags)
    if config.project is not None and config.project.waiting:
        machine.emit(Note(f"this repository sets {', '.join(config.project.waiting)}; not heard until: mohist trust"))
    return config, load_rules(machine.paths, root)


async def _connect(machine: Machine, request: Launch, workspace: Workspace, config: Config) -> Connected:
    connected = await connect(
        request.model,
        config,
        machine.env,
        machine.clock,
        # A detached head is told by its commit, which hangs on when it was made.
        literals={
            str(workspace.root): "${WORKSPACE}",
            str(machine.paths.home): "${STATE}",
            **({workspace.head[:12]: "${HEAD}"} if workspace.head else {}),
        },
        record=request.record,
        home=machine.paths.home,
        project=workspace.name,
        ids=machine.ids,
        evidence=machine.evidence,
    )
    for note in connected.notes:
        machine.emit(Note(f"model: {note}"))
    return connected


@asynccontextmanager
async def _closing(machine: Machine, connected: Connected) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if lost := await connected.close():
            machine.emit(Note(f"the usage of {lost} call(s) could not be written down"))


def _task(
    connected: Connected, config: Config, rules: RuleSet, text: str, delivery: str, checks: tuple[str, ...] = ()
) -> Task:
    checks = checks or config.checks
    return Task(
        text=text,
        mode=config.mode,
        provider=connected.provider,
        wire_model=connected.wire_model,
        settings=config.run_settings(),
        rules=rules,
        limits=config.tool_limits(),
        network=config.network,
        allow_hosts=config.allow_hosts,
        allow_private_hosts=config.allow_private_hosts,
        checks=checks,
        delivery=delivery,
        configuration=imprint(config, rules),
        caution=caution(config.guard, text, checks),
    )


def _held(header: Header) -> dict[str, Any]:
    """What a run that is resumed goes on with unless something else is said."""
    held: dict[str, Any] = {"mode": header.mode, "network": header.network}
    if header.network == "fenced":
        held |= {
            "allow_hosts": list(header.allow_hosts),
            "allow_private_hosts": list(header.allow_private_hosts),
        }
    return held


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flags.items() if value is not None}
