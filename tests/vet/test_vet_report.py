"""A report says what the evidence amounts to by the written criteria, for people and for programs."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mohist.cli import register
from mohist.vet import Dossier, DossierError, Evidence, Finding, Record, Unread
from mohist.vet.account import Account, gather
from mohist.vet.criterion import CRITERIA, NEEDED, propose
from mohist.vet.finding import Certainty, Severity, Step
from mohist.vet.page import render_page
from mohist.vet.sarif import sarif

SUBJECT = "npm:some-client@1.2.3"


def finding(
    step: Step, severity: Severity, certainty: Certainty = "observed", rule: str = "", what: str = "It was seen."
) -> Finding:
    evidence = Evidence("package/cli.js", "a\\u2019b", offset=12, facts=(("code point", "U+2019"),))
    return Finding(rule or f"{step}/some", "Something", severity, certainty, step, what, (evidence,), "mohist vet …")


def records(*findings: Finding, without: tuple[Step, ...] = ()) -> tuple[Record, ...]:
    return tuple(
        Record(step, SUBJECT, findings=tuple(one for one in findings if one.step == step))
        for step in (*NEEDED, "compare")
        if step not in without
    )


def account(folder: Path, *findings: Finding, unread: tuple[Unread, ...] = ()) -> Account:
    dossier = Dossier(folder)
    for record in records(*findings):
        dossier.write(Record(record.step, SUBJECT, {}, record.findings, unread if record.step == "static" else ()))
    return gather(dossier, version="1.0")


@pytest.mark.parametrize(
    ("found", "disposition", "criterion"),
    [
        (finding("differ", "high"), "banned", "D1"),
        (finding("differ", "high", "likely"), "restricted", "R3"),
        (finding("differ", "low"), "allowed", None),
        (finding("behave", "high", rule="behave/decoy-sent"), "banned", "D2"),
        (finding("behave", "high"), "restricted", "R1"),
        (finding("behave", "medium", "possible"), "allowed", None),
        (finding("behave", "medium"), "restricted", "R5"),
        (finding("repository", "medium"), "restricted", "R2"),
        (finding("static", "high", "likely"), "restricted", "R4"),
        (finding("static", "medium"), "allowed", None),
        (finding("compare", "high"), "restricted", "R6"),
        (finding("acquire", "info"), "allowed", None),
    ],
)
def test_each_criterion_is_met_by_what_it_says_alone(found: Finding, disposition: str, criterion: str | None) -> None:
    proposal = propose(records(found))
    assert proposal.disposition == disposition
    first = proposal.met[0].criterion.criterion_id if proposal.met else None
    assert first == criterion
    assert bool(proposal.conditions) is (disposition == "restricted")


def test_every_criterion_can_be_met() -> None:
    every = [
        finding(step, severity, rule=rule)
        for step in (*NEEDED, "compare")
        for severity in ("medium", "high")
        for rule in ("", "behave/decoy-sent")
    ]
    assert {one.criterion.criterion_id for one in propose(records(*every)).met} == {
        one.criterion_id for one in CRITERIA
    }


@pytest.mark.parametrize("step", NEEDED)
def test_what_was_not_examined_is_never_recommended_as_allowed(step: Step) -> None:
    proposal = propose(records(without=(step,)))
    assert (proposal.disposition, proposal.missing) == ("restricted", (step,))
    assert any("missing" in one for one in proposal.conditions)


def test_a_comparison_is_never_missing() -> None:
    assert propose(records(without=("compare",))).disposition == "allowed"


def test_the_strictest_criterion_decides() -> None:
    proposal = propose(records(finding("repository", "high"), finding("differ", "high"), finding("differ", "medium")))
    assert proposal.disposition == "banned"
    assert [(one.criterion.criterion_id, len(one.findings)) for one in proposal.met] == [
        ("D1", 1),
        ("R2", 1),
        ("R3", 1),
    ]


def test_a_finding_counts_for_the_strictest_criterion_alone() -> None:
    proposal = propose(records(finding("differ", "high")))
    assert [one.criterion.criterion_id for one in proposal.met] == ["D1"]


class _Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "onclick", "onload")]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_a_page_says_first_what_is_recommended_and_shows_what_strangers_wrote_as_text(tmp_path: Path) -> None:
    strange = "<script>alert(1)</script><img src=x onerror=y>"
    made = account(
        tmp_path, finding("differ", "high", what=strange), unread=(Unread("package/x.bin", f"is {strange}"),)
    )
    text = render_page(made)
    page = _Page()
    page.feed(text)
    assert not {"script", "img", "link", "iframe", "a"} & set(page.tags)
    assert page.links == []
    assert re.search(r"url\(|@import|https?://", text) is None
    said = "".join(page.said)
    assert said.count(strange) >= 3
    assert said.index("banned") < said.index("Findings") < said.index("The criteria")
    assert "U+2019" in said
    for digest in made.digests.values():
        assert digest in said


def test_a_long_row_of_evidence_is_cut_on_the_page_alone(tmp_path: Path) -> None:
    many = tuple(Evidence(f"file-{number}.js", "x") for number in range(50))
    long = Finding("static/hosts", "Hosts", "low", "observed", "static", "50 hosts.", many, "grep")
    made = account(tmp_path, long)
    assert "30 more in static.json" in render_page(made)
    assert len(made.as_json()["findings"][0]["evidence"]) == 50


def test_programs_are_told_the_same_as_people(tmp_path: Path) -> None:
    made = account(tmp_path, finding("differ", "high"), finding("static", "info"), unread=(Unread("a", "is locked"),))
    told = json.loads(json.dumps(made.as_json()))
    assert told["recommended"]["disposition"] == "banned"
    assert told["recommended"]["criteria"][0]["id"] == "D1"
    assert told["counts"] == {"high": 1, "medium": 0, "low": 0, "info": 1}
    assert told["unread"] == [{"where": "a", "why": "is locked"}]
    assert set(told["steps"]) == {*NEEDED, "compare"}
    assert made.digest() == gather(Dossier(tmp_path), version="1.0").digest()


def test_a_changed_evidence_file_changes_the_reports_digest(tmp_path: Path) -> None:
    before = account(tmp_path, finding("differ", "low"))
    Dossier(tmp_path).write(Record("static", SUBJECT, {"hosts": ["other.example"]}))
    after = gather(Dossier(tmp_path), version="1.0")
    assert after.digests["static"] != before.digests["static"]
    assert after.digest() != before.digest()


def test_sarif_holds_every_finding_with_its_place(tmp_path: Path) -> None:
    made = account(
        tmp_path, finding("differ", "high"), finding("static", "info"), unread=(Unread("b.bin", "is encrypted"),)
    )
    (run,) = sarif(made)["runs"]
    assert [(one["level"], one["kind"]) for one in run["results"]] == [("error", "fail"), ("none", "informational")]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[one["ruleIndex"]]["id"] for one in run["results"]] == [one["ruleId"] for one in run["results"]]
    place = run["results"][0]["locations"][0]
    assert place["physicalLocation"]["region"]["byteOffset"] == 12
    assert place["properties"] == {"code point": "U+2019"}
    assert "b.bin is encrypted" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_a_folder_without_evidence_or_with_that_of_two_subjects_is_no_dossier(tmp_path: Path) -> None:
    with pytest.raises(DossierError, match="no evidence"):
        gather(Dossier(tmp_path), version="1.0")
    dossier = Dossier(tmp_path)
    dossier.write(Record("static", SUBJECT))
    dossier.write(Record("behave", "npm:other@1.0.0"))
    with pytest.raises(DossierError, match="several subjects"):
        gather(dossier, version="1.0")


@pytest.mark.parametrize(
    ("subject", "begins"),
    [
        ("npm:@scope/some@1.2.3", "mohist register add npm:@scope/some --versions 1.2.3 --banned"),
        ("pypi:some==1.0", "mohist register add pypi:some --versions ==1.0 --banned"),
        ("/home/ann/some", ""),
    ],
)
def test_a_report_says_how_it_is_made_binding(tmp_path: Path, subject: str, begins: str) -> None:
    Dossier(tmp_path).write(Record("differ", subject, findings=(finding("differ", "high"),)))
    made = gather(Dossier(tmp_path), version="1.0")
    assert made.binding.startswith(begins)
    assert bool(made.binding) is bool(begins)
    if begins:
        parser = argparse.ArgumentParser()
        register.declare(parser)
        asked = parser.parse_args(shlex.split(made.binding)[2:])
        assert (asked.verb, asked.disposition) == ("add", "banned")


def test_the_guide_holds_the_criteria_as_they_are() -> None:
    guide = (Path(__file__).parents[2] / "docs/vet.md").read_text(encoding="utf-8")
    table = guide.partition("<!-- criteria -->")[2].partition("<!-- /criteria -->")[0].strip().splitlines()[2:]
    assert table == [f"| {one.criterion_id} | {one.sentence} | {one.leads_to} |" for one in CRITERIA]
