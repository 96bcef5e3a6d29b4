"""What is asked of a run, with everything that holds for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mohist.agent.caution import Caution
from mohist.agent.setting import RunSettings
from mohist.agent.tool import ToolLimits
from mohist.policy import Mode, RuleSet
from mohist.provider.message import Provider
from mohist.sandbox import Way


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of a run."""

    text: str
    mode: Mode
    provider: Provider
    wire_model: str
    settings: RunSettings
    rules: RuleSet
    limits: ToolLimits = field(default_factory=ToolLimits)
    network: Way = "none"
    allow_hosts: tuple[str, ...] = ()
    """What commands may reach where the network is `fenced`."""
    allow_private_hosts: tuple[str, ...] = ()
    """The same, which may lie at private addresses."""
    checks: tuple[str, ...] = ()
    delivery: str = ""
    """What the run is part of; empty: nothing."""
    configuration: Mapping[str, str] = field(default_factory=dict)
    """Digests of settings and rules, for the ledger; see `imprint`."""
    caution: Caution | None = None
    """Looks at what tools give the model; None: nobody does."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """All that a fenced network leads to."""
        return (*self.allow_hosts, *self.allow_private_hosts)
