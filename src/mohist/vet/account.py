"""Everything a report says, gathered from a dossier: for a page, for programs, for the ledger."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mohist.base import canonical_json, sha256_hex
from mohist.vet.criterion import Proposal, propose
from mohist.vet.dossier import Dossier, Record, Unread, finding_json
from mohist.vet.errors import DossierError
from mohist.vet.finding import SEVERITIES, Finding, Severity, ranked

SCHEMA: Final = "mohist.vet.report/1"


@dataclass(frozen=True, slots=True)
class Account:
    """What was examined, what was found, and what is recommended."""

    subject: str
    records: tuple[Record, ...]
    findings: tuple[Finding, ...]
    """The gravest first."""
    unread: tuple[Unread, ...]
    proposal: Proposal
    digests: Mapping[str, str]
    """SHA-256 of each step's evidence file, by step."""
    command: str
    """Does it all again."""
    version: str
    """Of the program that examined."""

    def count(self, severity: Severity) -> int:
        """How many findings weigh that much."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def binding(self) -> str:
        """The command that makes what is recommended binding; empty where the subject is no package of a registry."""
        scheme, _, rest = self.subject.partition(":")
        name, _, version = rest.rpartition("@" if scheme == "npm" else "==")
        if scheme not in ("npm", "pypi") or not name:
            return ""
        kind = {"allowed": "--allowed", "restricted": "--restricted --only-governed", "banned": "--banned"}
        exact = version if scheme == "npm" else f"=={version}"
        return (
            f"mohist register add {shlex.quote(f'{scheme}:{name}')} --versions {shlex.quote(exact)} "
            f"{kind[self.proposal.disposition]} --evidence report.json --reason '…'"
            + (" --alternative '…' --first-step '…'" if self.proposal.disposition != "allowed" else "")
        )

    def as_json(self) -> dict[str, Any]:
        """For programs; its shape is `mohist.vet.report/1`."""
        proposal = self.proposal
        return {
            "schema": SCHEMA,
            "subject": self.subject,
            "examined_by": f"mohist {self.version}",
            "repeat": self.command,
            "make_binding": self.binding,
            "recommended": {
                "disposition": proposal.disposition,
                "conditions": list(proposal.conditions),
                "criteria": [
                    {"id": one.criterion.criterion_id, "says": one.criterion.sentence, "findings": len(one.findings)}
                    for one in proposal.met
                ],
                "missing_steps": list(proposal.missing),
                "not_looked_at": proposal.unread,
            },
            "counts": {severity: self.count(severity) for severity in reversed(SEVERITIES)},
            "findings": [finding_json(finding) for finding in self.findings],
            "unread": [{"where": one.where, "why": one.why} for one in self.unread],
            "steps": {
                record.step: {"evidence": f"{record.step}.json", "sha256": self.digests[record.step]}
                for record in self.records
            },
        }

    def digest(self) -> str:
        """SHA-256 of the report for programs, in its canonical form."""
        return sha256_hex(canonical_json(self.as_json()))


def gather(dossier: Dossier, *, version: str) -> Account:
    """The report on what lies in a dossier.

    Args:
        dossier: of one subject.
        version: of this program.

    Raises:
        DossierError: there is nothing in it, or its steps speak of several subjects.
    """
    records = dossier.records()
    subjects = sorted({record.subject for record in records})
    if not records:
        raise DossierError(f"There is no evidence in {dossier.folder}.", "Run `mohist vet SUBJECT --out FOLDER`.")
    if len(subjects) > 1:
        raise DossierError(
            f"{dossier.folder} holds evidence on several subjects: {', '.join(subjects)}.", "Keep one folder for each."
        )
    return Account(
        subject=subjects[0],
        records=records,
        findings=ranked(finding for record in records for finding in record.findings),
        unread=tuple(one for record in records for one in record.unread),
        proposal=propose(records),
        digests={record.step: sha256_hex(dossier.attached(f"{record.step}.json")) for record in records},
        command=f"mohist vet {shlex.quote(subjects[0])}",
        version=version,
    )
