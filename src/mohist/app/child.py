"""Sub-agents of a run: their numbers, what they spend of the run's budget, how they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mohist.agent.log import RunLog, read_log
from mohist.agent.loop import totals
from mohist.agent.record import Assistant, Outcome
from mohist.event import Event, EventSink, Note, ToolFinished, ToolStarted

TURNS = 40
TOOLS = frozenset({"edit", "glob", "job", "read", "search", "shell", "symbols", "write"})
"""A sub-agent neither asks, plans, finishes the run nor starts others."""
LOOKING = TOOLS - {"edit", "write"}
"""One that may not write is not offered what would always be refused."""


class Children:
    """The sub-agents of one run. One budget for all: each sees what the run and the others spend."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sub"
        self._parent: RunLog | None = None
        self._working: list[RunLog] = []

    def adopt(self, parent: RunLog) -> None:
        """The log of the run they belong to."""
        self._parent = parent

    def place(self) -> tuple[int, Path]:
        """The next number and its folder; numbers of an earlier process are not used again."""
        number = 1 + max((int(path.name) for path in self._folder.glob("[0-9]*")), default=len(self._working))
        return number, self._folder / str(number)

    def outcomes(self) -> Iterator[Outcome]:
        """What the tools of all of them gave, in an earlier process too. Raises LogError."""
        for place in sorted(self._folder.glob("[0-9]*"), key=lambda path: int(path.name)):
            if (place / "log.jsonl").exists():  # else it was stopped before it began
                yield from (entry.record for entry in read_log(place) if isinstance(entry.record, Outcome))

    def begin(self, log: RunLog) -> None:
        """`log` spends from now on."""
        self._working.append(log)

    def end(self, log: RunLog, number: int) -> None:
        """Puts what the sub-agent used on the run's own record, where every token is counted."""
        self._working.remove(log)
        assert self._parent is not None
        used = totals(log.records)
        self._parent.append(
            Assistant(0, (), "", used.usage, used.cost_microusd, log.header.model, f"sub-agent {number}", 0)
        )

    def spent_beside(self, log: RunLog) -> int | None:
        """Millionths of a US dollar spent by the run and its other sub-agents; None: not known."""
        others = [other for other in (self._parent, *self._working) if other is not None and other is not log]
        costs = [totals(other.records).cost_microusd for other in others]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


def as_progress(emit: EventSink, progress: Callable[[str], None]) -> EventSink:
    """A sub-agent's events as progress of the call that started it; notes are everybody's."""

    titles: dict[str, str] = {}

    def sink(event: Event) -> None:
        if isinstance(event, ToolStarted):
            titles[event.call_id] = event.title
        elif isinstance(event, ToolFinished):
            title = titles.pop(event.call_id, event.tool)
            said = event.summary.splitlines()[0] if event.summary else ""
            progress(f"sub-agent: {title} → {said}" if said and said != title else f"sub-agent: {title}")
        elif isinstance(event, Note):
            emit(event)

    return sink
