"""How much of a repository runs wrote: by model and by the age of the lines, and how much of what they wrote is still there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mohist.report.trace import Traced
from mohist.report.writing import Write

DAY_US = 86_400_000_000
AGES_DAYS = (30, 90, 365)
"""Where one group of ages ends and the next begins."""


def age_of(at_us: int, now_us: int) -> str:
    """The group of ages that something belongs to, such as "under 30 days"."""
    days = (now_us - at_us) / DAY_US
    return next((f"under {limit} days" for limit in AGES_DAYS if days < limit), f"{AGES_DAYS[-1]} days and more")


AGES = (*(f"under {limit} days" for limit in AGES_DAYS), f"{AGES_DAYS[-1]} days and more")


@dataclass(slots=True)
class Group:
    """Lines that have something in common."""

    there: int = 0
    """Are in the repository now."""
    written: int = 0
    """Were ever written by runs on this repository, each writing of a line counted."""

    @property
    def survival_percent(self) -> int | None:
        """How many of those that were written are still there; None: none was written here."""
        return round(100 * min(self.there, self.written) / self.written) if self.written else None


@dataclass(slots=True)
class Share:
    """Of a whole repository.

    Args:
        now_us: what ages are counted from, microseconds since 1970.
    """

    now_us: int
    lines: int = 0
    by_runs: int = 0
    models: dict[str, Group] = field(default_factory=dict)
    ages: dict[str, Group] = field(default_factory=lambda: {age: Group() for age in AGES})
    """By when the line was written."""
    people: dict[str, Group] = field(default_factory=dict)
    """By the pseudonym of whom the run was for; empty unless it is asked for."""
    runs: Counter[str] = field(default_factory=Counter)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(by runs, all) for each file with lines of runs."""

    def add_file(self, path: str, lines: Iterable[Traced], *, people: bool = False) -> None:
        """Counts what is there."""
        count, ours = 0, 0
        for one in lines:
            count += 1
            if one.write is not None:
                ours += 1
                self.runs[one.write.run] += 1
                for group in self._groups(one.write, people=people):
                    group.there += 1
        self.lines += count
        self.by_runs += ours
        if ours:
            self.files[path] = (ours, count)

    def add_written(self, write: Write, lines: int, *, people: bool = False) -> None:
        """Counts what was written."""
        for group in self._groups(write, people=people):
            group.written += lines

    def _groups(self, write: Write, *, people: bool) -> list[Group]:
        found = [self.models.setdefault(write.model, Group()), self.ages[age_of(write.at_us, self.now_us)]]
        return [*found, self.people.setdefault(write.person, Group())] if people else found
