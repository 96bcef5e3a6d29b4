"""A scan's result in SARIF 2.1.0, as code hosts and editors read it.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from mohist import __version__
from mohist.app.scan import Leak, Report
from mohist.guard.ruling import BLOCKING, MASKING

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(report: Report) -> dict[str, Any]:
    """The report as a SARIF log with one run."""
    rules = sorted({leak.finding.rule for leak in report.leaks})
    classes = {leak.finding.rule: leak.finding.data_class for leak in report.leaks}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mohist guard",
                        "semanticVersion": __version__,
                        "rules": [
                            {
                                "id": rule,
                                "shortDescription": {"text": f"{classes[rule]} found by {rule}"},
                                "properties": {"tags": ["security", classes[rule]]},
                            }
                            for rule in rules
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {
                                "level": "warning" if unread.grave else "note",
                                "message": {"text": f"Not looked at: {unread.path} {unread.why}."},
                                "locations": [_place(unread.path)],
                            }
                            for unread, _ in report.unread
                        ],
                    }
                ],
                "results": [_result(leak, rules.index(leak.finding.rule)) for leak in report.leaks],
            }
        ],
    }


def _result(leak: Leak, rule_index: int) -> dict[str, Any]:
    finding = leak.finding
    region: dict[str, Any] = {
        "startLine": leak.start.line,
        "startColumn": leak.start.column,
        "endLine": leak.end.line,
        "endColumn": leak.end.column,
    }
    if leak.start.line == 0:
        region = {"byteOffset": leak.start.offset, "byteLength": max(leak.end.offset - leak.start.offset, 0)}
    via = f", encoded ({' in '.join(reversed(finding.via))})" if finding.via else ""
    properties: dict[str, Any] = {"dataClass": finding.data_class, "confidence": finding.confidence}
    if finding.via:
        properties["via"] = list(finding.via)
    if finding.also:
        properties["also"] = list(finding.also)
    if leak.commit:
        properties["commit"] = leak.commit
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": "error" if finding.confidence >= BLOCKING else "warning" if finding.confidence >= MASKING else "note",
        "rank": round(100 * finding.confidence, 1),
        "message": {
            "text": f"{finding.data_class}: {finding.shown}{via}" + (f". {finding.note}" if finding.note else "")
        },
        "locations": [_place(leak.path, region)],
        "fingerprints": {"mohist/v1": leak.identity},
        "properties": properties,
    }


def _place(path: str, region: dict[str, Any] | None = None) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(path.encode("utf-8", "surrogateescape"))}}
    if region is not None:
        place["region"] = region
    return {"physicalLocation": place}
