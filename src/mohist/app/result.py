"""What a run ends with: the value behind `--output json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mohist.agent.loop import totals
from mohist.agent.record import Check, Ended, EndStatus, Header, Record
from mohist.app.reach import Place, places
from mohist.base import ExitCode

EXIT_CODES: dict[EndStatus, ExitCode] = {
    "done": ExitCode.DONE,
    "failed": ExitCode.FAILED,
    "refused": ExitCode.REFUSED,
    "budget": ExitCode.BUDGET,
    "no_model": ExitCode.NO_MODEL,
    "waiting": ExitCode.WAITING,
    "cancelled": ExitCode.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One check that ran in the completion gate's last pass."""

    command: str
    exit_code: int
    output_sha256: str
    duration_ms: int
    where: str
    change_sha256: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything a person or a program wants to know at the end."""

    run_id: str
    status: EndStatus
    summary: str
    detail: str
    """Why it ended, when it is not done."""
    model: str
    mode: str
    sandbox: str
    network: str
    workspace: str
    branch: str
    turns: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_microusd: int | None
    diff_stat: tuple[str, ...]
    """A line per changed file, as `git diff --stat` counts: `src/app.py +3 -1`."""
    evidence: tuple[Evidence, ...]
    denied: tuple[str, ...]
    """Calls that policy refused or nobody could approve."""
    reached: tuple[Place, ...]
    """What its commands asked for, where the network was `fenced`."""

    @property
    def exit_code(self) -> ExitCode:
        return EXIT_CODES[self.status]

    def as_json(self) -> dict[str, Any]:
        """For `--output json`; `exit_code` included."""
        return {"type": "result", **asdict(self), "exit_code": int(self.exit_code)}


def conclude(records: Sequence[Record], ended: Ended, diff_stat: Sequence[str], denied: Sequence[str]) -> RunResult:
    """The result of a run from its log."""
    header = records[0]
    assert isinstance(header, Header)
    sums = totals(list(records))
    checks = [record for record in records if isinstance(record, Check)]
    last = [check for check in checks if check.change_sha256 == checks[-1].change_sha256] if checks else []
    newest = {check.command: check for check in last}
    return RunResult(
        header.run_id,
        ended.status,
        ended.summary,
        ended.detail,
        header.model,
        header.mode,
        header.sandbox,
        header.network,
        header.workspace,
        header.branch,
        sums.turns,
        sums.usage.input_tokens,
        sums.usage.cache_read_tokens,
        sums.usage.cache_write_tokens,
        sums.usage.output_tokens,
        sums.cost_microusd,
        tuple(diff_stat),
        tuple(
            Evidence(c.command, c.exit_code, c.output_sha256, c.duration_ms, c.where, c.change_sha256)
            for c in newest.values()
        ),
        tuple(denied),
        places(records),
    )
