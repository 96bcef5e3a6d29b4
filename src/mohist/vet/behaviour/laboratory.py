"""A bench as the experiment sees it: an assignment in, a trial out."""

from __future__ import annotations

from pathlib import Path

from mohist.vet.behaviour.bench import Bench, Seen, Stay
from mohist.vet.behaviour.surroundings import Surroundings
from mohist.vet.difference.factor import Assignment, Factor
from mohist.vet.difference.trial import Trial


class FencedLaboratory:
    """Fills `Laboratory`.

    Args:
        bench: entered.
        factors: what is varied.
        clock: libfaketime, where the date is to be set.
        stay: what each run is.
    """

    def __init__(self, bench: Bench, factors: tuple[Factor, ...], clock: Path | None, stay: Stay) -> None:
        self._bench = bench
        self._factors = factors
        self._clock = clock
        self._stay = stay
        self.runs = 0

    async def run(self, assignment: Assignment) -> Trial:
        """One run. Raises SandboxError where it could not be started."""
        self.runs += 1
        around = Surroundings(self._factors, assignment, self._clock)
        seen = await self._bench.run(around, self._stay)
        return trial_of(self.runs, around, seen)


def trial_of(number: int, around: Surroundings, seen: Seen) -> Trial:
    """What a run says to the experiment."""
    # Through a proxy no name is looked up here; who is wanted is the same.
    reached = frozenset(asked.host for asked in seen.asked)
    failure = ""
    if not any(sent.method == "POST" for sent in seen.sent):
        how = "was ended at the time limit" if seen.timed_out else f"ended with {seen.code}"
        failure = f"no request reached the model; the subject {how}"
    return Trial(
        number, around.assignment, around.facts(seen.started_s, seen.ended_s), tuple(seen.sent), reached, failure
    )
