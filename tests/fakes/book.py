"""`mohist.delivery.book.Book` in memory."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from mohist.delivery.book import Seized
from mohist.delivery.consent import decided
from mohist.delivery.errors import ConflictError, UnknownDeliveryError
from mohist.delivery.machine import LOOK, applied, is_due, paid, same
from mohist.delivery.state import (
    STAGES,
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


class FakeBook:
    """Keeps what a `Store` keeps, and forgets it with the process."""

    def __init__(self, now_ms: Callable[[], int] = lambda: 1) -> None:
        self._now_ms = now_ms
        self._facts: dict[str, Facts] = {}
        self._specs: dict[str, list[Spec]] = {}
        self._evidence: dict[str, dict[str, Evidence]] = {}
        self._findings: dict[str, dict[str, Finding]] = {}
        self._notes: dict[str, list[Note]] = {}
        self._spent: dict[tuple[str, str], tuple[str, int, int, int, bool]] = {}
        self._effects: dict[str, dict[str, Any] | None] = {}
        self._seized: dict[str, int] = {}

    def create(self, delivery: Delivery, then: Callable[[Facts], Move] | None = None) -> None:
        assert delivery.delivery_id not in self._facts
        self._facts[delivery.delivery_id] = Facts(delivery)
        self.note(delivery.delivery_id, "created", delivery.source, {"by": delivery.requested_by})
        if then is not None:
            self.move(delivery.delivery_id, then)

    def get(self, delivery_id: str) -> Delivery:
        everyone = self.list()
        if delivery_id == "last" and everyone:
            return everyone[-1]
        found = [delivery for delivery in everyone if delivery_id and delivery.delivery_id.startswith(delivery_id)]
        found = [delivery for delivery in found if delivery.delivery_id == delivery_id] or found
        if len(found) != 1:
            raise UnknownDeliveryError(f"No single delivery is called {delivery_id!r}.")
        return found[0]

    def owing(self, option: str) -> Sequence[Delivery]:
        return [delivery for delivery in self.list("cancelled") if option in delivery.options]

    def list(self, status: str = "") -> Sequence[Delivery]:
        everyone = [facts.delivery for facts in self._facts.values() if status in ("", facts.delivery.status)]
        return sorted(everyone, key=lambda delivery: (delivery.created_at_ms, delivery.delivery_id))

    def running(self) -> Sequence[Delivery]:
        return [delivery for delivery in self.list() if delivery.segment]

    def due(self, now_ms: int) -> Sequence[str]:
        waiting = [one for one in self.list("waiting") if not one.segment and one.options.get(LOOK)]
        return [one.delivery_id for one in waiting if is_due(one.options[LOOK]["at_ms"], now_ms)]

    def change(self, delivery_id: str, change: Callable[[Delivery], Delivery]) -> Delivery:
        before = self._known(delivery_id).delivery
        return self._write(before, change(before))

    def facts(self, delivery_id: str) -> Facts:
        facts = self._known(delivery_id)
        return dataclasses.replace(facts, stages=tuple(self.stages(delivery_id)))

    def move(self, delivery_id: str, transition: Callable[[Facts], Move]) -> Delivery:
        before = self.facts(delivery_id)
        move = transition(before)
        stamped = [dataclasses.replace(gate, opened_at_ms=gate.opened_at_ms or self._now_ms()) for gate in move.opens]
        after = applied(before, dataclasses.replace(move, opens=tuple(stamped)))
        delivery = self._write(before.delivery, after.delivery)
        self._facts[delivery_id] = dataclasses.replace(after, delivery=delivery)
        for kind, text, told in move.notes:
            self.note(delivery_id, kind, text, told)
        return delivery

    def put_spec(self, delivery_id: str, spec: Spec) -> None:
        facts = self._known(delivery_id)
        if self._follows(facts.spec, spec):
            self._specs.setdefault(delivery_id, []).append(spec)
            self._set(delivery_id, spec=spec, gates=_without_older(facts.gates, "spec", spec.digest))

    def spec(self, delivery_id: str, version: int = 0) -> Spec | None:
        versions = self._specs.get(delivery_id, [])
        return next((spec for spec in reversed(versions) if version in (0, spec.version)), None)

    def put_plan(self, delivery_id: str, plan: Plan) -> None:
        facts = self._known(delivery_id)
        if self._follows(facts.plan, plan):
            self._set(delivery_id, plan=plan, gates=_without_older(facts.gates, "plan", plan.digest))

    def plan(self, delivery_id: str) -> Plan | None:
        return self._facts[delivery_id].plan if delivery_id in self._facts else None

    def put_stage(self, delivery_id: str, row: StageRow) -> None:
        facts = self._known(delivery_id)
        self._facts[delivery_id] = applied(facts, Move(facts.delivery, (row,)))

    def stages(self, delivery_id: str) -> Sequence[StageRow]:
        rows = []
        for row in self._facts[delivery_id].stages if delivery_id in self._facts else ():
            spent = [
                (cost, tokens, unknown)
                for (owner, _), (stage, attempt, cost, tokens, unknown) in self._spent.items()
                if (owner, stage, attempt) == (delivery_id, row.stage, row.attempt)
            ]
            if spent:
                cost, tokens, unpriced = (sum(part) for part in zip(*spent, strict=True))
                row = dataclasses.replace(row, cost_microusd=cost, tokens=tokens, unpriced=unpriced)
            rows.append(row)
        return sorted(rows, key=lambda row: (row.attempt, STAGES.index(row.stage)))

    def put_evidence(self, delivery_id: str, evidence: Evidence) -> None:
        self._known(delivery_id)
        self._evidence.setdefault(delivery_id, {}).setdefault(evidence.evidence_id, evidence)

    def evidence(self, delivery_id: str, attempt: int | None = None) -> Sequence[Evidence]:
        every = self._evidence.get(delivery_id, {}).values()
        return [evidence for evidence in every if attempt in (None, evidence.attempt)]

    def put_finding(self, delivery_id: str, finding: Finding) -> None:
        self._known(delivery_id)
        self._findings.setdefault(delivery_id, {})[finding.finding_id] = finding

    def findings(self, delivery_id: str) -> Sequence[Finding]:
        return [*self._findings.get(delivery_id, {}).values()]

    def open_gate(self, delivery_id: str, gate: Gate) -> Gate:
        facts = self._known(delivery_id)
        stamped = dataclasses.replace(gate, opened_at_ms=gate.opened_at_ms or self._now_ms())
        self._facts[delivery_id] = applied(facts, Move(facts.delivery, opens=(stamped,)))
        return next(other for other in self._facts[delivery_id].gates if same(gate, other))

    def open_gates(self) -> Sequence[tuple[str, Gate]]:
        return [
            (delivery_id, dataclasses.replace(gate, decisions=()))
            for delivery_id, facts in self._facts.items()
            for gate in facts.gates
            if gate.status == "open" and not gate.closed
        ]

    def gates(self, delivery_id: str) -> Sequence[Gate]:
        return [*self._facts[delivery_id].gates] if delivery_id in self._facts else []

    def decide(self, gate_id: str, decision: Decision, then: Callable[[Facts], Move] | None = None) -> Gate:
        for delivery_id, facts in self._facts.items():
            for gate in facts.gates:
                if gate.gate_id == gate_id:
                    after = self._decide(delivery_id, gate, decision)
                    if then is not None:
                        self.move(delivery_id, then)
                    return after
        raise UnknownDeliveryError(f"There is no gate {gate_id!r}.")

    def _decide(self, delivery_id: str, gate: Gate, decision: Decision) -> Gate:
        facts = self._facts[delivery_id]
        after = decided(facts, gate, decision)
        if after is not gate:
            self._set(delivery_id, gates=tuple(after if other is gate else other for other in facts.gates))
            told = {"gate": gate.gate_id, "by": decision.by, "verdict": decision.verdict, "because": decision.because}
            text = f"{decision.by}: {decision.verdict} {after.subject}"
            self.note(delivery_id, "decision", text, {**told, "status": after.status})
        return after

    def put_release(
        self, delivery_id: str, release: Release, notes: Sequence[tuple[str, str, dict[str, Any]]] = ()
    ) -> None:
        key = (release.environment, release.release_id)
        others = [old for old in self._known(delivery_id).releases if (old.environment, old.release_id) != key]
        ordered = sorted([*others, release], key=lambda row: (row.at_ms, row.environment, row.release_id))
        self._set(delivery_id, releases=tuple(ordered))
        for note in notes:
            self.note(delivery_id, *note)

    def releases(self, delivery_id: str = "", environment: str = "") -> Sequence[Release]:
        every = [
            (release.at_ms, owner, release.environment, release.release_id, release)
            for owner, facts in self._facts.items()
            for release in facts.releases
            if delivery_id in ("", owner) and environment in ("", release.environment)
        ]
        return [release for *_, release in sorted(every, key=lambda row: row[:4])]

    def note(self, delivery_id: str, kind: str, text: str, facts: dict[str, Any] | None = None) -> Note:
        self._known(delivery_id)
        notes = self._notes.setdefault(delivery_id, [])
        notes.append(Note(len(notes) + 1, kind, text, self._now_ms(), facts or {}))
        return notes[-1]

    def notes(self, delivery_id: str, after: int = 0) -> Sequence[Note]:
        return self._notes.get(delivery_id, [])[after:]

    def news(self, since_ms: int) -> Sequence[tuple[str, Note]]:
        rows = [(name, note) for name, notes in self._notes.items() for note in notes if note.at_ms >= since_ms]
        return sorted(rows, key=lambda row: (row[1].at_ms, row[0], row[1].number))

    def spend(
        self,
        delivery_id: str,
        stage: StageName,
        key: str,
        cost_microusd: int | None,
        tokens: int,
        held_microusd: int = 0,
    ) -> None:
        before = self._known(delivery_id).delivery
        if (delivery_id, key) in self._spent:
            return
        self._spent[delivery_id, key] = (stage, before.attempt, cost_microusd or 0, tokens, cost_microusd is None)
        self._write(before, paid(before, cost_microusd, tokens, held_microusd))

    def effect(self, key: str, kind: str) -> dict[str, Any] | None:
        return self._effects.setdefault(key, None)

    def seize(self, key: str, kind: str, held_ms: int) -> Seized:
        if self._effects.get(key) is not None:
            return "done"
        if key in self._effects and self._now_ms() < self._seized.get(key, 0) + held_ms:
            return "held"
        self._effects[key], self._seized[key] = None, self._now_ms()
        return "mine"

    def begun(self, key: str) -> bool:
        return key in self._effects

    def done(self, key: str, result: dict[str, Any]) -> None:
        if self._effects.get(key) is None:
            self._effects[key] = result

    def _known(self, delivery_id: str) -> Facts:
        if delivery_id not in self._facts:
            raise UnknownDeliveryError(f"There is no delivery {delivery_id!r}.")
        return self._facts[delivery_id]

    def _set(self, delivery_id: str, **parts: Any) -> None:
        self._facts[delivery_id] = dataclasses.replace(self._facts[delivery_id], **parts)

    def _write(self, before: Delivery, after: Delivery) -> Delivery:
        if after == before:
            return before
        if (after.delivery_id, after.revision) != (before.delivery_id, before.revision):
            raise ConflictError("Somebody else changed it.")
        after = dataclasses.replace(after, revision=before.revision + 1)
        self._set(before.delivery_id, delivery=after)
        return after

    def _follows(self, newest: Spec | Plan | None, value: Spec | Plan) -> bool:
        if newest is not None and newest.digest == value.digest:
            return False
        if value.version != (newest.version if newest is not None else 0) + 1:
            raise ConflictError("It does not follow the newest.")
        return True


def _without_older(gates: Sequence[Gate], kind: str, digest: str) -> builtins.tuple[Gate, ...]:
    return tuple(
        dataclasses.replace(gate, status="withdrawn", closed=True)
        if gate.kind == kind and gate.digest != digest and gate.status == "open"
        else gate
        for gate in gates
    )
