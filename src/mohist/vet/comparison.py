"""What is new since a version that was vetted before, and whether its release notes say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final

from mohist.vet.dossier import Dossier, Record
from mohist.vet.errors import DossierError
from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import SEVERITIES, Finding, Severity, Step, ranked
from mohist.vet.standing import standing

SHOWN_MAX: Final = 12
"""Things that a sentence names; the evidence names all."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """One thing that steps count, of which new ones are told."""

    step: Step
    key: str
    """Names it in the facts of `compare`."""
    names: Callable[[Mapping[str, Any]], Iterable[str]]
    """Its names in a step's facts."""
    rule: str
    title: str
    severity: Severity
    """Of a new one that notes don't name, or where there are none."""


def _rows(key: str) -> Callable[[Mapping[str, Any]], Iterable[str]]:
    """Of a list of objects with a name, or an object whose keys are the names."""
    return lambda facts: (str(one["name"]) if isinstance(one, Mapping) else str(one) for one in facts.get(key, ()))


def _runs(key: str, name: Callable[[Any], str]) -> Callable[[Mapping[str, Any]], Iterable[str]]:
    """Of a list in each run of `behave`."""
    return lambda facts: (name(one) for run in facts.values() for one in run.get(key, ()))


def _dependence(one: Mapping[str, Any]) -> str:
    factors = ", ".join(sorted({str(each["factor"]) for each in one["factors"]}))
    return f"{one['sort']}: {factors}"


INVENTORIES: Final = (
    Inventory(
        "acquire", "hooks", lambda facts: (f"{one['when']}: {one['what']}" for one in facts.get("hooks", ())),
        "hooks", "Runs other things by itself than before", "high",
    ),
    Inventory("acquire", "dependencies", _rows("dependencies"), "dependencies", "Depends on other packages", "low"),
    Inventory("static", "hosts", _rows("hosts"), "hosts", "Names hosts that it did not name", "low"),
    Inventory(
        "static", "addresses", _rows("addresses"),
        "addresses", "Names public addresses by number that it did not name", "medium",
    ),
    Inventory(
        "static", "facts", _rows("facts"), "reads", "Reads facts of the machine in ways that it did not", "low"
    ),
    Inventory("static", "zones", _rows("zones"), "zones", "Names time zones that it did not name", "medium"),
    Inventory(
        "static", "characters", _rows("characters"),
        "characters", "Holds characters beyond ASCII that it did not hold", "low",
    ),
    Inventory(
        "behave", "tried", _runs("tried", lambda one: str(one["host"])),
        "hosts-tried", "Tried hosts that it did not try", "medium",
    ),
    Inventory(
        "behave", "decoys_read", _runs("decoys_read", str),
        "files-read", "Read other tools' files that it did not read", "medium",
    ),
    Inventory(
        "behave", "processes", _runs("processes", lambda one: PurePosixPath(str(one["executable"])).name),
        "processes", "Started programs that it did not start", "low",
    ),
    Inventory("behave", "tools", _runs("tools", str), "tools", "Declares tools that it did not declare", "low"),
    Inventory("behave", "prompt", _runs("prompt", str), "prompt", "Gives the model instructions that it did not give", "low"),
    Inventory(
        "differ", "dependences", lambda facts: (_dependence(one) for one in facts.get("dependences", ())),
        "dependences", "Makes model requests depend on other facts of the machine", "high",
    ),
)  # fmt: skip
_GRAVE: Final[Severity] = "medium"
"""A finding of this weight, by a rule that the earlier version did not meet, is told by itself."""


def compare(earlier: Dossier, later: Dossier, *, notes: str | None = None) -> Record:
    """The step `compare`: what the later version has that the earlier one had not.

    Only steps that both have are compared; that a step is missing on one side is said.

    Args:
        earlier: of the version that was vetted before.
        later: of this one.
        notes: the later version's release notes; what they name weighs nothing more, what they don't weighs as it does. None: none given.

    Raises:
        DossierError: one of them holds no step, or can't be read.
    """
    old, new = _steps(earlier), _steps(later)
    if not old or not new:
        raise DossierError("There is nothing to compare with.", "Vet the earlier version first.")
    before, subject = next(iter(old.values())).subject, next(iter(new.values())).subject
    told = (notes or "").casefold()
    added: dict[str, list[str]] = {}
    gone: dict[str, list[str]] = {}
    findings: list[Finding] = []
    for inventory in INVENTORIES:
        if inventory.step not in old or inventory.step not in new:
            continue
        was = set(inventory.names(old[inventory.step].facts))
        now = set(inventory.names(new[inventory.step].facts))
        added[f"{inventory.step}.{inventory.key}"] = fresh = sorted(now - was)
        gone[f"{inventory.step}.{inventory.key}"] = sorted(was - now)
        unnamed = [name for name in fresh if notes is None or not _names(told, name)]
        if unnamed:
            findings.append(_new(inventory, unnamed, before, notes is not None))
        if named := [name for name in fresh if name not in unnamed]:
            findings.append(_announced(inventory, named, before))
    findings += _heavier(old, new, before)
    return Record(
        "compare",
        subject,
        {
            "with": before,
            "added": added,
            "gone": gone,
            "notes_given": notes is not None,
            "steps_of_one_side_only": sorted(set(old) ^ set(new)),
        },
        ranked(findings),
    )


def _steps(dossier: Dossier) -> dict[Step, Record]:
    """All steps but this one; with what `behave` saw in the kept requests."""
    steps: dict[Step, Record] = {record.step: record for record in dossier.records() if record.step != "compare"}
    if seen := steps.get("behave"):
        asked = {name: sorted(lines) for name, lines in standing(dossier).items()}
        steps["behave"] = replace(seen, facts={**seen.facts, "all requests": asked})
    return steps


def _names(notes: str, name: str) -> bool:
    """Whether notes name a thing: by its whole name, or what follows the kind in "kind: word"."""
    word = name.casefold().rpartition(": ")[2]
    return bool(word) and word in notes


def _new(inventory: Inventory, fresh: list[str], before: str, noted: bool) -> Finding:
    beside = ", none of which the notes name" if noted else ""
    return Finding(
        f"compare/{inventory.rule}",
        inventory.title,
        inventory.severity,
        "observed",
        "compare",
        f"{len(fresh)} not seen in {before}{beside}: {_shown(fresh)}.",
        tuple(Evidence(f"{inventory.step}.json", printable(name), facts=(("in", inventory.key),)) for name in fresh),
        f"Compare {inventory.key!r} in {inventory.step}.json of both.",
    )


def _announced(inventory: Inventory, named: list[str], before: str) -> Finding:
    return Finding(
        f"compare/{inventory.rule}-announced",
        f"{inventory.title}, as its notes say",
        "info",
        "observed",
        "compare",
        f"{len(named)} not seen in {before}, each named in the notes: {_shown(named)}.",
        tuple(Evidence(f"{inventory.step}.json", printable(name), facts=(("in", inventory.key),)) for name in named),
        f"Compare {inventory.key!r} in {inventory.step}.json of both, and search the notes.",
    )


def _heavier(old: Mapping[Step, Record], new: Mapping[Step, Record], before: str) -> Iterable[Finding]:
    """Rules that weigh something and that the earlier version did not meet."""
    least = SEVERITIES.index(_GRAVE)
    for step in sorted(set(old) & set(new)):
        known = {(one.rule, one.severity) for one in old[step].findings}
        fresh: dict[str, Finding] = {}
        for one in new[step].findings:
            if SEVERITIES.index(one.severity) >= least and (one.rule, one.severity) not in known:
                fresh.setdefault(one.rule, one)
        for one in fresh.values():
            yield Finding(
                f"compare/{one.rule.replace('/', '-')}",
                f"New since the earlier version: {one.title}",
                one.severity,
                one.certainty,
                "compare",
                f"{before} did not show this. {one.what}",
                one.evidence[:SHOWN_MAX],
                one.repeat,
            )


def _shown(rows: list[str]) -> str:
    more = len(rows) - SHOWN_MAX
    return ", ".join(printable(row, 80) for row in rows[:SHOWN_MAX]) + (f" and {more} others" if more > 0 else "")
