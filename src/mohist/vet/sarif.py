"""A report in SARIF 2.1.0, as code hosts and security tools read it.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from mohist.vet.account import Account
from mohist.vet.evidence import Evidence
from mohist.vet.finding import Certainty, Finding, Severity

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final[dict[Severity, str]] = {"info": "none", "low": "note", "medium": "warning", "high": "error"}
_KINDS: Final[dict[Severity, str]] = {"info": "informational", "low": "fail", "medium": "fail", "high": "fail"}
_RANKS: Final[dict[Certainty, float]] = {"observed": 100.0, "likely": 60.0, "possible": 20.0}
"""SARIF's 0 to 100, section 3.27.25: how much a result deserves to be looked at among those of its level."""


def sarif(account: Account) -> dict[str, Any]:
    """The report as a SARIF log with one run."""
    titles = {finding.rule: finding.title for finding in account.findings}
    rules = sorted(titles)
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mohist vet",
                        "semanticVersion": account.version,
                        "rules": [{"id": rule, "shortDescription": {"text": titles[rule]}} for rule in rules],
                    }
                },
                "automationDetails": {"id": f"mohist-vet/{account.subject}"},
                "properties": {
                    "subject": account.subject,
                    "recommended": account.proposal.disposition,
                    "conditions": list(account.proposal.conditions),
                },
                "invocations": [
                    {
                        "executionSuccessful": not account.proposal.missing,
                        "toolExecutionNotifications": [
                            {"level": "warning", "message": {"text": f"Not looked at: {one.where} {one.why}."}}
                            for one in account.unread
                        ],
                    }
                ],
                "results": [_result(finding, rules.index(finding.rule)) for finding in account.findings],
            }
        ],
    }


def _result(finding: Finding, rule_index: int) -> dict[str, Any]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": _LEVELS[finding.severity],
        "kind": _KINDS[finding.severity],
        "rank": _RANKS[finding.certainty],
        "message": {"text": f"{finding.what}\nTo see it again: {finding.repeat}"},
        "locations": [_place(one) for one in finding.evidence],
        "properties": {"step": finding.step, "severity": finding.severity, "certainty": finding.certainty},
    }


def _place(evidence: Evidence) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(evidence.where, safe="/@!,=+-._~")}}
    region: dict[str, Any] = {}
    if evidence.line:
        region["startLine"] = evidence.line
    elif evidence.offset >= 0:
        region["byteOffset"] = evidence.offset
    if region:
        region["snippet"] = {"text": evidence.excerpt}
        place["region"] = region
    made: dict[str, Any] = {"physicalLocation": place, "message": {"text": evidence.excerpt or evidence.where}}
    if evidence.facts:
        made["properties"] = dict(evidence.facts)
    return made
