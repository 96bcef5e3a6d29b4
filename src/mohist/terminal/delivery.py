"""Live progress of a delivery: a line for each thing that happens, and under it, shorter, what its runs do."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO

from mohist.delivery.state import Delivery, Note
from mohist.event import CheckFinished, Event, RunEnded, RunStarted, ToolFinished, ToolStarted
from mohist.event import Note as RunNote
from mohist.terminal.style import Style, money, plain

TITLE_CHARS = 100
_TONES = {
    "done": "green",
    "failed": "red",
    "alarm": "red",
    "rollback": "yellow",
    "gate": "yellow",
    "rejected": "yellow",
    "overdue": "yellow",
}


class DeliveryProgress:
    """Writes lines; output that can't be written is dropped. Runs report from threads of their own.

    Args:
        stream: where to.
        style: colours.
        quiet: writes nothing.
        timed: says when each thing happened, in the reader's own zone, and a line of its own for each day.
    """

    def __init__(self, stream: IO[str], style: Style, *, quiet: bool = False, timed: bool = False) -> None:
        self._stream = stream
        self._style = style
        self._quiet = quiet
        self._timed = timed
        self._day = ""
        self._guard = threading.Lock()
        self._titles: dict[str, str] = {}

    def begin(self, delivery: Delivery) -> None:
        """Says which delivery it is."""
        text = " ".join(plain(delivery.requirement).split())
        self._line(self._style("bold", f"◆ {delivery.delivery_id}") + f" {text[:TITLE_CHARS]}")

    def notes(self, _: Delivery, notes: Sequence[Note]) -> None:
        """What happened to the delivery."""
        for note in notes:
            if note.kind in ("segment", "created"):
                continue
            text = " ".join(plain(note.text).split())
            if note.kind == "comment":
                text = f"{plain(str(note.facts.get('by', '')))}: {text}"
            tone = _TONES.get(note.kind) or _TONES.get(str(note.facts.get("status", "")), "")
            self._line(f"{self._when(note.at_ms)}● {self._style(tone, text) if tone else text}")

    def event(self, event: Event) -> None:
        """What a run of it does."""
        match event:
            case RunStarted():
                self._nested(f"{event.run_id}: {event.model}")
            case ToolStarted():
                self._titles[event.call_id] = event.title
            case ToolFinished():
                title = self._titles.pop(event.call_id, "")
                self._nested(f"· {title}" + ("" if event.ok else f": {event.summary}"))
            case CheckFinished():
                self._nested(f"check {event.command}: exit {event.exit_code}")
            case RunEnded():
                self._nested(f"run {event.status}, {money(event.cost_microusd)}")
            case RunNote(text):
                self._nested(text)
            case _:
                return

    def _when(self, at_ms: int) -> str:
        if not self._timed:
            return ""
        at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone()
        if (day := at.strftime("%Y-%m-%d")) != self._day:
            self._day = day
            self._line(self._style("dim", day))
        return self._style("dim", at.strftime("%H:%M:%S")) + " "

    def _nested(self, text: str) -> None:
        short = " ".join(plain(text).split())
        self._line(self._style("dim", f"    {short[:TITLE_CHARS]}"))

    def _line(self, text: str) -> None:
        if self._quiet:
            return
        with self._guard:
            try:
                self._stream.write(f"{text}\n")
                self._stream.flush()
            except (OSError, ValueError):
                self._quiet = True
