"""What the command line does with deliveries: begin one, decide, order, look."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import to_thread

from mohist.app.office import Office
from mohist.app.ruling import USER_FILE
from mohist.app.server import find_model
from mohist.app.work import pressing
from mohist.base import ExitCode
from mohist.delivery import desk, order
from mohist.delivery.account import Report, gather
from mohist.delivery.consent import who_may
from mohist.delivery.errors import DeliveryError, NotEntitledError, StateError
from mohist.delivery.machine import stale
from mohist.delivery.report import write
from mohist.delivery.stage import ask
from mohist.delivery.state import (
    STAGES,
    Bound,
    Decision,
    Delivery,
    Facts,
    Gate,
    Move,
    StageName,
)

_MOST_BYTES: Final = 1_000_000
_ISSUE: Final = re.compile(r"^https?://\S+/issues/\d+\S*$")
ENDS: Final[Mapping[str, ExitCode]] = {
    "done": ExitCode.DONE,
    "waiting": ExitCode.WAITING,
    "paused": ExitCode.WAITING,
    "working": ExitCode.WAITING,
    "failed": ExitCode.FAILED,
    "cancelled": ExitCode.CANCELLED,
}
"""Exit codes by what a delivery is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    requirement: str
    source: str = "text"
    folder: Path = field(default_factory=Path)
    base: str = ""
    """Branch that the change is for; empty: the one that is checked out."""
    bound: Bound = field(default_factory=Bound)
    options: Mapping[str, Any] = field(default_factory=dict)


def account_name() -> str:
    """Who acts: the account of this process, which no variable can change."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an id without a name, as in a container
        return f"uid-{os.getuid()}"


def actor(office: Office, named: str | None) -> str:
    """Who acts: the account of this process, or who is named.

    Naming somebody else is heard only where the tables are a file of this machine: whoever may write that file could write
    any name into it, so nothing is given away. Where they are a server's, names must be its word, not the caller's.

    Raises:
        NotEntitledError: somebody else was named, and the tables are not a file.
    """
    own = account_name()
    if named and named != own and not office.is_file:
        raise NotEntitledError(
            f"You are {own!r} and can't act as {named!r}: these deliveries are kept in a database that others use.",
            "Say it from their account.",
        )
    return named or own


def read_file(path: Path) -> str:
    """A requirement from a file.

    Raises:
        DeliveryError: it can't be read, is too large, or is no text.
    """
    try:
        data = path.read_bytes()[: _MOST_BYTES + 1]
    except OSError as error:
        raise _usage(f"{str(path)!r} can't be read: {error.strerror}.", "Name a file that is there.") from None
    if len(data) > _MOST_BYTES:
        raise _usage(f"{str(path)!r} is larger than {_MOST_BYTES} bytes.", "A requirement is a few pages of text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _usage(f"{str(path)!r} is not UTF-8 text.", "Save it as UTF-8.") from None


async def begin(office: Office, asked: Asked, by: str, delivery_id: str = "") -> tuple[Delivery, tuple[str, ...]]:
    """Makes a delivery and starts its first segment.

    Args:
        office: what it is made of.
        asked: what is asked for.
        by: who asks.
        delivery_id: empty: a fresh one.

    Returns:
        The delivery, and what a person should know of the repository before it begins.

    Raises:
        DeliveryError: the requirement is empty.
        GitError: there is no repository with a commit.
        NoModelError, ModelNameError: nothing could think.
    """
    text = asked.requirement.strip()
    if not any(char.isalnum() for char in text):
        raise _usage("The requirement is empty.", 'Say what is to change: mohist deliver "…", or --file FILE')
    delivery_id = delivery_id or office.ids.new("dlv")
    now_ms = office.clock.now_ms()
    delivery = Delivery(
        delivery_id, str(asked.folder.absolute()), text, asked.source, by, "", "", f"mohist/{delivery_id}", "working",
        "clarify", 1, now_ms, now_ms, asked.bound, options=dict(asked.options),
    )  # fmt: skip
    if _ISSUE.match(text):
        delivery = await _of_issue(office, delivery)
    async with office.machine() as bare:
        ground = await office.ground(delivery, bare)
        standing = await ground.standing()
        commit, branch = standing.commit, standing.branch
        harbour = office.harbour(delivery, ground)
        if harbour is not None:
            branch = asked.base or branch
            commit = await harbour.tip(branch) if branch else ""
            if not commit:
                raise _usage(f"There is no branch {branch!r} where it is to be merged.", "Name one: --base BRANCH")
        elif asked.base:
            commit, branch = await ground.resolve(f"refs/heads/{asked.base}"), asked.base
        elif not branch:
            # Told now: the merge would tell it, after all that was paid for the way there.
            raise _usage(
                f"The head is detached at {commit[:12]}: there is no branch to merge into.", "Name one: --base B"
            )
        delivery = replace(delivery, base_commit=commit, base_branch=branch)
        # Rules that can't be read, and that nothing can think, are told now and not in an hour.
        await office.rulings.know(delivery, ground)
        config, machine = office.config(bare, delivery.repository)
        await find_model(delivery.options.get("model"), config, machine.env)
    await ask(office.book.create, delivery, pressing(office))
    return await ask(office.book.get, delivery_id), standing.remarks


async def _of_issue(office: Office, delivery: Delivery) -> Delivery:
    """With the issue's words for the requirement. What people wrote there is what is asked for, and nothing more."""
    forge = office.forge(delivery)
    if forge is None:
        raise _usage(
            "No forge is named for this repository, so its issues can't be read.",
            f"Name it in {office.paths.home / USER_FILE}, or save the issue's text: --file FILE",
        )
    issue = await forge.issue(delivery.requirement)
    text = f"{issue.title}\n\n{issue.body}".strip()
    return replace(delivery, requirement=text, source=issue.url)


def open_gates(facts: Facts) -> list[Gate]:
    """Gates that wait for somebody."""
    return [gate for gate in facts.gates if gate.status == "open" and not gate.closed and not stale(gate, facts)]


def decide(
    office: Office,
    delivery_id: str,
    by: str,
    verdict: str,
    because: str = "",
    answers: Mapping[str, str] | None = None,
    gate_id: str = "",
) -> list[Gate]:
    """Says something at the open gates, or at the one that is named; what follows begins.

    What a person made of the spec's file meanwhile is taken up first, so nobody approves what they don't see.

    Raises:
        StateError: there is nothing to decide.
        OutdatedError, NotEntitledError, DecidedError: as the book says.
    """
    if desk.take_spec(office.desk(delivery_id), office.book, delivery_id) is not None:
        office.book.move(delivery_id, lambda facts: order.spec_edited(facts, by, office.clock.now_ms()))
        raise StateError("The spec was edited since it was shown; it is a new version now.", "Look, and approve it.")
    facts = office.book.facts(delivery_id)
    gates = _meant(facts, verdict, gate_id)
    teams = office.rulings.teams(facts, by)
    now_ms = office.clock.now_ms()
    return [
        office.book.decide(
            gate.gate_id,
            Decision(by, verdict, because, gate.digest, now_ms, _answers(gate, answers or {}), teams),  # type: ignore[arg-type]
            # With the last one: what follows from the first of several rejections withdraws the other gates.
            pressing(office) if gate is gates[-1] else None,
        )
        for gate in gates
    ]


def _meant(facts: Facts, verdict: str, gate_id: str) -> list[Gate]:
    gates = open_gates(facts)
    if gate_id:
        gates = [gate for gate in gates if gate_id in (gate.gate_id, gate.gate_id.rpartition(".")[2], gate.kind)]
    elif verdict == "answer":
        gates = [gate for gate in gates if gate.kind == "questions"]
    elif verdict == "approve":
        # An approval of everything at once is no look at what can't be taken back, costs, or is in conflict.
        careful = [gate for gate in gates if gate.kind in ("irreversible", "budget", "conflict")]
        gates = [gate for gate in gates if gate.kind != "questions"]
        if careful and len(gates) > 1:
            raise _several(gates)
    if not gates:
        delivery = facts.delivery
        state = f"{delivery.status}{': ' if delivery.detail else ''}{delivery.detail}"
        raise StateError(f"Delivery {delivery.delivery_id!r} has no such open gate; it is {state}.")
    return gates


def _several(gates: list[Gate]) -> StateError:
    names = ", ".join(f"{gate.gate_id} ({gate.subject})" for gate in gates)
    return StateError(f"Several gates are open: {names}.", "Name each: --gate GATE")


def _answers(gate: Gate, given: Mapping[str, str]) -> dict[str, str]:
    if gate.kind != "questions":
        return dict(given)
    known = {str(one["id"]): str(one.get("recommended", "")) for one in gate.facts.get("questions", ())}
    if strange := set(given) - set(known):
        raise StateError(f"There is no question {', '.join(sorted(strange))}.", f"Asked are {', '.join(known)}.")
    return known | dict(given)


def deputed(
    office: Office,
    delivery_id: str,
    by: str,
    gate_id: str,
    transition: Callable[[Facts, str, str, tuple[str, ...]], Move],
) -> Gate:
    """Makes one of `deputy`'s moves at the open gate, or at the one that is named.

    Args:
        office: what it is made of.
        delivery_id: the whole id.
        by: who orders it.
        gate_id: number, kind or id; empty: the only one.
        transition: from facts, the gate's id, who orders it and their teams.

    Raises:
        StateError: there is no such gate, or several.
        NotEntitledError: as `deputy` says.
    """
    facts = office.book.facts(delivery_id)
    gates = _meant(facts, "", gate_id)
    if len(gates) > 1:
        raise _several(gates)
    teams = office.rulings.teams(facts, by)
    office.book.move(delivery_id, lambda now: transition(now, gates[0].gate_id, by, teams))
    return next(gate for gate in office.book.gates(delivery_id) if gate.gate_id == gates[0].gate_id)


def ordered(office: Office, delivery_id: str, transition: Callable[..., Move], *args: Any) -> Delivery:
    """Makes one of `order`'s moves, now."""
    return office.book.move(delivery_id, partial(_ordered, transition=transition, args=args, office=office))


def _ordered(facts: Facts, transition: Callable[..., Move], args: tuple[Any, ...], office: Office) -> Move:
    return transition(facts, *args, office.clock.now_ms())


def exit_code(facts: Facts) -> ExitCode:
    """How a command ends that leaves a delivery so."""
    if any(gate.kind == "budget" for gate in open_gates(facts)):
        return ExitCode.BUDGET
    return ENDS[facts.delivery.status]


def stage_of(text: str) -> StageName:
    """Raises StateError for what is no stage."""
    for stage in STAGES:
        if stage == text:
            return stage
    raise StateError(f"There is no stage {text!r}.", f"Stages are {', '.join(STAGES)}.")


async def report(office: Office, delivery: Delivery) -> tuple[Report, Path]:
    """The report as of now, written beside the spec."""
    async with office.machine() as machine:
        has_ground = (office.folder(delivery.delivery_id) / "ground").is_dir()
        ground = await office.ground(delivery, machine) if has_ground else None
        made = await gather(office.book, ground, delivery.delivery_id)
    folder = office.desk(delivery.delivery_id)
    await to_thread.run_sync(write, folder, made)
    return made, folder


async def worktree(office: Office, delivery: Delivery) -> Path:
    """Where a person who takes a delivery over works: the worktree in which the change is collected."""
    facts = await ask(office.book.facts, delivery.delivery_id)
    async with office.machine() as machine:
        ground = await office.ground(delivery, machine)
        key = f"{delivery.delivery_id}/collect/{facts.spec.digest if facts.spec else ''}"
        return await ground.worktree(key, delivery.base_commit)


async def hand_back(office: Office, delivery: Delivery, by: str) -> Delivery:
    """Commits what the person made, and goes on from there."""
    if delivery.taken_by and delivery.taken_by != by:
        raise NotEntitledError(f"{delivery.taken_by!r} has it, and hands it back.")
    async with office.machine() as machine:
        ground = await office.ground(delivery, machine)
        folder = await worktree(office, delivery)
        commit = await ground.commit(
            folder, f"Work by {by}", {"Mohist-Delivery": delivery.delivery_id, "Mohist-Person": by}
        )

    def move(facts: Facts) -> Move:
        return order.hand_back(facts, by, commit, office.clock.now_ms())

    return await to_thread.run_sync(office.book.move, delivery.delivery_id, move)


def as_json(office: Office, delivery: Delivery) -> dict[str, Any]:
    """Everything that `show --json` prints."""
    facts = office.book.facts(delivery.delivery_id)
    told = asdict(facts.delivery)
    told["stages"] = [asdict(row) for row in facts.stages]
    told["gates"] = [asdict(gate) | {"who": who_may(gate, delivery.requested_by)} for gate in facts.gates]
    told["spec"] = asdict(facts.spec) if facts.spec else None
    told["plan"] = asdict(facts.plan) if facts.plan else None
    told["releases"] = [asdict(row) for row in facts.releases]
    told["desk"] = str(office.desk(delivery.delivery_id))
    return told


async def until_ended(office: Office, delivery_id: str, limit_s: float) -> Delivery:
    """Waits until another process has ended what runs; whoever watches decides what to do when it has not."""
    delivery = await ask(office.book.get, delivery_id)
    with anyio.move_on_after(limit_s):
        while delivery.segment:
            await anyio.sleep(0.1)
            delivery = await ask(office.book.get, delivery_id)
    return delivery


def _usage(what: str, mend: str) -> DeliveryError:
    error = DeliveryError(what, mend)
    error.exit_code = ExitCode.USAGE
    return error
