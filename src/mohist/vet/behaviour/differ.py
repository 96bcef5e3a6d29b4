"""The step that varies a subject's surroundings and compares its requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from mohist.sandbox import Sandbox
from mohist.vet.behaviour.bench import Bench, Stay
from mohist.vet.behaviour.laboratory import FencedLaboratory
from mohist.vet.behaviour.recipe import Recipe
from mohist.vet.behaviour.surroundings import OFFICIAL, fake_clock, standard_factors
from mohist.vet.difference.account import examples, facts, findings, unread
from mohist.vet.difference.experiment import Experiment, Plan
from mohist.vet.difference.factor import Factor
from mohist.vet.difference.trial import Laboratory, Progress
from mohist.vet.dossier import Dossier, Record, Unread


async def differ(
    sandbox: Sandbox,
    folder: Path,
    recipe: Recipe,
    dossier: Dossier,
    *,
    subject: str,
    repeat: str,
    limit_s: float,
    progress: Progress,
    plan: Plan | None = None,
    hosts: Sequence[str] = (),
    zones: Sequence[str] = (),
) -> Record:
    """Runs the experiment and writes down what it has shown.

    Args:
        sandbox: starts the runs.
        folder: of its own.
        recipe: how the subject is run; told to be quiet, where it has a switch.
        dossier: gets the record, and the requests of the runs that a finding shows.
        subject: as it was named.
        repeat: how to see it again.
        limit_s: for each run.
        progress: told after each run.
        plan: how much is tried.
        hosts: more names for the base URL, such as those found inside the subject.
        zones: more time zones, likewise.

    Raises:
        SandboxError: a run could not be started.
        DossierError: the record could not be written.
    """
    plan = plan or Plan()
    clock = fake_clock()
    factors: tuple[Factor, ...] = standard_factors(recipe.dialect, hosts=hosts, zones=zones, dates=clock is not None)
    async with Bench(sandbox, folder, recipe) as bench:
        laboratory = FencedLaboratory(bench, factors, clock, Stay(limit_s=limit_s))
        if clock is not None:
            plain = standard_factors(recipe.dialect, hosts=hosts, zones=zones, dates=False)
            without = FencedLaboratory(bench, plain, None, Stay(limit_s=limit_s))
            if not await _bears_clock(laboratory, without):
                factors, laboratory = plain, without
        result = await Experiment(laboratory, factors, plan, progress).run()
    if result is None:
        missed = (Unread("the model requests", "could not be compared: too few runs reached the model"),)
        record = Record("differ", subject, {}, (), missed)
    else:
        for trial in examples(result):
            for number, sent in enumerate(trial.sent, 1):
                stem = f"differ/run-{trial.number}/request-{number}"
                dossier.attach(f"{stem}.head", sent.head)
                dossier.attach(f"{stem}.body", sent.content)
            about = json.dumps(dict(trial.assignment), sort_keys=True) + "\n"
            dossier.attach(f"differ/run-{trial.number}/assignment.json", about.encode("utf-8"))
        record = Record(
            "differ",
            subject,
            facts(result, factors, plan.seed),
            findings(result, factors, repeat, OFFICIAL[recipe.dialect]),
            unread(result, factors),
        )
    dossier.write(record)
    return record


async def _bears_clock(with_clock: Laboratory, without: Laboratory) -> bool:
    """Whether the subject makes the same requests under libfaketime, and does not state the machine's own date all the same.

    Not every program bears libfaketime, and statically linked ones don't see it.
    """
    one, other = await with_clock.run({}), await without.run({})
    today = datetime.fromtimestamp(other.facts.started_s, UTC).date()
    return (
        not one.failure
        and set(one.requests) == set(other.requests)
        and not any(_states(sent.content, today) for sent in one.sent)
    )


def _states(content: bytes, day: date) -> bool:
    forms = (day.isoformat(), f"{day:%Y/%m/%d}", f"{day.month}/{day.day}/{day.year}", f"{day:%b %d %Y}")
    return any(form.encode("ascii") in content for form in forms)
