"""What is new since a version that was vetted before, and whether its release notes say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mohist.vet.dossier import Record
from mohist.vet.errors import DossierError
from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import SEVERITIES, Finding, Severity, Step, ranked

SHOWN_MAX: Final = 12
"""Things that a sentence names; the evidence names all."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """One thing that steps count, of which new ones are told."""

    step: Step
    key: str
    """In the step's facts: a list of names, a list of objects with a `name`, or an object whose keys are the names."""
    rule: str
    title: str
    severity: Severity
    """Of a new one that notes don't name, or where there are none."""


INVENTORIES: Final = (
    Inventory("acquire", "install_scripts", "install-scripts", "Runs other scripts when it is installed", "high"),
    Inventory("acquire", "dependencies", "dependencies", "Depends on other packages", "low"),
    Inventory("static", "hosts", "hosts", "Names hosts that it did not name", "low"),
    Inventory("static", "addresses", "addresses", "Names public addresses by number that it did not name", "medium"),
    Inventory("static", "facts", "reads", "Reads facts of the machine that it did not read", "low"),
    Inventory("static", "zones", "zones", "Names time zones that it did not name", "medium"),
    Inventory("static", "characters", "characters", "Holds characters beyond ASCII that it did not hold", "low"),
    Inventory("behave", "names", "lookups", "Looked up names that it did not look up", "medium"),
    Inventory("behave", "connections", "connections", "Tried connections that it did not try", "medium"),
    Inventory("behave", "reads", "files-read", "Read files outside the project that it did not read", "medium"),
    Inventory("behave", "processes", "processes", "Started programs that it did not start", "low"),
    Inventory("behave", "tools", "tools", "Declares tools that it did not declare", "low"),
    Inventory("behave", "prompt", "prompt", "Sends other standing instructions", "low"),
    Inventory("differ", "depends", "dependences", "Makes requests depend on other facts of the machine", "high"),
)
_GRAVE: Final[Severity] = "medium"
"""A finding of this weight, by a rule that the earlier version did not meet, is told by itself."""


def compare(earlier: Sequence[Record], later: Sequence[Record], *, notes: str | None = None) -> Record:
    """The step `compare`: what the later version has that the earlier one had not.

    Only steps that both have are compared; that a step is missing on one side is said.

    Args:
        earlier: steps of the version that was vetted before.
        later: steps of this one.
        notes: the later version's release notes; what they name weighs nothing more, what they don't weighs as it does. None: none given.

    Raises:
        DossierError: one of them holds no step.
    """
    if not earlier or not later:
        raise DossierError("There is nothing to compare with.", "Vet the earlier version first.")
    old: dict[Step, Record] = {record.step: record for record in earlier if record.step != "compare"}
    new: dict[Step, Record] = {record.step: record for record in later if record.step != "compare"}
    before, subject = earlier[0].subject, later[0].subject
    told = (notes or "").casefold()
    added: dict[str, list[str]] = {}
    gone: dict[str, list[str]] = {}
    findings: list[Finding] = []
    for inventory in INVENTORIES:
        if inventory.step not in old or inventory.step not in new:
            continue
        was = names(old[inventory.step].facts.get(inventory.key))
        now = names(new[inventory.step].facts.get(inventory.key))
        if was is None or now is None:
            continue
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


def names(value: Any) -> set[str] | None:
    """The names in an inventory; None: this is none."""
    if isinstance(value, str):
        return {value} if value else set()
    if isinstance(value, Mapping):
        return {str(key) for key in value}
    if isinstance(value, Sequence):
        return {str(one.get("name", "")) if isinstance(one, Mapping) else str(one) for one in value} - {""}
    return None


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
