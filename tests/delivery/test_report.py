"""The report says what is in the book, and nothing that anybody writes becomes markup in it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.delivery.account import FileChange, Report, files_of, report_of, usd
from mohist.delivery.page import render_page
from mohist.delivery.report import markdown
from mohist.delivery.state import (
    Criterion,
    Decision,
    Delivery,
    Evidence,
    Facts,
    Finding,
    Gate,
    Note,
    Plan,
    PlanTask,
    Release,
    Spec,
    StageRow,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "delivery"
T0 = 1_795_000_000_000
BASE, CHANGE, MERGED = "a" * 40, "b" * 40, "c" * 40
DIFF = """\
diff --git a/shop.py b/shop.py
index 1..2 100644
--- a/shop.py
+++ b/shop.py
@@ -1,2 +1,3 @@
 def shipping(total):
-    return 5
+    free = total >= 100
+    return 0 if free else 5
@@ -10 +11,0 @@ def other():
---- not a header
diff --git a/old.txt b/old.txt
deleted file mode 100644
--- a/old.txt
+++ /dev/null
@@ -1 +0,0 @@
-gone
"""


def evidence(subject: str, phase: str, exit_code: int, commit: str) -> Evidence:
    ok = int(exit_code == 0)
    return Evidence(
        f"ev-{subject}-{phase}", 1, "verify", subject, phase, f"python3 checks/{subject}.py", exit_code, "d" * 64,  # type: ignore[arg-type]
        "AssertionError" if exit_code else "ok", 120, commit, "e" * 40, 1, ok, T0 + 5_000,
    )  # fmt: skip


def facts() -> Facts:
    delivery = Delivery(
        "dlv-1", "/srv/shop", "Orders of 100 or more ship free.", "text", "ann", BASE, "main", "mohist/dlv-1", "done",
        "report", 1, T0, T0 + 60_000, spent_microusd=123_400, spent_tokens=4_321, commit=CHANGE, merged=MERGED,
    )  # fmt: skip
    criteria = (
        Criterion(
            "AC-1", "WHEN an order is 100 or more THE SYSTEM SHALL ship it for nothing.", "python3 checks/AC-1.py"
        ),
        Criterion("AC-2", "THE SYSTEM SHALL look well.", "", "manual"),
    )
    spec = Spec(1, "f" * 64, "# Free shipping\n", criteria, ("a mail to all customers",))
    plan = Plan(1, "1" * 64, (PlanTask("T1", "Ship free", "…", may_touch=("shop.py",), criteria=("AC-1",)),))
    said = Decision("bob", "approve", "looks right", CHANGE, T0 + 30_000)
    gate = Gate("dlv-1.1", "merge", "merge", "merge into main", CHANGE, (("bob",),), True, "approved", (said,))
    stages = (
        StageRow("specify", 1, "done", "2 criteria", 100_000, 4_000, "vendor/model", T0, T0 + 9_000),
        StageRow("plan", 1, "skipped", "one file of low risk needs no plan", began_at_ms=T0 + 10_000),
        StageRow("deploy", 1, "done", "", 0, 0, "", T0 + 40_000, T0 + 50_000),
    )
    releases = (Release("rel-1", "staging", MERGED, "committed", "", "30 of 30 answers right", T0 + 50_000),)
    return Facts(delivery, stages, (gate,), spec, plan, releases)


def a_report() -> Report:
    rows = [
        evidence("AC-1", "before", 1, BASE),
        evidence("AC-1", "after", 0, CHANGE),
        evidence("tests", "after", 0, CHANGE),
    ]
    findings = [Finding("F1", "minor", "the limit is a number in the code", "shop.py", 2, "AC-1", "reviewer", "waived")]
    return report_of(facts(), rows, findings, DIFF)


@pytest.mark.parametrize(("name", "render"), [("report.md", markdown), ("report.html", render_page)])
def test_a_report_is_as_it_was(name: str, render: object, request: pytest.FixtureRequest) -> None:
    text = render(a_report())  # type: ignore[operator]
    if request.config.getoption("--renew-pins"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_a_criterion_is_told_with_its_evidence_its_lines_and_where_it_serves() -> None:
    report = a_report()
    first, second = report.lines
    assert (first.row.before, first.row.after, first.row.holds) == ("fails", "passes", True)
    assert first.files == (FileChange("shop.py", 2, 2, ("1-3", "11")),)
    assert second.row.holds is None
    assert report.verdict == "1 of 2 criteria hold; merged as cccccccccccc; serves in staging"
    told = " ".join(report.not_done)
    assert "plan skipped" in told
    assert "finding waived" in told
    assert "a mail to all customers" in told
    assert [row.row.subject for row in report.checks] == ["tests"]


def test_what_was_verified_of_an_older_commit_proves_nothing_of_the_newest() -> None:
    old = dataclasses.replace(evidence("AC-1", "after", 0, "9" * 40), at_ms=T0)
    new = evidence("tests", "after", 0, CHANGE)
    report = report_of(facts(), [old, new], [], DIFF)
    assert report.lines[0].row.after == "not run"
    assert report.lines[0].row.holds is False


def test_files_of_reads_no_header_out_of_a_hunk() -> None:
    assert files_of(DIFF) == (
        FileChange("shop.py", 2, 2, ("1-3", "11")),
        FileChange("old.txt", 0, 1, ("0",)),
    )


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(sorted((name, "" if name == "title" else value) for name, value in attrs))))


def tags(text: str) -> list[tuple[str, tuple[tuple[str, str | None], ...]]]:
    parser = _Tags()
    parser.feed(text)
    return parser.seen


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><h1>Approved</h1>",
    "' onmouseover='x",
    "&lt;b&gt;",
    "\u202egnp.exe",
]


def poisoned(text: str) -> Report:
    """A report in which everything that people, models, repositories and commands write is `text`."""
    before = facts()
    assert before.spec is not None
    criteria = tuple(dataclasses.replace(one, text=text, check=one.check and text) for one in before.spec.criteria)
    gate = before.gates[0]
    said = dataclasses.replace(gate.decisions[0], by=text, because=text, digest=text, answers={text: text})
    now = dataclasses.replace(
        before,
        delivery=dataclasses.replace(
            before.delivery, requirement=text, requested_by=text, source=text, detail=text, base_branch=text
        ),
        spec=dataclasses.replace(before.spec, text=f"# {text}\n", criteria=criteria, irreversible=(text,)),
        stages=tuple(dataclasses.replace(row, detail=text, model=text) for row in before.stages),
        gates=(dataclasses.replace(gate, subject=text, decisions=(said,)),),
        releases=tuple(dataclasses.replace(row, detail=text, environment=text) for row in before.releases),
    )
    rows = [
        dataclasses.replace(evidence("AC-1", phase, code, commit), command=text, output_tail=text, output_sha256=text)
        for phase, code, commit in (("before", 1, BASE), ("after", 0, CHANGE))
    ]
    diff = f"diff --git a/x b/x\n--- a/{text}\n+++ b/{text}\n@@ -1 +1 @@\n-a\n+{text}\n".replace("\r", "")
    made = report_of(now, rows, [Finding("F1", "major", text, text, 1, "AC-1", text)], diff)
    return dataclasses.replace(made, orders=(Note(1, "comment", text, 1, {"by": text}),))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_in_the_page(text: str) -> None:
    assert tags(render_page(poisoned(text))) == tags(render_page(poisoned("harmless")))
    assert "\u202e" not in render_page(poisoned(text))


@given(st.text(min_size=1, max_size=60).filter(lambda text: text.strip() and len(text.splitlines()) == 1))
def test_no_text_makes_markup_in_the_page(text: str) -> None:
    assert tags(render_page(poisoned(f"x{text}"))) == tags(render_page(poisoned("x")))


@pytest.mark.parametrize("text", [*HOSTILE, "a | b", "# head", "[x](javascript:alert(1))", "![x](http://x/)", "`code`"])
def test_hostile_text_is_text_in_markdown(text: str) -> None:
    made, plain = markdown(poisoned(text)), markdown(poisoned("harmless"))
    assert made.count("\n") == plain.count("\n")
    for line, other in zip(made.splitlines(), plain.splitlines(), strict=True):
        bare = line
        for mark in "\\|[]()<>#`*_!~{}":
            bare = bare.replace(f"\\{mark}", "")
        assert bare.count("|") == other.count("|"), line
        assert "<" not in bare, line
        assert "](" not in bare, line


def test_the_page_fetches_nothing() -> None:
    page = render_page(a_report())
    for tag, attributes in tags(page):
        assert tag not in ("script", "link", "img", "iframe", "object", "form"), tag
        assert not {name for name, _ in attributes} & {"src", "href", "action"}
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_a_browser_shows_it_on_one_screen(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium on this machine")
    page = tmp_path / "report.html"
    page.write_text(render_page(poisoned(HOSTILE[1])), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom", page.as_uri()],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    dom = done.stdout.decode()
    assert "criteria hold" in dom
    assert "<img" not in dom.replace("&lt;img", "")


def test_a_price_that_nobody_knows_is_said_and_no_zero() -> None:
    assert usd(0, 0) == "$0.0000"
    assert usd(0, 3) == "price unknown"
    assert usd(123_400, 1) == "$0.1234 and 1 run of unknown price"
    assert usd(123_400, 2) == "$0.1234 and 2 runs of unknown price"


def test_what_people_ordered_beside_their_decisions_is_told() -> None:
    made = dataclasses.replace(a_report(), orders=(Note(4, "comment", "mind the euro sign", 1_000, {"by": "bob"}),))
    assert "| 1970-01-01 00:00:01 | bob | comment | mind the euro sign |" in markdown(made)
    assert "<td>mind the euro sign</td>" in render_page(made)
    assert "Ordered" not in markdown(a_report())


def test_a_criterions_lines_are_those_that_commits_of_its_tasks_brought() -> None:
    carried = {"shop.py": {1: "T1", 2: "T1", 3: "", 7: "T2", 9: "T1"}, "other.py": {1: "T2"}}
    made = report_of(facts(), [], [], "", carried=carried)
    assert [(one.path, one.added, one.hunks) for one in made.lines[0].files] == [("shop.py", 3, ("1-2", "9"))]
    assert made.lines[1].files == (), "no task carries it"
    short = report_of(dataclasses.replace(facts(), plan=None), [], [], "", carried=carried)
    assert [one.path for one in short.lines[0].files] == ["shop.py", "other.py"]
