"""What a stage is given, what it gives back, and how it thinks: by runs whose answers are files that are checked.

    async def run(context: Context) -> Ended

Run again with the same attempt, a stage comes to the same result: its runs are known by their keys
(`delivery_id/attempt/step`), and what it decided is in the book under such keys. What a run costs is booked by its key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import anyio
from anyio import to_thread
from pydantic import ValidationError

from mohist.base import Clock, MohistError
from mohist.delivery.answer import Answer, told
from mohist.delivery.book import Book
from mohist.delivery.errors import AnswerError, BookError, DeliveryError, RunEndedError
from mohist.delivery.port import Ground, Job, Mind, Outcome
from mohist.delivery.prompt import ANSWER_FILE
from mohist.delivery.state import Bound, Criterion, Delivery, Facts, Gate, GateKind, StageName, StageStatus
from mohist.delivery.verdict import Verified

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

Verifier = Callable[[Delivery, Sequence[Criterion]], Awaitable[Verified]]
"""Gathers the evidence of `delivery.commit`; `verify.Verify` is one."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How much a stage may try before it asks a person."""

    questions: int = 3
    """At most so many are asked."""
    mends: int = 2
    """Rounds in which a run is told what does not hold; of one reviewer's findings as well."""
    parallel: int = 2
    """Runs at one time."""
    check_timeout_s: float = 600.0
    tasks: int = 12
    """A plan with more is sent back: it is several deliveries."""
    diff_chars: int = 60_000
    """Of a diff in a prompt; whoever needs more looks into the worktree."""
    run_seconds: int | None = None
    """Of one run."""
    unpriced: Literal["held", "free"] = "held"
    """What a run whose price nobody knows counts against a bound on money: all that it was allowed to spend; or nothing."""


@dataclass(frozen=True, slots=True)
class Context:
    """All that a stage has in its hands."""

    delivery_id: str
    attempt: int
    book: Book
    mind: Mind
    ground: Ground
    clock: Clock
    desk: Path
    """Folder where people read and edit `spec.md` and `plan.toml` of this delivery; made when it is not there."""
    verify: Verifier
    measure: Measure = field(default_factory=Measure)

    def key(self, step: str, attempt: int = 0) -> str:
        """`delivery_id/attempt/step`; 0: of this attempt."""
        return f"{self.delivery_id}/{attempt or self.attempt}/{step}"

    async def facts(self) -> Facts:
        return await ask(self.book.facts, self.delivery_id)

    async def note(self, kind: str, text: str, **facts: Any) -> None:
        await ask(self.book.note, self.delivery_id, kind, text, facts)

    async def known(self, step: str, attempt: int = 0) -> dict[str, Any] | None:
        """What `settle` put under this step; None: nothing."""
        return await ask(self.book.effect, self.key(step, attempt), "step")

    async def settle(self, step: str, result: dict[str, Any]) -> dict[str, Any]:
        """Puts what a step decided in the book; what is there already holds."""
        await ask(self.book.done, self.key(step), result)
        return await self.known(step) or result


@dataclass(frozen=True, slots=True)
class Ended:
    """How a stage ended; `waiting`: a gate is open, and after it the stage runs again."""

    status: StageStatus
    detail: str = ""


Stage = Callable[[Context], Awaitable[Ended]]
_ENDS: Final = {
    "budget": ("The run stopped at its budget.", "Its work is kept. Give it more, then `mohist deliver retry`."),
    "no_model": ("No model could be reached.", "See `mohist doctor`, then `mohist deliver retry`."),
    "refused": ("The run was refused by policy.", "See `mohist runs show`."),
    "cancelled": ("The run was cancelled.", ""),
    "waiting": ("The run waits for a person's permission.", "See `mohist runs list`."),
    "failed": ("The run failed.", "See `mohist runs show`, then `mohist deliver retry`."),
}
_HEARD: Final[Mapping[StageName, frozenset[GateKind]]] = {
    "clarify": frozenset({"questions"}),
    "specify": frozenset({"questions", "spec", "irreversible"}),
    "plan": frozenset({"plan"}),
    "implement": frozenset({"conflict", "review", "merge"}),
}
"""Whose rejections a stage heeds when it is done again."""
_STOPS: Final = frozenset({"budget", "no_model", "waiting", "cancelled"})
_TURNS: Final = 100


async def ask(call: Callable[..., T], *args: Any) -> T:
    """Calls the book, which is synchronous, in a thread."""
    return await to_thread.run_sync(partial(call, *args))


def bounded(stage: Callable[[Context], Awaitable[Ended]]) -> Stage:
    """A stage whose errors become how it ended; a bound that is reached waits, for the machine asks a person then."""

    async def run(context: Context) -> Ended:
        try:
            return await stage(context)
        except BookError:
            raise  # Nothing could be recorded; the engine does it again.
        except RunEndedError as error:
            if error.status == "budget" and is_out(left_of(await context.facts(), context.clock.now_ms())):
                return Ended("waiting", error.what)
            return Ended("failed", str(error))
        except DeliveryError as error:
            if error.audience == "bug":
                raise
            return Ended("failed", str(error))
        except MohistError as error:
            return Ended("failed", str(error))
        except OSError as error:  # the boundary of a stage: a disk that is full or gone ends it, and not the worker
            where = f" ({error.filename})" if error.filename else ""
            return Ended("failed", f"{error.strerror or error}{where}. Mend it, then `mohist deliver retry`.")

    return run


async def think(
    context: Context, stage: StageName, job: Job, form: type[A], check: Callable[[A], Sequence[str]] | None = None
) -> tuple[A, Outcome]:
    """Has a run answer in a form; told once what is wrong with its answer, it may answer again.

    Args:
        job: without `output`.
        check: what is wrong with an answer beyond its form, a sentence each.

    Raises:
        RunEndedError: it did not come to its end.
        AnswerError: no answer, or not one that can be used, twice.
    """
    job = dataclasses.replace(job, output=ANSWER_FILE)
    outcome = await work(context, stage, job)
    for again in (False, True):
        answer, wrong = _read(outcome, form, check)
        if answer is not None and not wrong:
            return answer, outcome
        if again:
            break
        text = told(job.task, outcome.output, wrong)
        outcome = await work(context, stage, dataclasses.replace(job, key=f"{job.key}/again", task=text))
    raise AnswerError(f"The {job.role}'s answer can't be used: {'; '.join(wrong)[:500]}.", "`mohist deliver retry`.")


async def work(context: Context, stage: StageName, job: Job) -> Outcome:
    """Has a run do a job, and books what it cost.

    Raises:
        RunEndedError: it did not come to its end.
    """
    outcome = await attempted(context, stage, job)
    if outcome.status != "done":
        what, mend = _ENDS[outcome.status]
        raise RunEndedError(f"{job.role}: {what}", mend, status=outcome.status)
    return outcome


async def attempted(context: Context, stage: StageName, job: Job) -> Outcome:
    """Has a run do a job, and books what it cost, however it ends; within what is left of the delivery's budget."""
    left = left_of(await context.facts(), context.clock.now_ms())
    job = dataclasses.replace(
        job,
        cost_microusd=_least(job.cost_microusd, left.cost_microusd),
        tokens=_least(job.tokens, left.tokens),
        seconds=_least(job.seconds, context.measure.run_seconds, left.seconds),
    )
    if is_out(left):
        return Outcome("", "budget", "", "", 0, 0, None)
    # What stopped before its end is known by its key for ever; given more, it goes on under another.
    for turn in range(_TURNS):
        key = f"{job.key}~{turn}" if turn else job.key
        if await ask(context.book.effect, f"{key}/stopped", "run") is None:
            break
    outcome = await context.mind.run(dataclasses.replace(job, key=key))
    # As the gateway does it: a call whose price nobody knows is charged what was held for it.
    held = (job.cost_microusd or 0) if context.measure.unpriced == "held" else 0
    await ask(context.book.spend, context.delivery_id, stage, key, outcome.cost_microusd, outcome.tokens, held)
    if outcome.status in _STOPS:
        await ask(context.book.done, f"{key}/stopped", {"status": outcome.status})
    return outcome


async def side_by_side(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Waits for all of them, and gives what they gave, in order; the first error is raised once the others have ended."""
    done: dict[int, T] = {}
    errors: list[MohistError] = []

    async def one(number: int) -> None:
        try:
            done[number] = await calls[number]()
        except MohistError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for number in range(len(calls)):
            group.start_soon(one, number)
    if errors:
        raise errors[0]
    return [done[number] for number in range(len(calls))]


async def opened(context: Context, gate: Gate) -> Gate:
    """The gate as it stands in the book; opened where it is not."""
    return await ask(context.book.open_gate, context.delivery_id, gate)


async def heard(context: Context, stage: StageName) -> tuple[str, ...]:
    """What people said that this stage should heed: rejections and comments, oldest first."""
    facts = await context.facts()
    said = [
        (decision.at_ms, f"{decision.by} rejected {gate.subject}: {decision.because}")
        for gate in facts.gates
        for decision in gate.decisions
        if decision.verdict == "reject" and decision.because and gate.kind in _HEARD[stage]
    ]
    notes = await ask(context.book.notes, context.delivery_id)
    said += [
        (note.at_ms, f"{note.facts.get('by', 'somebody')}: {note.text}")
        for note in notes
        if note.kind == "comment" and note.facts.get("stage") in (None, stage)
    ]
    return tuple(text for _, text in sorted(said, key=lambda row: row[0]))


def _read(outcome: Outcome, form: type[A], check: Callable[[A], Sequence[str]] | None) -> tuple[A | None, list[str]]:
    if outcome.output is None:
        return None, [f"the file {ANSWER_FILE} is not there"]
    try:
        answer = form.model_validate_json(outcome.output.strip())
    except ValidationError as error:
        return None, [_problem(row) for row in error.errors(include_url=False, include_input=False)][:8]
    return answer, list(check(answer)) if check else []


def _problem(row: Any) -> str:
    place = ".".join(str(part) for part in row["loc"])
    return f"{place}: {row['msg']}" if place else str(row["msg"])


def left_of(facts: Facts, now_ms: int) -> Bound:
    """What is left of the delivery's bounds, 0 at the least; time counts while a stage works."""
    delivery, bound = facts.delivery, facts.delivery.bound
    worked_ms = sum(max(0, (row.ended_at_ms or now_ms) - row.began_at_ms) for row in facts.stages if row.began_at_ms)
    return Bound(
        _rest(bound.cost_microusd, delivery.spent_microusd + delivery.held_microusd),
        _rest(bound.tokens, delivery.spent_tokens),
        _rest(bound.seconds, worked_ms // 1000),
    )


def is_out(left: Bound) -> bool:
    """Whether nothing is left of one of the bounds: then a person is asked for more."""
    return 0 in (left.cost_microusd, left.tokens, left.seconds)


def _rest(bound: int | None, used: int) -> int | None:
    return None if bound is None else max(0, bound - used)


def _least(*amounts: int | None) -> int | None:
    return min((amount for amount in amounts if amount is not None), default=None)
