"""From an order to a dossier and what it amounts to: step by step, each written down before the next begins."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from mohist import __version__
from mohist.app.vet.install import Installed, install
from mohist.app.vet.order import RUN_LIMIT_S, RUN_STEPS, Order
from mohist.app.vet.recipe import Ways, server, ways
from mohist.base import StatePaths
from mohist.sandbox import Bubblewrap, Limits
from mohist.vet import Dossier, Evidence, Finding, Record, Subject, SubjectError, Unread, acquire, examine, parse
from mohist.vet.account import Account, gather
from mohist.vet.behaviour.behave import behave
from mohist.vet.behaviour.differ import differ
from mohist.vet.behaviour.repository import repository
from mohist.vet.comparison import compare
from mohist.vet.difference.experiment import Plan

Tell = Callable[[str], None]
Progress = Callable[[str, int, int], None]

LIMITS = Limits(memory_bytes=16 * 1024**3, processes=4096, file_bytes=4 * 1024**3, open_files=65_536, cpu_s=1800)
"""On each run of a subject: coding clients are large programs."""
_RUNNING = ("behave", "differ", "repository")
_SERVER_S = 20.0
"""A server that waits for a client is watched for as long."""
_HOST = re.compile(r"(?<![\w.-])[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}(?![\w-])")
_MORE_VALUES = 2
"""Hosts and zones found inside a subject that are varied besides; each costs a few runs."""


@dataclass(slots=True)
class _Desk:
    """One vetting at work."""

    order: Order
    env: Mapping[str, str]
    subject: Subject
    dossier: Dossier
    folder: Path
    sandbox: Bubblewrap
    progress: Progress
    tell: Tell
    programs: tuple[str, ...] = ()
    tree: Path | None = None

    @property
    def home(self) -> Path:
        return Path(self.env.get("HOME") or "/nonexistent")

    def repeat(self, step: str) -> str:
        """The command that does one step again."""
        order = self.order
        words = ["mohist", "vet", self.subject.text, "--steps", step]
        if order.command:
            words += ["--command", shlex.join(order.command)]
        if order.dialect:
            words += ["--dialect", order.dialect]
        if step == "differ" and order.seed != 1:
            words += ["--seed", str(order.seed)]
        return shlex.join(words)


async def vet(order: Order, env: Mapping[str, str], progress: Progress, tell: Tell) -> Account:
    """Does the steps of an order, one after the other.

    Args:
        order: what and how.
        env: the user's environment: registries, PATH, HOME.
        progress: what is being done, how far, of how much.
        tell: gets a line for what could not be done.

    Raises:
        VetError: the subject can't be had or read.
        MohistError: a step could not be done at all.
    """
    subject = parse(order.subject, cwd=order.cwd, arguments=(), search_path=env.get("PATH"))
    sandbox = Bubblewrap(state=StatePaths.from_env(env).home)
    folder = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="vet-")))
    try:
        desk = _Desk(order, env, subject, Dossier(order.out), folder, sandbox, progress, tell)
        await _static_steps(desk)
        if any(step in order.steps for step in _RUNNING):
            await _running_steps(desk)
        if order.against is not None:
            await anyio.to_thread.run_sync(_compared, desk, order.against)
    finally:
        await anyio.to_thread.run_sync(sandbox.close)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    return gather(desk.dossier, version=__version__)


async def _static_steps(desk: _Desk) -> None:
    order = desk.order
    wanted = desk.subject.package or desk.subject
    of_registry = wanted.kind in ("npm", "pypi")
    running = any(step in order.steps for step in _RUNNING)
    if "acquire" in order.steps or "static" in order.steps or (of_registry and running and not _by_path(order)):
        desk.progress("acquiring", 0, 1)
        got = await acquire(desk.subject, desk.dossier, into=desk.folder / "acquired", env=desk.env, home=desk.home)
        desk.subject, desk.tree = got.subject, got.tree
        desk.programs = tuple(name for name, _ in got.programs)
        desk.progress("acquiring", 1, 1)
    if "static" in order.steps and desk.tree is not None:
        desk.progress("reading its files", 0, 1)
        tree, text = desk.tree, desk.subject.text
        await anyio.to_thread.run_sync(lambda: examine(tree, text, desk.dossier))
        desk.progress("reading its files", 1, 1)


async def _running_steps(desk: _Desk) -> None:
    order = desk.order
    if desk.subject.kind == "server" and not order.command:
        await _serve(desk)
        return
    try:
        known, installed = await _ready(desk)
    except SubjectError as error:
        if order.steps != RUN_STEPS:
            raise
        desk.tell(f"It is not run: {error}")
        return
    subject, limit_s = desk.subject.text, order.run_limit_s or RUN_LIMIT_S
    limited: Any = {"subject": subject, "limit_s": limit_s, "progress": desk.progress}
    place = desk.folder / "runs"
    if "behave" in order.steps:
        recipes = [("as it comes", known.loud)]
        if known.quiet != known.loud:
            recipes.append(("told to be quiet", known.quiet))
        record = await behave(desk.sandbox, place, recipes, desk.dossier, repeat=desk.repeat("behave"), **limited)
        if installed is not None:
            desk.dossier.write(_with_installing(record, installed, desk.repeat("behave")))
    if "repository" in order.steps:
        await repository(
            desk.sandbox,
            place,
            known.quiet,
            desk.dossier,
            client=known.client,
            interactive=known.interactive,
            repeat=desk.repeat("repository"),
            **limited,
        )
    if "differ" in order.steps:
        hosts, zones = _found_inside(desk.dossier)
        await differ(
            desk.sandbox,
            place,
            known.quiet,
            desk.dossier,
            repeat=desk.repeat("differ"),
            plan=Plan(seed=order.seed, chance=order.chance),
            hosts=(*order.hosts, *hosts),
            zones=(*order.zones, *zones),
            **limited,
        )


async def _serve(desk: _Desk) -> None:
    """A server is started and watched; it asks no model, so there are no requests to compare."""
    order, subject = desk.order, desk.subject
    if "behave" not in order.steps:
        return
    program, installed = None, None
    if subject.package is not None:
        desk.progress("installing", 0, 1)
        installed = await install(
            desk.sandbox, subject.package, desk.programs, desk.folder / "package", desk.env, desk.home
        )
        program = installed.program
    shown = await anyio.to_thread.run_sync(server, order, desk.env, subject.argv, program)
    record = await behave(
        desk.sandbox,
        desk.folder / "runs",
        [("started", shown)],
        desk.dossier,
        subject=subject.text,
        repeat=desk.repeat("behave"),
        limit_s=min(order.run_limit_s, _SERVER_S),
        progress=desk.progress,
    )
    left = [one for one in record.unread if not one.where.startswith("the run")]
    left.append(Unread("its tools", "were not called: it was started with nobody who speaks to it"))
    record = replace(record, unread=tuple(left))
    desk.dossier.write(record if installed is None else _with_installing(record, installed, desk.repeat("behave")))


async def _ready(desk: _Desk) -> tuple[Ways, Installed | None]:
    """How it is run; a package is installed first, unless somebody says what starts it."""
    order, wanted = desk.order, desk.subject.package or desk.subject
    own = not order.command or order.command[0] in desk.programs
    if wanted.kind in ("npm", "pypi") and own:
        desk.progress("installing", 0, 1)
        programs = order.command[:1] or desk.programs
        installed = await install(desk.sandbox, wanted, programs, desk.folder / "package", desk.env, desk.home)
        desk.progress("installing", 1, 1)
        return await anyio.to_thread.run_sync(ways, order, desk.env, installed.program, installed.package), installed
    if order.command:
        return await anyio.to_thread.run_sync(ways, order, desk.env), None
    if wanted.kind == "executable" and wanted.path is not None:
        return await anyio.to_thread.run_sync(ways, order, desk.env, wanted.path), None
    raise SubjectError(
        f"How {desk.subject.text!r} is run is not known.", "Name the command: --command 'PROGRAM ARGS @PROMPT@'."
    )


def _by_path(order: Order) -> bool:
    """Whether a command names a program of this machine, so that nothing has to be installed."""
    return bool(order.command) and "/" in order.command[0]


def _with_installing(record: Record, installed: Installed, repeat: str) -> Record:
    """With what installing tried to reach besides its registry."""
    refused = [row for row in installed.tried if "not-listed" in row["outcomes"]]
    facts = {**record.facts, "installing": {"tried": list(installed.tried)}}
    if not refused:
        return replace(record, facts=facts)
    finding = Finding(
        rule="behave/install-hosts",
        title="Installing reaches for more than the registry",
        severity="medium",
        certainty="observed",
        step="behave",
        what=f"While it was installed, hosts other than the registry were tried: {', '.join(row['host'] for row in refused)}.",
        evidence=tuple(
            Evidence(row["host"], f"port {row['port'] or '(name only)'}, {row['times']} times") for row in refused
        ),
        repeat=repeat,
    )
    return replace(record, facts=facts, findings=(*record.findings, finding))


def _found_inside(dossier: Dossier) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A few hosts from decoded tables, and zones that the subject names one by one: it may look for them."""
    record = dossier.read("static")
    if record is None:
        return (), ()
    hosts: list[str] = []
    for finding in record.findings:
        if finding.rule == "static/encoded-hosts":
            hosts += [host for one in finding.evidence for _, fact in one.facts for host in _HOST.findall(fact)]
    named = record.facts.get("zones", ())
    zones = [row["name"] for row in named if isinstance(row, dict) and str(row.get("name", "")).startswith("Asia/")]
    return tuple(dict.fromkeys(hosts))[:_MORE_VALUES], tuple(zones[:_MORE_VALUES])


def _compared(desk: _Desk, against: Path) -> None:
    notes = desk.order.notes.read_text(encoding="utf-8") if desk.order.notes is not None else None
    desk.dossier.write(compare(Dossier(against), desk.dossier, notes=notes))
