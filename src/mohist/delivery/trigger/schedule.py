"""When a schedule is due: five fields of cron in a time zone, as Debian's cron reads them.

Where clocks go forward, what was due in the hour that is left out is due when it ends; where they go back, a fixed time is
due once, and only what is due every hour or minute is due again: cron(8), https://manpages.debian.org/bookworm/cron/cron.8.en.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError


@dataclass(frozen=True, slots=True)
class Schedule:
    """One cron expression in one zone.

    Raises:
        ValueError: it is no expression, nothing is ever due, or the zone is not known.
    """

    expression: str
    zone: str = "UTC"
    _zone: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", _zone(self.zone))
        if len(self.expression.split()) != 5:
            raise ValueError(f"schedule {self.expression!r} has not the five fields minute hour day month weekday")
        try:
            self.next(0)
        except CronSimError as error:
            raise ValueError(f"schedule {self.expression!r}: {error}") from None
        except StopIteration:
            raise ValueError(f"schedule {self.expression!r} is never due") from None

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"

    def next(self, after_ms: int) -> int:
        """The first due time later than `after_ms`; both in milliseconds since the epoch."""
        return _ms(next(CronSim(self.expression, self._local(after_ms))))

    def newest(self, after_ms: int, now_ms: int) -> int | None:
        """The last due time later than `after_ms` and not later than `now_ms`; None: there is none."""
        # A due time is a whole minute, and one that is `now_ms` itself counts.
        ends = self._local(now_ms - now_ms % 60_000 + 60_000)
        try:
            due_ms = _ms(next(CronSim(self.expression, ends, reverse=True)))
        except StopIteration:
            return None
        return due_ms if after_ms < due_ms <= now_ms else None

    def _local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self._zone)


def _ms(due: datetime) -> int:
    return round(due.astimezone(UTC).timestamp() * 1000)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"zone {name!r} is not known; as in Europe/Berlin, of the system's tzdata") from None
