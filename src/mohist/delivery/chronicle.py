"""Enters deliveries in the ledger: what was asked, decided, proved, merged and released, as it is written into the tables.

The tables are the truth that work goes on by; the ledger is what an outsider can check. What is about to happen outside (an effect, a
release that goes live) is entered before it happens; what was decided is entered as soon as it is in the tables. A process that was
killed between the two leaves a row without an entry: `reconcile` enters it when the delivery is next worked on. Every entry has a
key, so entering it again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from mohist.delivery import machine
from mohist.delivery.book import Seized
from mohist.delivery.state import (
    Decision,
    Delivery,
    Evidence,
    Facts,
    Finding,
    Gate,
    Move,
    Release,
    Spec,
    StageRow,
)
from mohist.delivery.store import Store
from mohist.ledger import Content, Draft, Kind, Receipt, Value

MAX_WORD_CHARS = 300
RUN = "run"
"""The kind of effects that are an agent's runs."""
OVER = frozenset({"done", "failed", "skipped"})
"""Of a stage's statuses: nothing more comes of that row."""


_REQUESTED = "requested"
_OVER = "over"


def first_key(delivery_id: str) -> str:
    """The key of the entry that a delivery begins with."""
    return f"delivery:{delivery_id}/{_REQUESTED}"


def closing_key(delivery_id: str, revision: int) -> str:
    """The key of the entry that a delivery is closed with, in one revision of it."""
    return f"delivery:{delivery_id}/{_OVER}/{revision}"


class Witness(Protocol):
    """What deliveries need of the ledger."""

    def append(self, draft: Draft) -> Receipt:
        """See `mohist.ledger.Ledger`."""
        ...


@dataclass(frozen=True, slots=True)
class DeliveryChronicle:
    """Makes entries of rows.

    Args:
        ledger: takes them.
        name: (sort, name) -> pseudonym.
        keep: whether requirements, specs and reasons are kept, or only committed to.
        place: says for people where a delivery's entries stand, by its id; None: nobody knows.
    """

    ledger: Witness
    name: Callable[[str, str], str]
    keep: bool = True
    place: Callable[[str], str] | None = None

    def begun(self, delivery: Delivery) -> None:
        """A delivery was asked for."""
        person = self.name("person", delivery.requested_by)
        data: dict[str, Value] = {
            "stage": "requested",
            "source": delivery.source[:MAX_WORD_CHARS],
            "base": delivery.base_commit,
            "repository": self.name("repository", delivery.repository),
        }
        self._enter(
            "delivery.stage",
            delivery.delivery_id,
            _REQUESTED,
            person,
            data,
            self._text("requirement", delivery.requirement, person),
        )

    def fired(self, delivery_id: str, trigger: str, key: str, due_at_ms: int, claimed_at_ms: int) -> None:
        """A trigger was set off, before the delivery is begun that it asks for."""
        data: dict[str, Value] = {
            "stage": "triggered",
            "trigger": trigger[:MAX_WORD_CHARS],
            "firing": key[:MAX_WORD_CHARS],
            "due_ms": due_at_ms,
            "claimed_ms": claimed_at_ms,
        }
        self._enter("delivery.stage", delivery_id, "triggered", "system:trigger", data)

    def not_begun(self, delivery_id: str, trigger: str, status: str, tries: int) -> None:
        """What a trigger asked for came to nothing."""
        data: dict[str, Value] = {"stage": "triggered", "trigger": trigger[:MAX_WORD_CHARS], "status": status}
        self._enter("delivery.stage", delivery_id, f"triggered/{status}/{tries}", "system:trigger", data)

    def over(self, delivery: Delivery) -> None:
        """It has ended, done or not: with the count of its entries, so that it can be shown complete. What is taken back of a
        cancelled one comes after; it is closed again then."""
        data: dict[str, Value] = {
            "status": delivery.status,
            "commit": delivery.commit,
            "merged": delivery.merged,
            "cost_microusd": delivery.spent_microusd,
        }
        key = f"{_OVER}/{delivery.revision}"
        self._enter("stream.close", delivery.delivery_id, key, "system:delivery", data)

    def specified(self, delivery_id: str, spec: Spec) -> None:
        """A spec, in a version."""
        data: dict[str, Value] = {
            "stage": "spec",
            "version": spec.version,
            "digest": spec.digest,
            "criteria": len(spec.criteria),
        }
        content = self._text("spec", spec.text, "delivery")
        self._enter(
            "delivery.stage", delivery_id, f"spec/{spec.version}/{spec.digest[:16]}", "system:delivery", data, content
        )

    def staged(self, delivery_id: str, row: StageRow) -> None:
        """A stage that is over."""
        if row.status not in OVER:
            return
        data: dict[str, Value] = {
            "stage": row.stage,
            "attempt": row.attempt,
            "status": row.status,
            "cost_microusd": row.cost_microusd,
            "tokens": row.tokens,
            "model": row.model,
            "ended_ms": row.ended_at_ms,
        }
        key = f"stage/{row.attempt}/{row.stage}/{row.status}/{row.ended_at_ms}"
        self._enter("delivery.stage", delivery_id, key, "system:delivery", data)

    def proved(self, delivery_id: str, evidence: Evidence) -> None:
        """A command that ran, and what came out."""
        data: dict[str, Value] = {
            "stage": evidence.stage,
            "attempt": evidence.attempt,
            "check": evidence.subject[:MAX_WORD_CHARS],
            "phase": evidence.phase,
            "command": evidence.command[:MAX_WORD_CHARS],
            "exit_code": evidence.exit_code,
            "output": evidence.output_sha256,
            "commit": evidence.commit,
            "tree": evidence.tree,
            "runs": evidence.runs,
            "passes": evidence.passes,
        }
        self._enter("verdict", delivery_id, f"evidence/{evidence.evidence_id}", "system:delivery", data)

    def found(self, delivery_id: str, finding: Finding, seen: Mapping[str, str] = MappingProxyType({})) -> None:
        """What a reviewer said, and what became of it; `seen` is the commit and tree that it is about, as far as known."""
        data: dict[str, Value] = {
            "severity": finding.severity,
            "path": finding.path,
            "line": finding.line,
            "criterion": finding.criterion,
            "status": finding.status,
        }
        key = f"finding/{finding.finding_id}/{finding.status}"
        self._enter(
            "finding",
            delivery_id,
            key,
            f"model:{finding.by or 'reviewer'}",
            data,
            self._text("finding", finding.text, "delivery"),
            about=seen,
        )

    def decided(
        self, gate: Gate, number: int, decision: Decision, seen: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """What a person said at a gate, bound to the digest of what they saw; where that is a commit, `seen` has its tree."""
        delivery_id = gate.gate_id.rpartition(".")[0]
        person = self.name("person", decision.by)
        data: dict[str, Value] = {
            "gate": gate.gate_id,
            "stage": gate.stage,
            "subject": gate.subject[:MAX_WORD_CHARS],
            "verdict": decision.verdict,
            "digest": decision.digest,
        }
        words = json.dumps(
            {"because": decision.because, "answers": decision.answers}, ensure_ascii=False, sort_keys=True
        )
        self._enter(
            "approval",
            delivery_id,
            f"decision/{gate.gate_id}/{number}",
            person,
            data,
            self._text("reason", words, person),
            about=seen,
        )

    def released(self, delivery_id: str, release: Release) -> None:
        """How far a release is in an environment."""
        data: dict[str, Value] = {
            "release": release.release_id,
            "environment": release.environment,
            "commit": release.commit,
            "status": release.status,
            "previous": release.previous,
        }
        key = f"release/{release.environment}/{release.release_id}/{release.status}/{release.at_ms}"
        self._enter("deploy", delivery_id, key, "system:delivery", data)

    def about_to(self, key: str, kind: str) -> None:
        """An effect outside is about to be had, if it was not had before. Runs enter themselves."""
        if kind == RUN:
            return
        self._enter(
            "tool.intent", key.partition("/")[0], f"effect/{key}", "system:delivery", {"effect": kind, "step": key}
        )

    def happened(self, key: str, result: dict[str, Any]) -> None:
        """It was had."""
        words = {name: value for name, value in result.items() if isinstance(value, str | int | bool)}
        data: dict[str, Value] = {
            name: value[:MAX_WORD_CHARS] if isinstance(value, str) else value for name, value in words.items()
        }
        delivery_id = key.partition("/")[0]
        intent = f"delivery:{delivery_id}/effect/{key}"
        self._enter("tool.result", delivery_id, f"effected/{key}", "system:delivery", data, about={"intent": intent})

    def _enter(
        self,
        kind: Kind,
        delivery_id: str,
        key: str,
        actor: str,
        data: dict[str, Value],
        *contents: Content,
        about: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        stream = f"delivery:{delivery_id}"
        draft = Draft(
            kind,
            stream,
            actor,
            about={"delivery": delivery_id, **about},
            data=data,
            contents=contents,
            key=f"{stream}/{key}",
        )
        self.ledger.append(draft)

    def _text(self, name: str, text: str, subject: str) -> Content:
        return Content(name, "text/plain", text.encode("utf-8", "replace"), subject, self.keep)


class ChronicledStore(Store):
    """The tables, with every row that is evidence entered in the ledger as well.

    Raises:
        LedgerError: from every method that writes such a row: it is not entered.
    """

    chronicle: DeliveryChronicle | None = None
    """None: nothing is entered."""

    def create(self, delivery: Delivery, then: Callable[[Facts], Move] | None = None) -> None:
        rows: list[StageRow] = []
        super().create(delivery, then and _watched(then, rows))
        if self.chronicle is not None:
            self.chronicle.begun(delivery)
            for row in rows:
                self.chronicle.staged(delivery.delivery_id, row)

    def put_spec(self, delivery_id: str, spec: Spec) -> None:
        super().put_spec(delivery_id, spec)
        if self.chronicle is not None and (kept := self.spec(delivery_id)) is not None:
            self.chronicle.specified(delivery_id, kept)

    def put_stage(self, delivery_id: str, row: StageRow) -> None:
        super().put_stage(delivery_id, row)
        if self.chronicle is not None:
            self.chronicle.staged(delivery_id, row)

    def put_evidence(self, delivery_id: str, evidence: Evidence) -> None:
        super().put_evidence(delivery_id, evidence)
        if self.chronicle is not None:
            self.chronicle.proved(delivery_id, evidence)

    def put_finding(self, delivery_id: str, finding: Finding) -> None:
        super().put_finding(delivery_id, finding)
        if self.chronicle is not None:
            self.chronicle.found(delivery_id, finding, self._seen(delivery_id, self.get(delivery_id).commit))

    def move(self, delivery_id: str, transition: Callable[[Facts], Move]) -> Delivery:
        rows: list[StageRow] = []
        delivery = super().move(delivery_id, _watched(transition, rows))
        if self.chronicle is not None:
            for row in rows:
                self.chronicle.staged(delivery_id, row)
            self._close(delivery)
        return delivery

    def change(self, delivery_id: str, change: Callable[[Delivery], Delivery]) -> Delivery:
        delivery = super().change(delivery_id, change)
        self._close(delivery)
        return delivery

    def decide(self, gate_id: str, decision: Decision, then: Callable[[Facts], Move] | None = None) -> Gate:
        rows: list[StageRow] = []
        gate = super().decide(gate_id, decision, then and _watched(then, rows))
        if self.chronicle is not None:
            delivery_id = gate.gate_id.rpartition(".")[0]
            for number, one in enumerate(gate.decisions, 1):
                self.chronicle.decided(gate, number, one, self._seen(delivery_id, gate.digest))
            for row in rows:
                self.chronicle.staged(delivery_id, row)
            if then is not None:
                self._close(self.get(delivery_id))
        return gate

    def put_release(
        self, delivery_id: str, release: Release, notes: Sequence[tuple[str, str, dict[str, Any]]] = ()
    ) -> None:
        # Before the row: nothing goes live that is not entered.
        if self.chronicle is not None:
            self.chronicle.released(delivery_id, release)
        super().put_release(delivery_id, release, notes)

    def effect(self, key: str, kind: str) -> dict[str, Any] | None:
        result = super().effect(key, kind)
        if self.chronicle is not None and result is None:
            self.chronicle.about_to(key, kind)
        return result

    def seize(self, key: str, kind: str, held_ms: int) -> Seized:
        seized = super().seize(key, kind, held_ms)
        if self.chronicle is not None and seized == "mine":
            self.chronicle.about_to(key, kind)
        return seized

    def done(self, key: str, result: dict[str, Any]) -> None:
        super().done(key, result)
        if self.chronicle is not None:
            self.chronicle.happened(key, result)

    def reconcile(self, delivery_id: str) -> None:
        """Enters what is in the tables and, after a kill, may not be in the ledger.

        Raises:
            LedgerError: nothing can be entered.
        """
        chronicle = self.chronicle
        if chronicle is None:
            return
        chronicle.begun(self.get(delivery_id))
        if (spec := self.spec(delivery_id)) is not None:
            chronicle.specified(delivery_id, spec)
        for row in self.stages(delivery_id):
            chronicle.staged(delivery_id, row)
        for evidence in self.evidence(delivery_id):
            chronicle.proved(delivery_id, evidence)
        for finding in self.findings(delivery_id):
            # Which commit it was about is not in the row, and the delivery may have gone on since.
            chronicle.found(delivery_id, finding)
        for gate in self.gates(delivery_id):
            for number, decision in enumerate(gate.decisions, 1):
                chronicle.decided(gate, number, decision, self._seen(delivery_id, gate.digest))
        for release in self.releases(delivery_id):
            chronicle.released(delivery_id, release)
        self._close(self.get(delivery_id))

    def _seen(self, delivery_id: str, commit: str) -> Mapping[str, str]:
        """The commit with its tree, which stays when the commit is squashed; empty: it is none that was verified."""
        rows = (row for row in self.evidence(delivery_id) if commit and row.commit == commit and row.tree)
        return next(({"commit": commit, "tree": row.tree} for row in rows), {})

    def _close(self, delivery: Delivery) -> None:
        if self.chronicle is not None and delivery.status in machine.OVER:
            self.chronicle.over(delivery)


def _watched(transition: Callable[[Facts], Move], rows: list[StageRow]) -> Callable[[Facts], Move]:
    """The transition, whose rows are taken down; a transaction that is tried again takes them down anew."""

    def watched(facts: Facts) -> Move:
        move = transition(facts)
        rows[:] = move.stages
        return move

    return watched
