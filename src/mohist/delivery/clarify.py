"""Stage 1, Clarify: whether the requirement can be built as it stands, and the few questions whose answer changes it.

Each question has a recommended answer; told to go on (`yes`), the delivery goes on with these. What contradicts itself has
none: that is asked of a person, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mohist.base import canonical_json, sha256_hex
from mohist.delivery import prompt
from mohist.delivery.answer import Understood
from mohist.delivery.machine import state_of
from mohist.delivery.port import Job
from mohist.delivery.stage import Context, Ended, bounded, heard, opened, think
from mohist.delivery.state import Delivery, Gate

_STEP: Final = "clarify"


@dataclass(frozen=True, slots=True)
class Clarified:
    """What came of the stage."""

    size: str
    answers: tuple[tuple[str, str], ...] = ()
    """Questions with answers."""

    def tiny(self, delivery: Delivery) -> bool:
        """Whether the short way will do: asked for, or small enough and not asked against."""
        short = delivery.options.get("short")
        return bool(short) if short is not None else self.size == "tiny"


@bounded
async def run(context: Context) -> Ended:
    """Asks, or goes on."""
    delivery = (await context.facts()).delivery
    if not any(char.isalnum() for char in delivery.requirement):
        return Ended("failed", "The requirement is empty. Say what is to change, and what will be seen of it.")
    if delivery.options.get("short"):
        await context.settle(_STEP, {"size": "tiny", "answers": []})
        return Ended("skipped", "short way: nothing is asked")
    questions, size, blind = await _questions(context, delivery)
    if not questions:
        await context.settle(_STEP, {"size": size, "answers": []})
        return Ended("done", "nothing to ask")
    if delivery.options.get("yes"):
        if blind:
            return Ended("failed", f"The requirement contradicts itself: {'; '.join(blind)}. Say which holds.")
        said = {str(one["id"]): str(one["recommended"]) for one in questions}
        how = "as recommended"
    else:
        digest = sha256_hex(canonical_json(questions))
        facts: dict[str, Any] = {"questions": questions}
        gate = await opened(context, Gate("", "questions", "clarify", "questions", digest, (), False, facts=facts))
        if gate.status != "approved":
            return Ended("waiting", "questions are open")
        said, how = _answers(questions, gate)
        if missing := [str(one["id"]) for one in questions if not said[str(one["id"])]]:
            return Ended("failed", f"No answer was given to {', '.join(missing)}. `mohist deliver retry` asks again.")
    answers = [[str(one["question"]), said[str(one["id"])]] for one in questions]
    await context.settle(_STEP, {"size": size, "answers": answers})
    told = "; ".join(f"{question} {answer}" for question, answer in answers)
    await context.note("answers", f"answered {how}: {told}", answers=said)
    return Ended("done", f"{len(answers)} questions answered {how}")


async def clarified(context: Context) -> Clarified:
    """What came of the stage, whichever attempt it was done in."""
    row = state_of(await context.facts())["clarify"]
    known = await context.known(_STEP, row.attempt)
    if known is None:
        return Clarified("small")
    return Clarified(known["size"], tuple((question, answer) for question, answer in known["answers"]))


async def _questions(context: Context, delivery: Delivery) -> tuple[list[dict[str, Any]], str, Sequence[str]]:
    known = await context.known(f"{_STEP}/understood")
    key = context.key(_STEP)
    if known is None:
        folder = await context.ground.worktree(key, delivery.base_commit)
        task = prompt.analyst(delivery.requirement, context.measure.questions, await heard(context, "clarify"))
        answer, _ = await think(context, "clarify", Job(key, "analyst", task, folder, writes=False), Understood)
        known = await context.settle(f"{_STEP}/understood", answer.model_dump(mode="json"))
    await context.ground.drop(key)
    understood = Understood.model_validate(known)
    asked = [
        {"question": f"This contradicts itself: {pair} Which holds?", "recommended": "", "why": "Both can't be built."}
        for pair in understood.contradictions
    ]
    asked += [one.model_dump(mode="json") for one in understood.questions[: context.measure.questions]]
    rows = [{"id": f"Q{number}", "options": [], **one} for number, one in enumerate(asked, 1)]
    return rows, understood.size, understood.contradictions


def _answers(questions: Sequence[dict[str, Any]], gate: Gate) -> tuple[dict[str, str], str]:
    given = {name: text for decision in gate.decisions for name, text in decision.answers.items() if text.strip()}
    said = {str(one["id"]): given.get(str(one["id"]), str(one["recommended"])).strip() for one in questions}
    return said, f"by {', '.join(dict.fromkeys(decision.by for decision in gate.decisions))}"
