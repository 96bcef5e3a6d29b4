"""The step that watches a subject do a small task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mohist.sandbox import Sandbox
from mohist.vet.behaviour.bench import Bench, Seen, Stay
from mohist.vet.behaviour.conduct import BLIND, Conduct, of_others
from mohist.vet.behaviour.decoy import make_decoys
from mohist.vet.behaviour.recipe import Recipe
from mohist.vet.behaviour.surroundings import Surroundings
from mohist.vet.difference.trial import Progress
from mohist.vet.dossier import Dossier, Record, Unread
from mohist.vet.finding import Finding


async def behave(
    sandbox: Sandbox,
    folder: Path,
    recipes: Sequence[tuple[str, Recipe]],
    dossier: Dossier,
    *,
    subject: str,
    repeat: str,
    limit_s: float,
    progress: Progress,
) -> Record:
    """Watches one run of each recipe and writes down what was seen.

    Args:
        sandbox: starts it.
        folder: of its own.
        recipes: each with what it is called: ("as it comes", ...), ("told to be quiet", ...).
        dossier: gets the record and the requests.
        subject: as it was named.
        repeat: how to see it again.
        limit_s: for each run.
        progress: told after each run.

    Raises:
        SandboxError: a run could not be started.
        DossierError: the record could not be written.
    """
    facts: dict[str, Any] = {}
    found: dict[tuple[str, str], Finding] = {}
    missed: list[Unread] = list(BLIND)
    for index, (name, recipe) in enumerate(recipes):
        progress(f"watching it {name}", index, len(recipes))
        decoys = of_others(make_decoys(), recipe)
        async with Bench(sandbox, folder, recipe) as bench:
            seen = await bench.run(Surroundings((), {}), Stay(decoys=decoys, open=True, watched=True, limit_s=limit_s))
        conduct = Conduct(seen, bench, recipe, decoys, repeat)
        facts[name] = conduct.facts()
        for finding in conduct.findings():
            found.setdefault((finding.rule, finding.what), finding)
        missed += _missed(name, seen)
        for number, sent in enumerate([*seen.sent, *seen.strayed], 1):
            stem = f"behave/{index + 1}/request-{number}"
            dossier.attach(f"{stem}.head", sent.head)
            dossier.attach(f"{stem}.body", sent.content)
    progress("watching", len(recipes), len(recipes))
    record = Record("behave", subject, facts, tuple(found.values()), tuple(missed))
    dossier.write(record)
    return record


def _missed(name: str, seen: Seen) -> list[Unread]:
    found: list[Unread] = []
    if not seen.sent:
        how = "was ended at the time limit" if seen.timed_out else f"ended with {seen.code}"
        found.append(Unread(f"the run {name}", f"made no request to the model: it {how}"))
    if seen.lost:
        found.append(Unread(f"the run {name}", "did more to files than could be kept"))
    return found
