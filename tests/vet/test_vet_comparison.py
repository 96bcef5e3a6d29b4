"""A comparison tells what a version has that the vetted one had not, and whether its notes say so."""

from __future__ import annotations

from typing import Any

import pytest

from mohist.vet import DossierError, Evidence, Finding, Record, Severity
from mohist.vet.comparison import compare

OLD, NEW = "npm:some-client@1.2.3", "npm:some-client@1.2.4"


def static(subject: str, *findings: Finding, **facts: Any) -> Record:
    return Record("static", subject, facts, findings)


def found(rule: str, severity: Severity) -> Finding:
    return Finding(rule, "Holds a table", severity, "likely", "static", "A table.", (Evidence("a.js", "x"),), "look")


def test_new_hosts_are_told_and_known_ones_are_not() -> None:
    old = static(OLD, hosts=[{"name": "api.example.net", "count": 3}])
    new = static(NEW, hosts=[{"name": "api.example.net", "count": 9}, {"name": "log.example.net", "count": 1}])
    record = compare([old], [new])
    (finding,) = record.findings
    assert finding.rule == "compare/hosts"
    assert "log.example.net" in finding.what
    assert "api.example.net" not in finding.what
    assert OLD in finding.what
    assert [one.excerpt for one in finding.evidence] == ["log.example.net"]
    assert record.facts["added"]["static.hosts"] == ["log.example.net"]
    assert compare([new], [old]).facts["gone"]["static.hosts"] == ["log.example.net"]
    assert compare([new], [old]).findings == ()


def test_what_the_notes_name_weighs_nothing() -> None:
    old = static(OLD, hosts=[])
    new = static(NEW, hosts=["log.example.net", "mark.example.net"])
    silent, named = compare([old], [new], notes="Errors are sent to Log.example.net now.").findings
    assert (silent.rule, silent.severity) == ("compare/hosts", "low")
    assert "mark.example.net" in silent.what
    assert "log.example.net" not in silent.what
    assert (named.rule, named.severity) == ("compare/hosts-announced", "info")


def test_a_fact_is_named_by_the_word_it_is_read_with() -> None:
    old, new = static(OLD, facts=[]), static(NEW, facts=[{"name": "machine: /etc/machine-id"}])
    (named,) = compare([old], [new], notes="We read /etc/machine-id for licences.").findings
    assert named.severity == "info"
    (silent,) = compare([old], [new], notes="Faster.").findings
    assert (silent.rule, silent.severity) == ("compare/reads", "low")


@pytest.mark.parametrize(("severity", "told"), [("high", True), ("medium", True), ("low", False), ("info", False)])
def test_a_grave_finding_that_the_earlier_version_had_not_is_told_by_itself(severity: Severity, told: bool) -> None:
    record = compare([static(OLD)], [static(NEW, found("static/encoded-hosts", severity))])
    assert [(one.rule, one.severity) for one in record.findings] == (
        [("compare/static-encoded-hosts", severity)] if told else []
    )
    same = compare(
        [static(OLD, found("static/encoded-hosts", severity))], [static(NEW, found("static/encoded-hosts", severity))]
    )
    assert same.findings == ()


def test_a_step_that_one_side_lacks_is_said_and_not_compared() -> None:
    behaved = Record("behave", NEW, {"names": ["a.example.net"]})
    record = compare([static(OLD)], [static(NEW), behaved])
    assert record.findings == ()
    assert record.facts["steps_of_one_side_only"] == ["behave"]


def test_nothing_can_be_compared_with_nothing() -> None:
    with pytest.raises(DossierError, match="nothing to compare"):
        compare([], [static(NEW)])
