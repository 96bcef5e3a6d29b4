"""The end of a run, for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mohist.terminal.style import Style, duration, money, plain, tokens


class CheckShown(Protocol):
    """What is shown of one piece of evidence."""

    @property
    def command(self) -> str: ...
    @property
    def exit_code(self) -> int: ...
    @property
    def output_sha256(self) -> str: ...
    @property
    def duration_ms(self) -> int: ...
    @property
    def where(self) -> str: ...


class PlaceShown(Protocol):
    """What is shown of one host that was asked for."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def outcome(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...
    @property
    def received_bytes(self) -> int: ...


class ResultShown(Protocol):
    """What is shown of a result."""

    @property
    def run_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def sandbox(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def workspace(self) -> str: ...
    @property
    def branch(self) -> str: ...
    @property
    def turns(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_microusd(self) -> int | None: ...
    @property
    def diff_stat(self) -> Sequence[str]: ...
    @property
    def evidence(self) -> Sequence[CheckShown]: ...
    @property
    def denied(self) -> Sequence[str]: ...
    @property
    def reached(self) -> Sequence[PlaceShown]: ...


def render(result: ResultShown, style: Style) -> str:
    """Summary, changed files, evidence, cost, run id."""
    colour = "green" if result.status == "done" else "red"
    lines = ["", style("bold", style(colour, result.status.replace("_", " ")))]
    if result.summary:
        lines.append(plain(result.summary).strip())
    if result.detail:
        lines.append(plain(result.detail).strip())
    if result.diff_stat:
        lines += ["", "changed"] + [f"  {plain(row)}" for row in result.diff_stat]
    if result.evidence:
        lines += ["", "evidence"]
        for check in result.evidence:
            mark = style("green", "✓") if check.exit_code == 0 else style("red", "✗")
            lines.append(
                f"  {mark} {plain(check.command)}  → exit code {check.exit_code} in a {check.where}, "
                f"{duration(check.duration_ms)}, output sha256 {check.output_sha256[:16]}"
            )
    elif result.diff_stat:
        lines += ["", style("yellow", "no checks were agreed or named: nothing shows that the change is right")]
    if result.denied:
        lines += ["", "refused"] + [f"  {plain(item)}" for item in dict.fromkeys(result.denied)]
    if result.reached:
        lines += ["", "network"] + [f"  {_reached(place, style)}" for place in result.reached]
    if "weak" in result.sandbox:
        lines += ["", style("yellow", f"confined by {plain(result.sandbox)}")]
    if result.network == "full":
        lines += ["", style("yellow", "the network was open to the commands of this run")]
    prompt = result.input_tokens + result.cache_read_tokens + result.cache_write_tokens
    share = 100 * result.cache_read_tokens // prompt if prompt else 0
    lines += [
        "",
        (
            f"{result.turns} turns · {tokens(prompt)} tokens in ({share} % cached), {tokens(result.output_tokens)} out · "
            f"{money(result.cost_microusd)}"
        ),
        f"run {result.run_id}" + (f" on branch {result.branch} in {result.workspace}" if result.branch else ""),
        f"take it back: mohist runs undo {result.run_id}" if result.diff_stat else "",
        f"go on with it: mohist runs resume {result.run_id}" if result.status != "done" else "",
    ]
    return "\n".join(lines).rstrip()


def _reached(place: PlaceShown, style: Style) -> str:
    name = plain(f"{place.host}:{place.port}" if place.port else place.host)
    if place.outcome == "refused":
        return style("yellow", f"✗ {name}  refused" + (f", {place.refused} times" if place.refused > 1 else ""))
    mark = style("green", "✓") if place.outcome == "through" else style("yellow", "✗")
    counted = f"{place.attempts} connection(s), {place.sent_bytes:,} bytes out, {place.received_bytes:,} in"
    # A process that was killed had no time to count.
    return f"{mark} {name}  {counted if place.attempts else 'let through, not counted'}" + (
        "" if place.outcome in ("through", "asked") else f", {place.outcome}"
    )
