"""A vetting as the ledger takes it: what was recommended by which criteria, and digests of all the evidence.

With the evidence's digests in the ledger nobody can change a report later without its being seen.
"""

from __future__ import annotations

from typing import Final

import orjson

from mohist.base import sha256_hex
from mohist.ledger import Content, Draft, Value
from mohist.vet.account import Account
from mohist.vet.finding import SEVERITIES

_PUBLIC: Final = ("npm:", "pypi:")
"""Subjects whose names are public. A path or a command may name a person, so it is sealed."""


def vetting_draft(account: Account, actor: str) -> Draft:
    """The entry.

    Args:
        account: what is reported.
        actor: who vetted, as the ledger names persons.
    """
    proposal = account.proposal
    public = account.subject.startswith(_PUBLIC)
    data: dict[str, Value] = {
        "recommended": proposal.disposition,
        "criteria": [one.criterion.criterion_id for one in proposal.met],
        "missing": list(proposal.missing),
        "not_looked_at": proposal.unread,
        "findings": {severity: account.count(severity) for severity in SEVERITIES},
        "evidence": dict(account.digests),
        "report": account.digest(),
    }
    if public:
        data["subject"] = account.subject
    summary = orjson.dumps({"subject": account.subject, "conditions": list(proposal.conditions)})
    return Draft(
        "vetting",
        f"vetting:{sha256_hex(account.subject.encode('utf-8', 'replace'))[:16]}",
        actor,
        data=data,
        contents=(Content("subject", "application/json", summary),),
    )
