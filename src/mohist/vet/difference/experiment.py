"""From planned runs to what holds: plan, suspect, narrow down, and confirm with fresh runs in random order.

What the planned runs show is a suspicion only, for many features are looked at. Each suspicion is then tried once, by runs
that took no part in it. With K suspicions to try, one counts only where chance would show as much with a probability below
(false-accusation chance) / 2K, twice looked at if need be; so the chance that anything is reported of a subject whose requests don't depend on any
factor is below the chance that was set, whatever varies by itself.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from mohist.vet.difference.factor import Assignment, Factor, FactorName, covering
from mohist.vet.difference.feature import Deviation, FeatureId, Reference
from mohist.vet.difference.reading import HIDDEN, Reading, read
from mohist.vet.difference.statistic import rank_chance, runs_needed, separation_chance
from mohist.vet.difference.suspect import LEAST_DELAY_MS, Cause, Suspect, Symptom, slow, suspects
from mohist.vet.difference.trial import Laboratory, Progress, Trial


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is tried."""

    repeats: int = 4
    """Runs under the first values, to learn what varies by itself."""
    chance: float = 0.001
    """Of reporting anything of a subject whose requests depend on nothing."""
    suspicions: int = 24
    """That are tried, gravest first; the others are told as not looked at."""
    narrowing: int = 60
    """Runs to find out which of several values matter."""
    seed: int = 1
    delays: bool = True


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A dependence that fresh runs have shown."""

    cause: Cause
    symptom: Symptom
    reading: Reading
    with_it: int
    """Of the runs with these values, those that show it."""
    without_it: int
    runs: int
    """Of each kind."""
    chance: float
    """That chance alone shows as much, once all that was tried is counted."""
    example: Trial
    deviations: tuple[tuple[FeatureId, Deviation, Reading], ...]
    """What else shows with it, the first one first; empty for a delay."""
    delay_ms: float = 0.0
    """Difference of the medians."""


@dataclass(slots=True)
class Result:
    """What an experiment has shown."""

    reference: Trial
    trials: list[Trial] = field(default_factory=list)
    confirmed: list[Confirmed] = field(default_factory=list)
    stated: dict[tuple[FactorName, str], tuple[Trial, FeatureId, Deviation, Reading]] = field(default_factory=dict)
    """Facts that are said openly: by factor and place, one example."""
    refuted: int = 0
    """Suspicions that fresh runs did not bear out."""
    untried: list[Suspect] = field(default_factory=list)
    noisy: set[FeatureId] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    tried: int = 0


class Experiment:
    """One subject's.

    Args:
        laboratory: makes the runs.
        factors: what is varied.
        plan: how much.
        progress: told after each run.
    """

    def __init__(
        self, laboratory: Laboratory, factors: Sequence[Factor], plan: Plan, progress: Progress | None = None
    ) -> None:
        self._laboratory = laboratory
        self._factors = factors
        self._plan = plan
        self._say = progress or (lambda _what, _done, _whole: None)
        self._chosen = random.Random(plan.seed)  # noqa: S311 - the order of runs, no secret
        self._left = plan.narrowing
        self._narrowed: dict[Cause, Trial] = {}
        """One run for each set of values; confirming takes fresh ones."""
        self._reference: Reference
        self._result: Result

    async def run(self) -> Result | None:
        """All of it; None: not one run could be compared."""
        rows = [row for row in covering(self._factors, self._plan.seed) if row]
        order: list[Assignment] = [*rows, *({} for _ in range(self._plan.repeats))]
        self._chosen.shuffle(order)
        trials = await self._runs("planned runs", order)
        good = [trial for trial in trials if not trial.failure]
        repeats = [trial for trial in good if not trial.assignment]
        failures = [f"run {trial.number}: {trial.failure}" for trial in trials if trial.failure]
        if len(repeats) < 2:
            return None
        self._reference = Reference(repeats)
        self._result = Result(self._reference.trial, list(trials), noisy=self._reference.noisy, failures=failures)
        found = self._suspect(good)
        await self._confirm([(one, cause) for one in found for cause in await self._narrow(one, good)])
        return self._result

    async def _runs(self, what: str, order: Sequence[Assignment]) -> list[Trial]:
        made: list[Trial] = []
        for index, assignment in enumerate(order):
            self._say(what, index, len(order))
            made.append(await self._laboratory.run(assignment))
        self._say(what, len(order), len(order))
        return made

    def _suspect(self, trials: Sequence[Trial]) -> list[Suspect]:
        """What needs an explanation, gravest first."""
        seen = [self._reference.deviations(trial) for trial in trials]
        open_ones = self._open(trials, seen)
        found = suspects([trial.assignment for trial in trials], seen, open_ones)
        if self._plan.delays:
            always = [
                label for label in self._reference.trial.labels if all(label in trial.requests for trial in trials)
            ]
            found += slow(trials, always)
        found.sort(
            key=lambda one: (not one.symptom.is_delay and not self._grave(one, trials), not one.causes, one.rows)
        )
        self._result.untried = found[self._plan.suspicions :]
        return found[: self._plan.suspicions]

    def _open(self, trials: Sequence[Trial], seen: Sequence[dict[FeatureId, Deviation]]) -> frozenset[FeatureId]:
        """Features that say a fact openly in every run in which they show."""
        closed: set[FeatureId] = set()
        opened: set[FeatureId] = set()
        for trial, one in zip(trials, seen, strict=True):
            for feature, deviation in one.items():
                reading = self._read(feature, deviation, trial)
                if reading.sort not in ("stated", "clock"):
                    closed.add(feature)
                    continue
                opened.add(feature)
                for factor in reading.note.split(", "):
                    if factor in trial.assignment:
                        key = (_factor(factor), feature.where)
                        self._result.stated.setdefault(key, (trial, feature, deviation, reading))
        return frozenset(opened - closed)

    def _read(self, feature: FeatureId, deviation: Deviation, trial: Trial) -> Reading:
        return read(feature, deviation, self._reference.trial.facts, trial.facts, trial.assignment.keys())

    def _grave(self, suspect: Suspect, trials: Sequence[Trial]) -> bool:
        trial = trials[suspect.rows[0]]
        seen = self._reference.deviations(trial)
        return any(
            feature in seen and self._read(feature, seen[feature], trial).sort in HIDDEN
            for feature in suspect.symptom.features
        )

    def _shows(self, symptom: Symptom, trial: Trial) -> bool:
        if trial.failure:
            return False
        feature = symptom.features[0]
        if symptom.is_delay:
            request = trial.requests.get(feature.label)
            return request is not None and request.waited_ms > symptom.delay_ms
        deviation = self._reference.deviations(trial).get(feature)
        return deviation is not None and symptom.form in (None, deviation.new)

    async def _narrow(self, suspect: Suspect, trials: Sequence[Trial]) -> list[Cause]:
        """The causes to try: as the planned runs tell, or by taking values back one at a time."""
        if suspect.causes and all(len(cause) == 1 for cause in suspect.causes):
            return list(suspect.causes)
        starts = [dict(cause) for cause in suspect.causes] if 0 < len(suspect.causes) <= 2 else []
        for start in starts or [dict(trials[suspect.rows[0]].assignment)]:
            if not await self._again(suspect.symptom, start):
                continue
            least = await self._least(suspect.symptom, start)
            return [frozenset(least.items())]
        self._result.refuted += 1
        return []

    async def _least(self, symptom: Symptom, cause: dict[FactorName, str]) -> dict[FactorName, str]:
        """Without the values that are not needed for it."""
        for factor in sorted(cause):
            without = {name: level for name, level in cause.items() if name != factor}
            if without and await self._again(symptom, without):
                cause = without
        return cause

    async def _again(self, symptom: Symptom, assignment: Assignment) -> bool:
        values = frozenset(assignment.items())
        trial = self._narrowed.get(values)
        if trial is None:
            if self._left <= 0:
                return False
            self._left -= 1
            self._say("narrowing down", self._plan.narrowing - self._left, self._plan.narrowing)
            trial = self._narrowed[values] = await self._laboratory.run(assignment)
            self._result.trials.append(trial)
        return self._shows(symptom, trial)

    async def _confirm(self, pairs: Sequence[tuple[Suspect, Cause]]) -> None:
        if not pairs:
            return
        self._result.tried = len(pairs)
        bound = self._plan.chance / (2 * len(pairs))
        runs = runs_needed(bound)
        arms: dict[Cause, list[Trial]] = {cause: [] for _, cause in pairs}
        plain: list[Trial] = []
        await self._deal(arms, plain, arms, runs)
        open_pairs = [pair for pair in pairs if not self._judge(pair, arms, plain, bound, len(pairs))]
        again = {
            cause
            for suspect, cause in open_pairs
            if suspect.symptom.is_delay and self._leans(suspect, arms[cause], plain)
        }
        if again:  # a delay within what runs differ by anyway needs more of them; the second look has its own half of the chance
            await self._deal(arms, plain, again, runs)
            open_pairs = [
                pair
                for pair in open_pairs
                if pair[1] not in again or not self._judge(pair, arms, plain, bound, len(pairs))
            ]
        self._result.refuted += len(open_pairs)
        self._result.confirmed = _simplest(self._result.confirmed)

    async def _deal(self, arms: dict[Cause, list[Trial]], plain: list[Trial], causes: object, runs: int) -> None:
        chosen = [cause for cause in arms if cause in causes]  # type: ignore[operator]
        order: list[Cause] = [cause for cause in [*chosen, frozenset()] for _ in range(runs)]
        self._chosen.shuffle(order)
        trials = await self._runs("confirming", [dict(cause) for cause in order])
        self._result.trials += trials
        for cause, trial in zip(order, trials, strict=True):
            (arms[cause] if cause else plain).append(trial)

    def _leans(self, suspect: Suspect, with_cause: Sequence[Trial], plain: Sequence[Trial]) -> bool:
        longer, shorter = self._waits(suspect.symptom, with_cause), self._waits(suspect.symptom, plain)
        return bool(longer and shorter) and rank_chance(longer, shorter) < 0.1

    @staticmethod
    def _waits(symptom: Symptom, trials: Sequence[Trial]) -> list[float]:
        label = symptom.features[0].label
        return [trial.requests[label].waited_ms for trial in trials if label in trial.requests]

    def _judge(
        self,
        pair: tuple[Suspect, Cause],
        arms: dict[Cause, list[Trial]],
        plain: Sequence[Trial],
        bound: float,
        tried: int,
    ) -> bool:
        """Whether it holds; then it is told."""
        suspect, cause = pair
        symptom, with_cause = suspect.symptom, arms[cause]
        shown = [trial for trial in with_cause if self._shows(symptom, trial)]
        besides = sum(self._shows(symptom, trial) for trial in plain)
        delay_ms = 0.0
        if symptom.is_delay:
            longer, shorter = self._waits(symptom, with_cause), self._waits(symptom, plain)
            if not longer or not shorter:
                return False
            chance = rank_chance(longer, shorter)
            delay_ms = statistics.median(longer) - statistics.median(shorter)
            if delay_ms < LEAST_DELAY_MS:
                return False
        else:
            chance = separation_chance(len(shown), len(with_cause), besides, len(plain))
        if chance > bound or not shown:
            return False
        example = shown[0]
        seen = self._reference.deviations(example)
        deviations = tuple(
            (feature, seen[feature], self._read(feature, seen[feature], example))
            for feature in symptom.features
            if feature in seen
        )
        # What nobody would see is told first.
        deviations = tuple(sorted(deviations, key=lambda one: one[2].sort not in HIDDEN))
        grave = Reading("delay") if symptom.is_delay else deviations[0][2]
        self._result.confirmed.append(
            Confirmed(
                cause,
                symptom,
                grave,
                len(shown),
                besides,
                len(with_cause),
                min(chance * 2 * tried, 1.0),
                example,
                deviations,
                delay_ms,
            )
        )
        return True


def _simplest(confirmed: Sequence[Confirmed]) -> list[Confirmed]:
    """Without those that need more values than another one for what shows at the same place."""

    def place(one: Confirmed) -> tuple[str, str]:
        return one.symptom.features[0].label, one.symptom.features[0].where

    return [
        one
        for one in confirmed
        if not any(other.cause < one.cause and place(other) == place(one) for other in confirmed)
    ]


def _factor(name: str) -> FactorName:
    return name  # type: ignore[return-value]
