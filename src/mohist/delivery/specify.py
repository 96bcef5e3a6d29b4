"""Stage 2, Specify: the spec with its checks, each tried on the base, where it must fail or be absent.

A check that passes before the change proves nothing: it is sent back once, and then shown to whoever approves the spec.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mohist.base import sha256_hex
from mohist.delivery import desk, prompt
from mohist.delivery.answer import Specified
from mohist.delivery.clarify import clarified
from mohist.delivery.errors import SpecError
from mohist.delivery.port import Job
from mohist.delivery.spec import CheckFile, Draft, is_check_file, render, renumbered, spec_of
from mohist.delivery.stage import Context, Ended, ask, bounded, heard, think
from mohist.delivery.state import Criterion, Delivery, Evidence, Spec

_STEP: Final = "specify"
_TAIL_CHARS: Final = 2_000


@bounded
async def run(context: Context) -> Ended:
    """Writes the spec."""
    delivery = (await context.facts()).delivery
    known = await context.known(_STEP) or await _write(context, delivery)
    await context.ground.drop(context.key(_STEP))
    await context.ground.drop(context.key(f"{_STEP}/base"))
    newest = await ask(context.book.spec, context.delivery_id)
    spec = spec_of(known["text"].encode(), 1 if newest is None else newest.version + 1, context.delivery_id)
    if newest is None or (newest.digest != spec.digest and newest.version <= known["after"]):
        await ask(context.book.put_spec, context.delivery_id, spec)
        await ask(desk.put_spec, context.desk, spec)
    passed = known["passed"]
    told = f"{len(spec.criteria)} criteria"
    if passed:
        told += f"; proves nothing, for it passes before the change: {', '.join(passed)}"
        await context.note("spec", told, passed=passed)
    return Ended("done", told + ("; short: a delta" if known["delta"] else ""))


async def tried(context: Context, spec: Spec, base: str) -> tuple[str, ...]:
    """Runs the checks on the base, and puts the evidence in the book.

    Returns:
        Ids of criteria that hold before the change, though they should not.
    """
    passed = []
    copy = await context.ground.copy(context.key(f"{_STEP}/base"), base)
    await ask(desk.lay_out, copy, context.delivery_id, spec)
    for one in spec.criteria:
        if one.check and one.kind == "behaviour":
            row = await _try(context, one, copy, base, spec.digest)
            if row.exit_code == 0:
                passed.append(one.criterion_id)
    return tuple(passed)


async def _try(context: Context, one: Criterion, copy: Path, base: str, digest: str) -> Evidence:
    ran = await context.ground.run(copy, one.check, context.measure.check_timeout_s)
    row = Evidence(
        context.key(f"{_STEP}/{one.criterion_id}/{digest[:12]}"),
        context.attempt,
        "specify",
        one.criterion_id,
        "before",
        one.check,
        ran.exit_code,
        ran.output_sha256 or sha256_hex(ran.output),
        ran.output.decode("utf-8", "replace")[-_TAIL_CHARS:],
        ran.duration_ms,
        base,
        "",
        1,
        int(ran.exit_code == 0),
        context.clock.now_ms(),
    )
    await ask(context.book.put_evidence, context.delivery_id, row)
    return row


async def _write(context: Context, delivery: Delivery) -> dict[str, Any]:
    """Has the spec written, and its checks tried; once more where some prove nothing."""
    # What a person saved is not written over.
    await ask(desk.take_spec, context.desk, context.book, context.delivery_id)
    newest = await ask(context.book.spec, context.delivery_id)
    older = await ask(_versions, context, newest)
    found = await clarified(context)
    delta = found.tiny(delivery)
    before = newest.text if newest else ""
    task = prompt.architect(delivery.requirement, found.answers, await heard(context, "specify"), before, delta=delta)
    key = context.key(_STEP)
    job = Job(key, "architect", task, await context.ground.worktree(key, delivery.base_commit), writes=False)

    def wrong(answer: Specified) -> Sequence[str]:
        return _wrong(answer, older, context.delivery_id)

    answer, _ = await think(context, "specify", job, Specified, wrong)
    spec = _spec(answer, context.delivery_id)
    passed = await tried(context, spec, delivery.base_commit)
    if passed:
        checks = [f"{one.id}: {one.check}" for one in answer.criteria if one.id in passed]
        task = f"{prompt.proves_nothing(task, checks)}\n\n{prompt.quoted('spec', spec.text)}"
        job = dataclasses.replace(job, key=f"{key}/prove", task=task)
        answer, _ = await think(context, "specify", job, Specified, wrong)
        spec = _spec(answer, context.delivery_id)
        passed = await tried(context, spec, delivery.base_commit)
    after = newest.version if newest else 0
    return await context.settle(_STEP, {"text": spec.text, "passed": list(passed), "delta": delta, "after": after})


def _versions(context: Context, newest: Spec | None) -> list[Spec]:
    numbers = range(1, newest.version + 1 if newest else 1)
    return [spec for number in numbers if (spec := context.book.spec(context.delivery_id, number))]


def _spec(answer: Specified, delivery_id: str) -> Spec:
    return spec_of(render(_draft(answer)).encode(), 1, delivery_id)


def _wrong(answer: Specified, older: Sequence[Spec], delivery_id: str) -> Sequence[str]:
    names = [one.path for one in answer.files if not is_check_file(one.path)]
    if names:
        return [f"files: {name!r} must be a path below checks/" for name in names]
    try:
        spec = _spec(answer, delivery_id)
    except SpecError as error:
        return [error.what]
    return renumbered(older, spec.criteria)


def _draft(answer: Specified) -> Draft:
    criteria = tuple(
        Criterion(one.id, one.text, "" if one.check.lower() == "manual" else one.check, one.kind)
        for one in answer.criteria
    )
    return Draft(
        answer.title,
        answer.requirement,
        criteria,
        answer.design,
        answer.non_goals,
        answer.risks,
        answer.data_touched,
        answer.irreversible,
        tuple(CheckFile(one.path, one.content) for one in answer.files),
    )
