"""What the planned runs let one suspect: which features go with which values of which factors. Suspicion is no finding."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mohist.vet.difference.factor import Assignment, FactorName
from mohist.vet.difference.feature import Deviation, FeatureId
from mohist.vet.difference.statistic import rank_chance
from mohist.vet.difference.trial import Trial

Cause = frozenset[tuple[FactorName, str]]
"""Values of factors that have to come together."""

LEAST_DELAY_MS = 12.0
"""A shorter difference of medians is no finding: timers and schedulers do as much."""
_SCREEN_CHANCE = 0.05
_OUTLIER = 6.0
"""Of a delay, in median absolute deviations above the median."""
_FORMS = 4
"""A feature with more different contents is taken as one thing; with fewer, each content by itself."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something that shows in some runs and not in others."""

    features: tuple[FeatureId, ...]
    """Those that show in the same runs; the first one is what is tried."""
    form: str | None = None
    """What stands there; None: anything but what the reference has."""
    delay_ms: float = 0.0
    """For a delay: what is longer shows it."""

    @property
    def is_delay(self) -> bool:
        return self.delay_ms > 0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A symptom and what may go with it."""

    symptom: Symptom
    rows: tuple[int, ...]
    """Indices of the runs that show it."""
    causes: tuple[Cause, ...]
    """Each enough by itself as far as the runs tell; empty: none of one or two values fits."""


def suspects(
    rows: Sequence[Assignment], seen: Sequence[Mapping[FeatureId, Deviation]], leave_out: frozenset[FeatureId]
) -> list[Suspect]:
    """Symptoms by the runs that show them.

    Args:
        rows: each run's assignment.
        seen: each run's deviations.
        leave_out: features that need no explanation, such as facts that are stated openly.
    """
    groups: dict[tuple[tuple[int, ...], bool], list[tuple[FeatureId, str | None]]] = {}
    for feature in sorted({feature for one in seen for feature in one} - leave_out):
        forms: dict[str, list[int]] = {}
        for index, one in enumerate(seen):
            if feature in one:
                forms.setdefault(one[feature].new, []).append(index)
        if len(forms) > _FORMS:
            shown = sorted(index for indices in forms.values() for index in indices)
            groups.setdefault((tuple(shown), True), []).append((feature, None))
        else:
            for form, indices in forms.items():
                groups.setdefault((tuple(indices), False), []).append((feature, form))
    return [
        Suspect(Symptom(tuple(feature for feature, _ in members), members[0][1]), shown, causes(rows, shown))
        for (shown, _), members in groups.items()
    ]


def causes(rows: Sequence[Assignment], shown: Sequence[int]) -> tuple[Cause, ...]:
    """Single values, or else pairs, whose runs are exactly those that show a symptom; or a few that make them up together."""
    wanted = set(shown)
    for size in (1, 2):
        found = _runs_by_cause(rows, size)
        exact = [cause for cause, runs in found.items() if runs == wanted]
        if exact:
            return tuple(sorted(exact, key=sorted))
        within = {cause: runs for cause, runs in found.items() if runs < wanted and len(runs) > 1 - (size - 1)}
        if size == 1 and (cover := _cover(within, wanted)):
            return cover
    return ()


def slow(trials: Sequence[Trial], among: Sequence[str]) -> list[Suspect]:
    """Delays that go with a value of one factor, and runs that are far slower than the rest.

    Args:
        trials: all runs so far.
        among: labels of the requests that every run makes.
    """
    found: list[Suspect] = []
    for label in among:
        waits = [trial.requests[label].waited_ms for trial in trials]
        middle = statistics.median(waits)
        spread = statistics.median(abs(wait - middle) for wait in waits)
        feature = (FeatureId(label, "the time before it", "delay"),)
        explained: set[int] = set()
        levels = sorted({item for trial in trials for item in trial.assignment.items()})
        for level in levels:
            with_it = [k for k, trial in enumerate(trials) if level in trial.assignment.items()]
            rest = [k for k in range(len(trials)) if k not in with_it]
            if len(with_it) < 2 or len(rest) < 2:
                continue
            longer, shorter = [waits[k] for k in with_it], [waits[k] for k in rest]
            gain = statistics.median(longer) - statistics.median(shorter)
            if gain >= LEAST_DELAY_MS and rank_chance(longer, shorter) < _SCREEN_CHANCE:
                limit = (statistics.median(longer) + statistics.median(shorter)) / 2
                found.append(Suspect(Symptom(feature, None, limit), tuple(with_it), (frozenset((level,)),)))
                explained.update(with_it)
        far = middle + max(_OUTLIER * spread, LEAST_DELAY_MS)
        for k, wait in enumerate(waits):
            if wait > far and k not in explained and len(trials[k].assignment) > 1:
                found.append(Suspect(Symptom(feature, None, (wait + middle) / 2), (k,), ()))
    return found


def _runs_by_cause(rows: Sequence[Assignment], size: int) -> dict[Cause, set[int]]:
    found: dict[Cause, set[int]] = {}
    for index, row in enumerate(rows):
        for items in itertools.combinations(sorted(row.items()), size):
            found.setdefault(frozenset(items), set()).add(index)
    return found


def _cover(within: Mapping[Cause, set[int]], wanted: set[int]) -> tuple[Cause, ...]:
    """Values that make up the runs together, greedily; empty where they can't."""
    left, chosen = set(wanted), []
    while left:
        best = max(within, key=lambda cause: (len(within[cause] & left), sorted(cause)), default=None)
        if best is None or not within[best] & left:
            return ()
        chosen.append(best)
        left -= within[best]
    return tuple(chosen)
