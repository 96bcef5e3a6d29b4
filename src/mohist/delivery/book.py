"""What the stages ask of the tables; one implementation for SQLite and PostgreSQL, one fake in the tests.

Synchronous and short: a call is one transaction. Whoever calls from async code does so in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from mohist.delivery.state import (
    Decision,
    Delivery,
    Evidence,
    Facts,
    Finding,
    Gate,
    Move,
    Note,
    Plan,
    Release,
    Spec,
    StageName,
    StageRow,
)

Seized = Literal["mine", "held", "done"]


class Book(Protocol):
    """Everything that is known of deliveries."""

    def create(self, delivery: Delivery, then: Callable[[Facts], Move] | None = None) -> None:
        """Adds it, and makes the transition `then` in the same transaction."""
        ...

    def get(self, delivery_id: str) -> Delivery:
        """Raises UnknownDeliveryError; a unique prefix or `last` will do."""
        ...

    def list(self, status: str = "") -> Sequence[Delivery]: ...

    def running(self) -> Sequence[Delivery]:
        """Deliveries with a `segment`, whatever their status; what a worker asks for again and again."""
        ...

    def owing(self, option: str) -> Sequence[Delivery]:
        """Cancelled deliveries with this option: something of them is not taken back yet."""
        ...

    def due(self, now_ms: int) -> Sequence[str]:
        """Ids of deliveries that wait, and whose time to look again at something outside has come."""
        ...

    def change(self, delivery_id: str, change: Callable[[Delivery], Delivery]) -> Delivery:
        """Reads, changes and writes the row in one transaction; raises what `change` raises, and writes nothing then."""
        ...

    def facts(self, delivery_id: str) -> Facts:
        """Everything that decides what comes next, read at one instant."""
        ...

    def move(self, delivery_id: str, transition: Callable[[Facts], Move]) -> Delivery:
        """Makes a transition of `machine` in one transaction: no other writer of this delivery comes between reading
        and writing. Writes nothing when it raises."""
        ...

    def put_spec(self, delivery_id: str, spec: Spec) -> None:
        """Adds a version; the same digest again is no new version. Withdraws open gates on an older one."""
        ...

    def spec(self, delivery_id: str, version: int = 0) -> Spec | None:
        """A version; 0: the newest."""
        ...

    def put_plan(self, delivery_id: str, plan: Plan) -> None: ...

    def plan(self, delivery_id: str) -> Plan | None: ...

    def put_stage(self, delivery_id: str, row: StageRow) -> None: ...

    def stages(self, delivery_id: str) -> Sequence[StageRow]: ...

    def put_evidence(self, delivery_id: str, evidence: Evidence) -> None:
        """Idempotent by `evidence_id`."""
        ...

    def evidence(self, delivery_id: str, attempt: int | None = None) -> Sequence[Evidence]: ...

    def put_finding(self, delivery_id: str, finding: Finding) -> None: ...

    def findings(self, delivery_id: str) -> Sequence[Finding]: ...

    def open_gate(self, delivery_id: str, gate: Gate) -> Gate:
        """Idempotent by kind, subject and digest: the gate that is there and not closed is returned, with its
        decisions."""
        ...

    def gates(self, delivery_id: str) -> Sequence[Gate]: ...

    def open_gates(self) -> Sequence[tuple[str, Gate]]:
        """Open gates of all deliveries, the oldest first, each with its delivery's id and without its decisions."""
        ...

    def decide(self, gate_id: str, decision: Decision, then: Callable[[Facts], Move] | None = None) -> Gate:
        """Records a decision and what becomes of the gate; and makes the transition `then` in the same transaction, so that
        nothing stays where it is because somebody was killed in between.

        Raises:
            OutdatedError: the decision's digest is not the gate's.
            NotEntitledError: this person may not decide here (not named, or the requester under four eyes).
            DecidedError: the gate is not open; the same decision by the same person again is no error.
        """
        ...

    def put_release(
        self, delivery_id: str, release: Release, notes: Sequence[tuple[str, str, dict[str, Any]]] = ()
    ) -> None:
        """Adds it, or changes the one of its id; with notes (kind, text and facts of each) in the same transaction."""
        ...

    def releases(self, delivery_id: str = "", environment: str = "") -> Sequence[Release]: ...

    def note(self, delivery_id: str, kind: str, text: str, facts: dict[str, Any] | None = None) -> Note: ...

    def notes(self, delivery_id: str, after: int = 0) -> Sequence[Note]: ...

    def news(self, since_ms: int) -> Sequence[tuple[str, Note]]:
        """Notes of all deliveries taken since then, oldest first, each with its delivery's id."""
        ...

    def spend(
        self,
        delivery_id: str,
        stage: StageName,
        key: str,
        cost_microusd: int | None,
        tokens: int,
        held_microusd: int = 0,
    ) -> None:
        """Adds what a run cost; idempotent by key.

        Args:
            cost_microusd: None: nobody knows.
            held_microusd: what it is charged for then.
        """
        ...

    def effect(self, key: str, kind: str) -> dict[str, Any] | None:
        """What an outside effect gave; None: it is not known to have happened. Its beginning is on record from here on,
        so that a second worker sees that it may have happened and looks before it repeats it."""
        ...

    def seize(self, key: str, kind: str, held_ms: int) -> Seized:
        """Takes an effect for `held_ms`, so that of several that would do it at once one does: `mine`, `held` by another,
        or `done`. Who takes it for longer takes it again; who dies loses it when the time is up."""
        ...

    def begun(self, key: str) -> bool:
        """Whether the effect began at some time, be it done or not; asks only."""
        ...

    def done(self, key: str, result: dict[str, Any]) -> None:
        """The effect happened, and gave this."""
        ...
