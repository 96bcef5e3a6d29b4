"""Live progress of one run on stderr: what it is doing, tokens, cost, cache share."""

from __future__ import annotations

from typing import IO

from mohist.event import (
    ApprovalGiven,
    CheckFinished,
    Compacted,
    Event,
    ModelAnswered,
    ModelRetry,
    Note,
    RunEnded,
    RunStarted,
    TextSpoken,
    ToolFinished,
    ToolProgress,
    ToolStarted,
)
from mohist.terminal.style import Style, duration, money, plain, tokens

DIFF_LINES = 24
"""Lines of an edit's diff that are shown; all of it is in the run's log."""
TITLE_CHARS = 160
"""Longer titles (a command of many lines) are cut."""


class Progress:
    """An event sink that writes lines. Output that can't be written (closed pipe) is dropped."""

    def __init__(self, stream: IO[str], style: Style, *, quiet: bool = False) -> None:
        self._stream = stream
        self._style = style
        self._quiet = quiet
        self._speaking = False
        self._at_line_start = True
        self._titles: dict[str, str] = {}
        """What each call that is going on is for."""

    def __call__(self, event: Event) -> None:
        if self._quiet:
            return
        style = self._style
        match event:
            case RunStarted():
                verb = "resumes" if event.resumed else "starts"
                self._line(style("bold", f"● {event.run_id} {verb}") + style("dim", f" · mode {event.mode}"))
                self._line(f"  model: {plain(event.model)}")
                self._line(f"  sandbox: {plain(event.sandbox)}")
                self._line(f"  folder: {plain(event.workspace)}")
            case TextSpoken(text, thinking):
                self._speak(plain(text), thinking)
            case ToolStarted():
                self._end_speech()
                self._titles[event.call_id] = event.title
            case ToolProgress(text=text):
                self._line(style("dim", f"    … {plain(text)}"))
            case ToolFinished():
                self._tool(event)
            case ModelAnswered():
                self._answered(event)
            case ModelRetry():
                self._line(
                    style(
                        "yellow",
                        f"  ! model: {plain(event.detail)}; attempt {event.attempt + 1} in {event.wait_s:.0f} s",
                    )
                )
            case ApprovalGiven() if event.by == "nobody to ask":
                self._line(style("yellow", "  ! this needs approval and nobody can be asked: denied"))
            case Compacted():
                what = "old results left out" if event.tier == 1 else "summarised"
                self._line(
                    style("dim", f"  ~ {what}: {tokens(event.before_tokens)} to {tokens(event.after_tokens)} tokens")
                )
            case Note(text):
                self._line(style("yellow", f"  ! {plain(text)}"))
            case CheckFinished():
                self._check(event)
            case RunEnded():
                self._end_speech()
            case _:
                pass

    def _tool(self, event: ToolFinished) -> None:
        style = self._style
        # A command that ran and failed is a result for the model, and still something a person wants to see.
        good = event.ok and (event.summary == "exit code 0" or not event.summary.startswith("exit code "))
        mark = style("green", "✓") if good else style("red", "✗")
        title = plain(self._titles.pop(event.call_id, "")).replace("\n", " ⏎ ")
        first, *rest = plain(event.summary).splitlines() or [event.tool]
        if len(title) > TITLE_CHARS:
            title = title[:TITLE_CHARS] + "…"
        if title and not first.startswith(title):
            first = f"{title} → {first}"
        took = style("dim", f" ({duration(event.duration_ms)})") if event.duration_ms >= 100 else ""
        self._line(f"  {mark} {first}{took}")
        for line in rest:
            self._line(f"    {line}")
        # The title names the file already.
        lines = [line for line in plain(event.diff).splitlines() if not line.startswith(("--- ", "+++ "))]
        for line in lines[:DIFF_LINES]:
            colour = "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"
            self._line("    " + style(colour, line))
        if len(lines) > DIFF_LINES:
            self._line(style("dim", f"    … {len(lines) - DIFF_LINES} more lines"))

    def _answered(self, event: ModelAnswered) -> None:
        prompt = event.input_tokens + event.cache_read_tokens + event.cache_write_tokens
        self._line(
            self._style(
                "dim",
                f"  turn {event.turn} · {tokens(prompt)} tokens in ({event.cache_share_percent} % cached), "
                f"{tokens(event.output_tokens)} out · {money(event.total_cost_microusd)} so far",
            )
        )

    def _check(self, event: CheckFinished) -> None:
        style = self._style
        mark = style("green", "✓") if event.exit_code == 0 else style("red", "✗")
        self._line(
            f"  {mark} check in a {event.where}: {plain(event.command)} → exit code {event.exit_code} "
            f"({duration(event.duration_ms)})"
        )

    def _speak(self, text: str, thinking: bool) -> None:
        if not text:
            return
        shown = text.replace("\n", "\n  ")
        if self._at_line_start:
            shown = "  " + shown.lstrip("\n ")
        self._write(self._style("dim", shown) if thinking else shown)
        self._speaking = True
        self._at_line_start = False

    def _end_speech(self) -> None:
        if self._speaking and not self._at_line_start:
            self._write("\n")
        self._speaking = False
        self._at_line_start = True

    def _line(self, text: str) -> None:
        self._end_speech()
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more; the run goes on and its log has everything.
            self._quiet = True
