"""The bodies of segments: each walks its stages by the machine's word, and stops where a person or another segment is next.

A stage comes to the same result however often it is begun, so nothing here is remembered but how far it came.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from mohist.app.attesting import state_builds, state_merge
from mohist.app.mapping import map_delivery
from mohist.app.office import Office, Study
from mohist.delivery import clarify, implement, landing, plan, report, review, specify
from mohist.delivery.book import Book
from mohist.delivery.chronicle import ChronicledStore
from mohist.delivery.engine import Body, Segments, StepRunner
from mohist.delivery.errors import EngineError, StateError
from mohist.delivery.gate import why_skip
from mohist.delivery.machine import Start, entered, left, next_step
from mohist.delivery.order import skip
from mohist.delivery.stage import Context, Ended, Stage, ask, bounded
from mohist.delivery.state import Facts, Move, SegmentName, StageName

MOST_STEPS: Final = 60
"""Stages in one segment, each environment of a deploy counted; more is a circle."""


def segments(office: Office, book: Book) -> Segments:
    """The three bodies."""
    return {name: _body(office, book, name) for name in ("spec", "build", "ship")}


def _body(office: Office, book: Book, segment: SegmentName) -> Body:
    async def body(steps: StepRunner, delivery_id: str, turn: int) -> dict[str, Any]:
        return await _walk(office, book, segment, steps, delivery_id, turn)

    return body


async def _walk(
    office: Office, book: Book, segment: SegmentName, steps: StepRunner, delivery_id: str, turn: int
) -> dict[str, Any]:
    delivery = await ask(book.get, delivery_id)
    if isinstance(book, ChronicledStore):
        # Whoever was killed between a row and its entry left the entry to us.
        await ask(book.reconcile, delivery_id)
    async with office.study(delivery, book) as study:
        stages = _stages(office, study)
        for number in range(MOST_STEPS):
            await steps.guard()
            facts = await ask(book.facts, delivery_id)
            ruling = await office.rulings.know(facts.delivery, study.ground)
            step = next_step(facts, office.rulings.known(facts))
            if not isinstance(step, Start) or step.segment != segment:
                return {"stages": number}
            why = why_skip(step.stage, ruling)
            try:
                if why:
                    await ask(book.move, delivery_id, partial(_skipped, stage=step.stage, why=why, office=office))
                    continue
                now_ms = office.clock.now_ms()
                await ask(book.move, delivery_id, partial(entered, turn=turn, stage=step.stage, now_ms=now_ms))
            except StateError:
                # Somebody paused it, took it over or decided something between the look and the step.
                continue
            context = dataclasses.replace(study.context, attempt=facts.delivery.attempt)
            ended = await stages[step.stage](context)
            await ask(
                book.move,
                delivery_id,
                partial(
                    _left,
                    attempt=context.attempt,
                    stage=step.stage,
                    ended=ended,
                    now_ms=office.clock.now_ms(),
                    models=study.take_models(),
                ),
            )
            # Recorded so that a segment that was cut off often is seen to have come further.
            await steps(f"{number}-{step.stage}-{context.attempt}", _nothing)
    raise EngineError(f"Segment {segment!r} of {delivery_id!r} goes round in circles.", audience="bug")


def _left(facts: Facts, attempt: int, stage: StageName, ended: Ended, now_ms: int, models: tuple[str, ...]) -> Move:
    move = left(facts, attempt, stage, ended.status, now_ms, ended.detail)
    if not models:
        return move
    rows = tuple(dataclasses.replace(row, model=_joined(row.model, models)) for row in move.stages)
    return dataclasses.replace(move, stages=rows)


def _joined(before: str, models: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys([*filter(None, before.split(", ")), *models]))


def _skipped(facts: Facts, stage: StageName, why: str, office: Office) -> Move:
    return skip(facts, stage, why, office.clock.now_ms())


def _nothing() -> bool:
    return True


def _stages(office: Office, study: Study) -> Mapping[StageName, Stage]:
    async def merge(context: Context) -> Ended:
        harbour, forge = study.shore()
        ended = await landing.run(context, study.ground, harbour, forge)
        if ended.status != "done" or office.evidence is None:
            return ended
        # It is merged, whatever comes of its map: that can be made at any time, and is said when it was not.
        delivery = (await context.facts()).delivery
        told = [
            ended.detail,
            await map_delivery(office.evidence, delivery, study.ground.objects),
            await state_merge(office.evidence, delivery, study.ground.objects, office.folder(delivery.delivery_id)),
        ]
        return dataclasses.replace(ended, detail="; ".join(filter(None, told)))

    async def deploy(context: Context) -> Ended:
        ended = await study.ship(context)
        if ended.status == "waiting" or office.evidence is None:
            return ended
        delivery = (await context.facts()).delivery
        told = await state_builds(office.evidence, delivery, study.ground.objects, office.folder(delivery.delivery_id))
        return dataclasses.replace(ended, detail=f"{ended.detail}; {told}") if told else ended

    return {
        "clarify": clarify.run,
        "specify": specify.run,
        "plan": plan.run,
        "implement": implement.run,
        "verify": bounded(_verify),
        "review": review.run,
        "merge": bounded(merge),
        "deploy": deploy,
        "report": report.run,
    }


async def _verify(context: Context) -> Ended:
    facts = await context.facts()
    verified = await context.verify(facts.delivery, facts.spec.criteria if facts.spec else ())
    if not verified.ok:
        return Ended("failed", "; ".join(verified.reasons))
    held = sum(row.holds is True for row in verified.matrix)
    return Ended("done", f"{held} of {len(verified.matrix)} checks hold" + "".join(f"; {r}" for r in verified.remarks))
