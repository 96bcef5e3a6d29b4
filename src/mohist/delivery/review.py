"""Stage 6, Review: a reviewer who did not write it, then a bounded exchange with whoever mends it.

A finding approves nothing and proves nothing. What is mended is verified by exit codes again before the reviewer looks
again. Where the two never agree a person decides, who sees both views.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from mohist.delivery import prompt
from mohist.delivery.answer import Replied, Reply, Reviewed, Said
from mohist.delivery.build import Build
from mohist.delivery.check.dependency import is_licence
from mohist.delivery.consent import VIEWS
from mohist.delivery.implement import GRAVE, fix, globs_of, mend
from mohist.delivery.port import Job
from mohist.delivery.spec import PLACE, folder_of
from mohist.delivery.stage import Context, Ended, ask, bounded, opened, think
from mohist.delivery.state import Finding, Gate

_STEP: Final = "review"
_VERIFY: Final = "verify"


@dataclass(slots=True)
class _Talk:
    """What was said so far: findings by name, and the last word of the implementer to each."""

    findings: dict[str, Finding]
    replies: dict[str, Reply]

    @property
    def grave(self) -> dict[str, Finding]:
        return {name: one for name, one in self.findings.items() if one.status == "open" and one.severity in GRAVE}

    def told(self) -> list[str]:
        """Findings that are open, with replies, as the other side reads them."""
        rows = []
        for name, one in self.findings.items():
            if one.status == "open":
                place = f" {one.path}:{one.line}" if one.path else ""
                criterion = f" ({one.criterion})" if one.criterion else ""
                said = self.replies.get(name)
                reply = f"\n  implementer: {'mended' if said.fixed else 'not mended'}; {said.why}" if said else ""
                rows.append(f"{name} {one.severity}{place}{criterion}: {one.text}{reply}")
        return rows


@bounded
async def run(context: Context) -> Ended:
    """Reviews the change, and has mended what is found."""
    facts = await context.facts()
    build = await Build.open(context, facts)
    if facts.delivery.commit:
        await build.take(facts.delivery.commit)
    plan = await build.plan()
    if await build.head() != facts.delivery.commit:
        # Nothing is reviewed that was not verified.
        await mend(build, plan, _STEP)
        await build.set_commit()
    talk = _Talk({}, {})
    rounds = context.measure.mends
    for number in range(rounds + 1):
        await _look(build, talk, number + 1)
        if not talk.grave:
            if ended := await _doubts(build):
                return ended
            await build.set_commit()
            left = sum(one.status == "open" for one in talk.findings.values())
            return Ended("done", f"{len(talk.findings)} findings, {left} of them minor and left open")
        if number < rounds:
            text = prompt.replier(build.spec.text, globs_of(plan), talk.told(), ())
            _, answer = await fix(build, f"{_STEP}/fix/{number + 1}", text, globs_of(plan), answered=True)
            talk.replies |= {reply.finding: reply for reply in _replies(answer)}
            await mend(build, plan, _STEP)
            await build.set_commit()
    return await _person(build, talk)


async def _look(build: Build, talk: _Talk, number: int) -> None:
    """A reviewer looks; what they list is open, what they leave out is mended."""
    context = build.context
    step = f"{_STEP}/look/{number}"
    key = context.key(step)
    known = await context.known(step)
    if known is None:
        head = await build.head()
        folder = await context.ground.worktree(key, head)
        text = prompt.reviewer(
            build.spec.text, await _diff(build, head), await _evidence(build, head), await _weakened(build), talk.told()
        )
        job = Job(key, "reviewer", text, folder, writes=False)
        answer, outcome = await think(context, "review", job, Reviewed, lambda said: _unknown(said, talk))
        known = await context.settle(step, {"said": answer.model_dump(mode="json"), "model": outcome.model})
    await context.ground.drop(key)
    said = Reviewed.model_validate(known["said"])
    listed = {one.id for one in said.findings}
    for name, before in talk.findings.items():
        if before.status == "open" and name not in listed:
            talk.findings[name] = dataclasses.replace(before, status="fixed")
    for one in said.findings:
        name = one.id or f"F{len(talk.findings) + 1}"
        talk.findings[name] = _finding(context, name, one, known["model"])
    await _enter(context, talk)


async def _person(build: Build, talk: _Talk) -> Ended:
    """A person decides what reviewer and implementer could not agree on."""
    context = build.context
    head = await build.set_commit()
    views: list[dict[str, Any]] = [
        {"finding": name, **dataclasses.asdict(one), "reply": reply.why if (reply := talk.replies.get(name)) else ""}
        for name, one in talk.grave.items()
    ]
    subject = "review: reviewer and implementer do not agree"
    gate = await opened(context, Gate("", "review", "review", subject, head, (), False, facts={VIEWS: views}))
    if gate.status != "approved":
        return Ended("waiting", f"{subject} on {', '.join(talk.grave)}")
    if ended := await _doubts(build):
        return ended
    by = gate.decisions[-1].by
    waived = list(talk.grave)
    for name in waived:
        talk.findings[name] = dataclasses.replace(talk.findings[name], status="waived")
    await _enter(context, talk)
    return Ended("done", f"{len(talk.findings)} findings; {by} waived {', '.join(waived)}")


async def _doubts(build: Build) -> Ended | None:
    """What verification found and only a person decides: licences of new packages that the rule does not allow or that
    nobody knows, and blockers (a secret, other checks than were agreed on). None: all is decided."""
    context = build.context
    rows = await ask(context.book.findings, context.delivery_id)
    found = [one for one in rows if one.by == _VERIFY and one.status == "open"]
    doubts = [one for one in found if is_licence(one) or one.severity == "blocker"]
    if not doubts:
        return None
    head = await build.set_commit()
    subject = "licences of new packages" if all(map(is_licence, doubts)) else "what verification found"
    views: list[dict[str, Any]] = [
        {"finding": one.finding_id, **dataclasses.asdict(one), "reply": ""} for one in doubts
    ]
    gate = await opened(context, Gate("", "review", "review", subject, head, (), False, facts={VIEWS: views}))
    if gate.status != "approved":
        return Ended("waiting", f"{subject}: {doubts[0].text}")
    for one in doubts:
        await ask(context.book.put_finding, context.delivery_id, dataclasses.replace(one, status="waived"))
    await context.note("waived", f"{gate.decisions[-1].by} allowed {subject} ({len(doubts)})", gate=gate.gate_id)
    return None


async def _enter(context: Context, talk: _Talk) -> None:
    for one in talk.findings.values():
        await ask(context.book.put_finding, context.delivery_id, one)


async def _diff(build: Build, head: str) -> str:
    """The change without the spec's own folder, cut where it is too long for a prompt."""
    context = build.context
    own = f"{folder_of(context.delivery_id)}/"
    text = await context.ground.diff(build.delivery.base_commit, head)
    parts = [f"diff --git {part}" for part in f"\n{text}".split("\ndiff --git ")[1:]]
    kept = "\n".join(part for part in parts if own not in part.partition("\n")[0])
    most = context.measure.diff_chars
    return kept if len(kept) <= most else f"{kept[:most]}\n… cut here; the folder holds the rest."


async def _evidence(build: Build, head: str) -> list[str]:
    rows = await ask(build.context.book.evidence, build.context.delivery_id, build.context.attempt)
    own = folder_of(build.context.delivery_id)
    return [
        f"{row.subject}, {row.phase} the change: `{row.command.replace(own, PLACE)}` ended with {row.exit_code}"
        for row in rows
        if row.stage == "verify" and row.commit in (head, build.delivery.base_commit)
    ]


async def _weakened(build: Build) -> list[str]:
    rows = await ask(build.context.book.findings, build.context.delivery_id)
    return [f"{one.severity}: {one.path}: {one.text}" for one in rows if one.by == _VERIFY and one.status == "open"]


def _finding(context: Context, name: str, said: Said, model: str) -> Finding:
    by = f"reviewer ({model})"
    return Finding(
        context.key(f"{_STEP}/{name}"), said.severity, said.text, said.path, said.line, said.criterion, by, "open"
    )


def _unknown(said: Reviewed, talk: _Talk) -> Sequence[str]:
    ids = [one.id for one in said.findings if one.id]
    wrong = [
        f"there is no earlier finding {name}; leave `id` empty for a new one"
        for name in ids
        if name not in talk.findings
    ]
    return wrong + [f"{name} is listed twice" for name in sorted({name for name in ids if ids.count(name) > 1})]


def _replies(answer: str) -> Sequence[Reply]:
    """What the implementer said; a reply that can't be read is none, for the reviewer looks at the change anyway."""
    try:
        return Replied.model_validate_json(answer).replies if answer else ()
    except ValidationError:
        return ()
