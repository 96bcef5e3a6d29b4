"""The way out of a run whose network is fenced: its commands reach the hosts that were named for it, and each one is on the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from mohist.agent.record import Reached
from mohist.app.errors import ConfigError
from mohist.app.host import host_rule
from mohist.app.machine import Machine
from mohist.app.task import Task
from mohist.event import Note
from mohist.policy import Access, Mode, Question, RuleSet, judge
from mohist.sandbox import NoSandboxError, RefusedError
from mohist.sandbox.fence import Asked, Attempt, Decision, Dial, Fence, Refuse, Rules

MAX_PLACES: Final = 1_000
"""Hosts and ports of one run that are written down by name, and so the most that it reaches: a command that makes names up must not fill
the disk."""
_Row = tuple[str, int, str, str]
"""Host, port, outcome, code."""
_FLAGS: Final = {"not-listed": "--allow", "private-address": "--allow-private"}
"""What a person can say against a refusal."""
_OTHERS: Final[_Row] = ("(others)", 0, "refused", "places")


class Outlet:
    """A run's fence, with what it decides by and what it writes down.

    Args:
        allow: hosts as they were named.
        allow_private: the same, which may lie at private addresses.
        refuses: a rule of policy that keeps a run from a host, in words; empty: none does.
        tell: told of each place that is refused, once.

    Raises:
        ConfigError: one of them names no host.
    """

    def __init__(
        self,
        allow: Sequence[str],
        allow_private: Sequence[str],
        refuses: Callable[[str], str],
        tell: Callable[[str], None],
    ) -> None:
        rules = [host_rule(word, private=False) for word in allow] + [
            host_rule(word, private=True) for word in allow_private
        ]
        try:
            self._rules = Rules(rules)
        except RefusedError as error:
            raise ConfigError(error.what, error.mend) from error
        self._refuses = refuses
        self._tell = tell
        self._append: Callable[[Reached], object] | None = None
        self._known: set[_Row] = set()
        self._attempts: Counter[_Row] = Counter()
        self._sent: Counter[_Row] = Counter()
        self._received: Counter[_Row] = Counter()
        self.fence = Fence(self.decide, self.record)

    @asynccontextmanager
    async def open(self, append: Callable[[Reached], object]) -> AsyncIterator[None]:
        """What lets commands out while it lasts; leave it once they have ended.

        Args:
            append: writes a record down for good; what it raises ends the run, since nothing may leave unseen.
        """
        self._append = append
        try:
            async with self.fence:
                yield
        finally:
            self._append = None
            for row, count in sorted(self._attempts.items()):
                append(Reached(*row, count, self._sent[row], self._received[row]))

    def decide(self, asked: Asked) -> Decision:
        """What becomes of one wish; it is written down before it is let through."""
        decision = self._rules(asked)
        if isinstance(decision, Refuse):
            return decision
        if asked.carrier == "name":  # its address is told; reaching it is another wish
            return decision
        if why := self._refuses(asked.host):
            return Refuse("policy", why)
        if not self._first((asked.host, asked.port, "asked", "")):
            return Refuse("places", f"More than {MAX_PLACES} hosts and ports were asked for in this run.")
        assert isinstance(decision, Dial)
        return decision

    def _first(self, row: _Row) -> bool:
        """Writes down what was not asked for before, before anything is let through; False: there is no room."""
        if row not in self._known:
            if len(self._known) >= MAX_PLACES:
                return False
            assert self._append is not None, "nothing is asked of a fence that is not open"
            self._append(Reached(*row))
            self._known.add(row)
        return True

    def record(self, attempt: Attempt) -> None:
        """Counts what is over, and writes down what is refused when it is so for the first time."""
        asked = attempt.asked
        if attempt.outcome == "served" or _is_own(asked):
            return
        row: _Row = (asked.host, asked.port, attempt.outcome, attempt.code)
        if attempt.outcome == "refused":
            new = row not in self._known
            if not self._first(row):
                row = _OTHERS
            elif new:
                place = f"{asked.host}:{asked.port}" if asked.port else asked.host
                flag = _FLAGS.get(attempt.code)
                self._tell(
                    f"network: {place} refused: {attempt.reason}" + (f" {flag} {place} lets it." if flag else "")
                )
        self._attempts[row] += 1
        if attempt.outcome != "refused":  # what Mohist says of a refusal comes from nowhere
            self._sent[row] += attempt.sent_bytes
            self._received[row] += attempt.received_bytes


def outlet_of(machine: Machine, task: Task, root: Path) -> Outlet | None:
    """The way out of a run whose network is fenced.

    Raises:
        NoSandboxError: the sandbox that was chosen has none.
        ConfigError: what may be reached names no host.
    """
    if task.network != "fenced":
        return None
    if machine.sandbox.name != "bubblewrap":
        raise NoSandboxError(
            f"The sandbox ({machine.sandbox.name}) can't hold the network to hosts that are named.",
            "Use --sandbox bubblewrap, or --network none.",
        )
    return Outlet(
        task.allow_hosts,
        task.allow_private_hosts,
        refusals(task.rules, task.mode, root),
        lambda said: machine.emit(Note(said)),
    )


def network_line(task: Task) -> str:
    """One line for people: what the commands of a run may reach."""
    said = {"none": "no network", "full": "NETWORK OPEN (--network full)"}
    return said.get(task.network) or f"network: only {', '.join(task.hosts) or 'to record what is asked for'}"


def refusals(rules: RuleSet, mode: Mode, workspace: Path) -> Callable[[str], str]:
    """What policy has against a host: where a rule speaks of it, it has to allow it, since nobody can be asked then."""

    def refuses(host: str) -> str:
        question = Question("shell", Access(effect="none", hosts=frozenset({host})), workspace)
        for part in judge(question, rules, mode):
            if part.subject.kind == "host" and part.matched and part.decision != "allow":
                return f"{part.reason} ({part.rule_id})"
        return ""

    return refuses


def _is_own(asked: Asked) -> bool:
    """A packet to the tree's own loopback, where nobody but the tree itself can listen."""
    return asked.carrier == "other" and (asked.host.startswith("127.") or asked.host in ("::1", "localhost"))
