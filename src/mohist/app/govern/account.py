"""What a governed client had of the gateway: calls, tokens, cost, and why calls were refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.gateway.call import CallRecord
    from mohist.gateway.request import Headers
    from mohist.gateway.tally import Call

_REFUSED = {"budget": ExitCode.BUDGET, "policy": ExitCode.REFUSED, "guard": ExitCode.REFUSED, "scope": ExitCode.REFUSED}
"""What the exit code says of a failed client whose calls ended so; a budget before all else."""


@dataclass(slots=True)
class Account:
    """Told of every call of one run. An `Observer` of the gateway's door; `count` is for a gateway elsewhere."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0
    unpriced: int = 0
    """Calls whose cost is not known."""
    agents: Counter[str] = field(default_factory=Counter)
    """How the client named itself."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """`allowed`, or why not."""
    unreachable: int = 0
    """Calls that no upstream answered."""

    def began(self, call: Call, headers: Headers) -> None:
        """Nothing is counted before the end."""

    def ended(self, call: Call, record: CallRecord) -> None:  # noqa: ARG002 - an observer's
        """Counts one call of the gateway in this process."""
        self.calls += 1
        self.verdicts[record.verdict] += 1
        if record.client:
            self.agents[record.client] += 1
        if record.verdict == "unavailable":
            self.unreachable += 1
        if record.usage is not None:
            self.input_tokens += (
                record.usage.input_tokens + record.usage.cache_read_tokens + record.usage.cache_write_tokens
            )
            self.output_tokens += record.usage.output_tokens
        if record.cost_microusd is None:
            self.unpriced += 1
        else:
            self.cost_microusd += record.cost_microusd

    def count(self, agent: str, verdict: str) -> None:
        """Counts one call that a gateway elsewhere answered, which keeps tokens and cost itself."""
        self.calls += 1
        self.unpriced += 1
        self.verdicts[verdict] += 1
        if agent:
            self.agents[agent] += 1
        if verdict == "unavailable":
            self.unreachable += 1

    @property
    def refused(self) -> ExitCode | None:
        """Why a client that failed did so, as far as calls tell; None: they tell nothing."""
        for verdict, code in _REFUSED.items():
            if self.verdicts[verdict]:
                return code
        if self.unreachable and self.unreachable == self.calls:
            return ExitCode.NO_MODEL
        return None

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": self.cost_microusd / 1_000_000,
            "calls_without_price": self.unpriced,
            "agents": sorted(self.agents),
            "verdicts": dict(sorted(self.verdicts.items())),
        }
