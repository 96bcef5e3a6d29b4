"""A comparison tells what a version has that the vetted one had not, and whether its notes say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mohist.vet import Dossier, DossierError, Evidence, Finding, Record, Severity, Step
from mohist.vet.comparison import compare

OLD, NEW = "npm:some-client@1.2.3", "npm:some-client@1.2.4"


def static(subject: str, *findings: Finding, **facts: Any) -> Record:
    return Record("static", subject, facts, findings)


def found(rule: str, severity: Severity) -> Finding:
    return Finding(rule, "Holds a table", severity, "likely", "static", "A table.", (Evidence("a.js", "x"),), "look")


@pytest.fixture
def vetted(tmp_path: Path) -> Callable[..., Dossier]:
    """A dossier of these steps, with the bodies of requests that were kept."""
    numbers = count()

    def vetted(*records: Record, bodies: tuple[Any, ...] = ()) -> Dossier:
        dossier = Dossier(tmp_path / str(next(numbers)))
        for record in records:
            dossier.write(record)
        for number, body in enumerate(bodies, 1):
            dossier.attach(f"behave/1/request-{number}.body", json.dumps(body).encode())
        return dossier

    return vetted


def test_new_hosts_are_told_and_known_ones_are_not(vetted: Callable[..., Dossier]) -> None:
    old = vetted(static(OLD, hosts=[{"name": "api.example.net", "count": 3}]))
    new = vetted(static(NEW, hosts=[{"name": "api.example.net", "count": 9}, {"name": "log.example.net", "count": 1}]))
    record = compare(old, new)
    (finding,) = record.findings
    assert finding.rule == "compare/hosts"
    assert "log.example.net" in finding.what
    assert "api.example.net" not in finding.what
    assert OLD in finding.what
    assert [one.excerpt for one in finding.evidence] == ["log.example.net"]
    assert record.facts["added"]["static.hosts"] == ["log.example.net"]
    assert compare(new, old).facts["gone"]["static.hosts"] == ["log.example.net"]
    assert compare(new, old).findings == ()


def test_what_the_notes_name_weighs_nothing(vetted: Callable[..., Dossier]) -> None:
    old = vetted(static(OLD, hosts=[]))
    new = vetted(static(NEW, hosts=["log.example.net", "mark.example.net"]))
    silent, named = compare(old, new, notes="Errors are sent to Log.example.net now.").findings
    assert (silent.rule, silent.severity) == ("compare/hosts", "low")
    assert "mark.example.net" in silent.what
    assert "log.example.net" not in silent.what
    assert (named.rule, named.severity) == ("compare/hosts-announced", "info")


def test_a_fact_is_named_by_the_word_it_is_read_with(vetted: Callable[..., Dossier]) -> None:
    old, new = vetted(static(OLD, facts=[])), vetted(static(NEW, facts=[{"name": "machine: /etc/machine-id"}]))
    (named,) = compare(old, new, notes="We read /etc/machine-id for licences.").findings
    assert named.severity == "info"
    (silent,) = compare(old, new, notes="Faster.").findings
    assert (silent.rule, silent.severity) == ("compare/reads", "low")


@pytest.mark.parametrize(
    ("step", "facts", "rule"),
    [
        ("acquire", {"hooks": [{"when": "install", "what": "node fetch.js"}]}, "compare/hooks"),
        ("acquire", {"dependencies": {"left-pad": "^1"}}, "compare/dependencies"),
        ("behave", {"as it comes": {"tried": [{"host": "log.example.net"}]}}, "compare/hosts-tried"),
        ("behave", {"as it comes": {"decoys_read": [".aws/credentials"]}}, "compare/files-read"),
        ("behave", {"as it comes": {"processes": [{"executable": "/usr/bin/lspci"}]}}, "compare/processes"),
        ("differ", {"dependences": [{"sort": "look-alike", "factors": [{"factor": "tz"}]}]}, "compare/dependences"),
    ],
)
def test_each_inventory_is_compared(
    vetted: Callable[..., Dossier], step: Step, facts: dict[str, Any], rule: str
) -> None:
    before, after = vetted(Record(step, OLD)), vetted(Record(step, NEW, facts))
    assert [one.rule for one in compare(before, after).findings] == [rule]
    assert compare(after, after).findings == ()


@pytest.mark.parametrize(
    "asked",
    [
        lambda tool, line: {"system": [{"type": "text", "text": line}], "tools": [{"name": tool}], "messages": []},
        lambda tool, line: {
            "messages": [{"role": "system", "content": line}, {"role": "user", "content": "never a standing one"}],
            "tools": [{"type": "function", "function": {"name": tool}}],
        },
        lambda tool, line: {"instructions": line, "input": [], "tools": [{"type": "function", "name": tool}]},
        lambda tool, line: {
            "input": [{"role": "developer", "content": [{"type": "input_text", "text": line}]}],
            "tools": [{"type": "namespace", "name": "Read", "tools": [{"name": tool}]}],
        },
    ],
    ids=["messages", "chat", "responses", "namespace"],
)
def test_new_tools_and_changed_instructions_are_seen_in_every_dialect(
    vetted: Callable[..., Dossier], asked: Callable[[str, str], Any]
) -> None:
    seen = Record("behave", OLD)
    old = vetted(seen, bodies=(asked("Read", "Be brief on 2026-11-22."), "no object"))
    same = vetted(seen, bodies=(asked("Read", "Be brief on 2026-11-23."),))
    assert compare(old, same).findings == ()
    new = vetted(
        seen, bodies=(asked("Read", "Be brief on 2026-11-23.\nNever name this."), asked("Upload", "Be brief on 1."))
    )
    told = {one.rule: one.what for one in compare(old, new).findings}
    assert set(told) == {"compare/tools", "compare/prompt"}
    assert "Upload" in told["compare/tools"]
    assert "Never name this." in told["compare/prompt"]


@pytest.mark.parametrize(("severity", "told"), [("high", True), ("medium", True), ("low", False), ("info", False)])
def test_a_grave_finding_that_the_earlier_version_had_not_is_told_by_itself(
    vetted: Callable[..., Dossier], severity: Severity, told: bool
) -> None:
    plain, grave = vetted(static(OLD)), vetted(static(NEW, found("static/encoded-hosts", severity)))
    assert [(one.rule, one.severity) for one in compare(plain, grave).findings] == (
        [("compare/static-encoded-hosts", severity)] if told else []
    )
    assert compare(grave, grave).findings == ()


def test_a_step_that_one_side_lacks_is_said_and_not_compared(vetted: Callable[..., Dossier]) -> None:
    behaved = Record("behave", NEW, {"as it comes": {"tried": [{"host": "a.example.net"}]}})
    record = compare(vetted(static(OLD)), vetted(static(NEW), behaved))
    assert record.findings == ()
    assert record.facts["steps_of_one_side_only"] == ["behave"]


def test_nothing_can_be_compared_with_nothing(vetted: Callable[..., Dossier]) -> None:
    with pytest.raises(DossierError, match="nothing to compare"):
        compare(vetted(), vetted(static(NEW)))
