"""What an experiment has shown, as findings: what was observed in which runs, and how to see it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mohist.vet.difference.edit import differing
from mohist.vet.difference.experiment import Confirmed, Result
from mohist.vet.difference.factor import Factor, FactorName, title_of
from mohist.vet.difference.feature import Deviation, FeatureId
from mohist.vet.difference.part import raw_index
from mohist.vet.difference.reading import HIDDEN, TITLES, Reading
from mohist.vet.difference.suspect import Cause
from mohist.vet.difference.trial import Trial
from mohist.vet.dossier import Unread
from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import Finding

_SHOWN = 6
"""Places of one finding."""
_FRACTION = 6
"""Digits of a probability."""


def findings(result: Result, factors: Sequence[Factor], repeat: str, vendor_host: str = "") -> tuple[Finding, ...]:
    """One finding for each dependence, and one for each fact that is stated openly.

    Args:
        result: of the experiment.
        factors: that were varied.
        repeat: how to see it again.
        vendor_host: of the subject's own vendor, to which it may say more than to others.
    """
    own: Cause = frozenset({("endpoint", vendor_host)})
    made = [_dependence(one, result, factors, repeat, own) for one in result.confirmed]
    by_factor: dict[FactorName, list[tuple[Trial, FeatureId, Deviation, Reading]]] = {}
    for (factor, _), example in sorted(result.stated.items(), key=lambda item: item[0]):
        by_factor.setdefault(factor, []).append(example)
    made += [_stated(factor, examples, factors, repeat) for factor, examples in by_factor.items()]
    return tuple(made)


def unread(result: Result, factors: Sequence[Factor]) -> tuple[Unread, ...]:
    """What the experiment could not look at."""
    found = [
        Unread(failure.partition(":")[0], f"can't be compared: {failure.partition(': ')[2]}")
        for failure in result.failures
    ]
    for suspect in result.untried:
        feature = suspect.symptom.features[0]
        found.append(
            Unread(f"{feature.label}, {feature.where}", "was not tried again: too many differences were seen before it")
        )
    have = {factor.name for factor in factors}
    if "date" not in have:
        found.append(
            Unread(
                "date",
                "was not varied: there is no libfaketime on this machine, or the subject does not bear it or does not see it",
            )
        )
    return tuple(found)


def facts(result: Result, factors: Sequence[Factor], seed: int) -> dict[str, Any]:
    """The step's inventory."""
    return {
        "factors": [
            {"name": factor.name, "title": factor.title, "values": list(factor.levels), "how": factor.how}
            for factor in factors
        ],
        "runs": len(result.trials),
        "seed": seed,
        "suspicions_tried": result.tried,
        "suspicions_refuted": result.refuted,
        "reference_run": result.reference.number,
        "requests": [
            {"label": label, "bytes": len(sent.body), "headers": len(sent.headers)}
            for label, sent in result.reference.requests.items()
        ],
        "varies_by_itself": [
            f"{feature.label}, {feature.where}" for feature in sorted({one._replace(slot="") for one in result.noisy})
        ],
        "dependences": [
            {
                "sort": one.reading.sort,
                "factors": [{"factor": factor, "value": value} for factor, value in sorted(one.cause)],
                "request": one.symptom.features[0].label,
                "where": one.symptom.features[0].where,
                "runs_with": one.with_it,
                "runs_without": one.without_it,
                "runs_each": one.runs,
                "chance": _share(one.chance),
                "delay_ms": round(one.delay_ms),
            }
            for one in result.confirmed
        ],
    }


def examples(result: Result) -> list[Trial]:
    """Runs whose requests belong into the evidence."""
    return list(
        {trial.number: trial for trial in (result.reference, *(one.example for one in result.confirmed))}.values()
    )


def _dependence(one: Confirmed, result: Result, factors: Sequence[Factor], repeat: str, own_vendor: Cause) -> Finding:
    names = {factor for factor, _ in one.cause}
    sort = one.reading.sort
    where = _where(one, result)
    what = (
        f"With {_cause(one.cause, factors)}, {where} differs from what it is otherwise: {TITLES[sort]}"
        f"{f' ({one.reading.note})' if one.reading.note else ''}. "
        f"It showed in {one.with_it} of {one.runs} fresh runs with it and in {one.without_it} of {one.runs} without, in random "
        f"order; chance alone shows as much in at most {_share(one.chance)} of such examinations."
    )
    if sort == "delay":
        what = (
            f"With {_cause(one.cause, factors)}, the subject waits {one.delay_ms:.0f} ms longer (difference of medians) before "
            f"{_request(one.symptom.features[0], one.example)}, in {one.runs} fresh runs each, in random order; chance alone shows as much in at most "
            f"{_share(one.chance)} of such examinations."
        )
    return Finding(
        rule=f"differ/{sort.replace(' ', '-')}",
        title=_title(sort in HIDDEN, TITLES[sort]),
        severity=one.reading.severity(names, own_vendor=one.cause == own_vendor),
        certainty="observed",
        step="differ",
        what=what,
        evidence=tuple(_evidence(one, factors)),
        repeat=repeat,
    )


def _title(hidden: bool, title: str) -> str:
    return (
        f"Requests depend on the surroundings by {title}" if hidden else f"Requests depend on the surroundings: {title}"
    )


def _stated(
    factor: FactorName,
    examples_of: Sequence[tuple[Trial, FeatureId, Deviation, Reading]],
    factors: Sequence[Factor],
    repeat: str,
) -> Finding:
    shown = [_observed(trial, feature, deviation, ()) for trial, feature, deviation, _ in examples_of[:_SHOWN]]
    ordinary = factor == "endpoint" and all(feature.where == "header host" for _, feature, _, _ in examples_of)
    return Finding(
        rule="differ/stated",
        title="Requests state facts about the surroundings openly",
        severity="info" if ordinary else "low",
        certainty="observed",
        step="differ",
        what=f"The {title_of(factors, factor)} is stated openly in the requests, in {len(examples_of)} place(s).",
        evidence=tuple(shown),
        repeat=repeat,
    )


def _evidence(one: Confirmed, factors: Sequence[Factor]) -> Iterable[Evidence]:
    counted = (
        *((title_of(factors, factor), value) for factor, value in sorted(one.cause)),
        ("runs with it", f"{one.with_it} of {one.runs}"),
        ("runs without it", f"{one.without_it} of {one.runs}"),
        ("chance", _share(one.chance)),
    )
    if one.symptom.is_delay:
        feature = one.symptom.features[0]
        number = one.example.request_number(feature.label)
        waited = one.example.requests[feature.label].waited_ms
        yield Evidence(
            f"run {one.example.number}, request {number}, the time before it", f"{waited:.0f} ms", facts=counted
        )
    for feature, deviation, _ in one.deviations[:_SHOWN]:
        yield _observed(one.example, feature, deviation, counted)


def _observed(trial: Trial, feature: FeatureId, deviation: Deviation, counted: tuple[tuple[str, str], ...]) -> Evidence:
    number = trial.request_number(feature.label)
    place = f"run {trial.number}" + (f", request {number}" if number else "") + f", {feature.where}"
    known = list(counted)
    if feature.slot.startswith("noise"):
        known.append(("of what varies by itself", feature.slot.removeprefix("noise ")))
    if points := _code_points(deviation):
        known.append(("code points", points))
    old, new = deviation.old_context or deviation.old, deviation.context or deviation.new
    return Evidence(
        where=place,
        excerpt=f"{_quoted(old)} -> {_quoted(new)}",
        offset=_byte_offset(trial, feature, deviation),
        facts=tuple(known),
    )


def _quoted(text: str) -> str:
    return f"'{printable(text, 160)}'" if text else "(nothing)"


def _code_points(deviation: Deviation, most: int = 8) -> str:
    if deviation.kind not in ("text", "raw", "header", "line"):
        return ""
    return " -> ".join(
        " ".join(f"U+{ord(c):04X}" for c in text[:most]) + (" ..." if len(text) > most else "") or "nothing"
        for text in differing(deviation.old, deviation.new)
    )


def _byte_offset(trial: Trial, feature: FeatureId, deviation: Deviation) -> int:
    """Of a place in the body."""
    if deviation.offset < 0 or feature.label not in trial.requests:
        return -1
    text = trial.requests[feature.label].content.decode("utf-8", "surrogateescape")
    at = raw_index(text, deviation.offset, deviation.within) if deviation.kind == "text" else deviation.offset
    return len(text[:at].encode("utf-8", "surrogateescape"))


def _where(one: Confirmed, result: Result) -> str:
    feature = one.deviations[0][0] if one.deviations else one.symptom.features[0]
    if feature.where.startswith("reaches "):
        return f"whether it {feature.where.replace('reaches', 'tries to reach')}"
    if feature.where == "request":
        return f"whether {_request(feature, one.example if feature.label in one.example.labels else result.reference)} is made"
    more = len({(other.label, other.where) for other in one.symptom.features}) - 1
    also = f" (and {more} more place{'s' if more > 1 else ''})" if more else ""
    trial = one.example if feature.label in one.example.labels else result.reference
    return f"{feature.where} of {_request(feature, trial)}{also}"


def _request(feature: FeatureId, trial: Trial) -> str:
    label = feature.label.split(" ")
    return f"request {trial.request_number(feature.label)} ({' '.join(label[:2])})"


def _cause(cause: Cause, factors: Sequence[Factor]) -> str:
    return " and ".join(f"{title_of(factors, factor)} {printable(value)}" for factor, value in sorted(cause))


def _share(chance: float) -> str:
    return f"{chance:.{_FRACTION}f}".rstrip("0").rstrip(".") or "0"
