"""The verdict follows from exit codes alone."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from mohist.delivery.state import Criterion, Evidence
from mohist.delivery.verdict import PROBE, state_of, verdict_of

runs = st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
codes = st.one_of(st.none(), st.sampled_from([0, 1, 2, 4, 5, 126, 127, 137]))


@st.composite
def row(draw: st.DrawFn, subject: str, phase: str) -> Evidence:
    count, passes = draw(runs)
    code = draw(codes.filter(lambda c: (c == 0) == (passes == count) or 0 < passes < count))
    return Evidence(
        f"{subject}-{phase}", 1, "verify", subject, phase, "run", code, "0" * 64, "", 1, "c", "t", count, passes
    )  # type: ignore[arg-type]


def fixed(subject: str, phase: str, passes: bool) -> Evidence:
    return Evidence(
        f"{subject}-{phase}",
        1,
        "verify",
        subject,
        phase,
        "run",
        0 if passes else 1,
        "0" * 64,
        "",
        1,
        "c",
        "t",
        1,
        int(passes),
    )  # type: ignore[arg-type]


@st.composite
def evidence(draw: st.DrawFn) -> tuple[list[Evidence], list[Criterion]]:
    criteria = [
        Criterion(
            f"AC-{n}", "", draw(st.sampled_from(["", "run"])), draw(st.sampled_from(["behaviour", "quality", "manual"]))
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    names = [c.criterion_id for c in criteria] + ["tests", "lint"]
    rows = []
    for name in names:
        for subject, phase in ((name, "before"), (name, "after"), (f"{name}/{PROBE}", "before")):
            if draw(st.booleans()) and not (PROBE in subject and not name.startswith("AC")):
                rows.append(draw(row(subject, phase)))
    return rows, criteria


@given(evidence())
def test_it_holds_only_if_everything_that_must_pass_passed_each_time(
    given_: tuple[list[Evidence], list[Criterion]],
) -> None:
    rows, criteria = given_
    verified = verdict_of(rows, criteria)
    by = {(r.subject, r.phase): state_of(r) for r in rows}
    assert verified.ok == (not verified.reasons)
    assert [r.subject for r in verified.matrix[: len(criteria)]] == [c.criterion_id for c in criteria]
    if verified.ok:
        assert any(phase == "after" for _, phase in by)
        for criterion in criteria:
            if criterion.check:
                assert by[criterion.criterion_id, "after"] == "passes"
                if criterion.kind == "behaviour":
                    assert by[criterion.criterion_id, "before"] in ("fails", "absent")
                    assert by.get((f"{criterion.criterion_id}/{PROBE}", "before")) not in ("passes", "flaky")
        for name in ("tests", "lint"):
            if by.get((name, "after")) in ("fails", "absent", "flaky"):
                assert by.get((name, "before")) not in ("passes", None)


@given(evidence(), st.data())
def test_a_failure_never_helps(given_: tuple[list[Evidence], list[Criterion]], data: st.DataObject) -> None:
    rows, criteria = given_
    after = [r for r in rows if r.phase == "after"]
    if not after or verdict_of(rows, criteria).ok:
        return
    worse = data.draw(st.sampled_from(after))
    failed = dataclasses.replace(worse, exit_code=1, passes=0)
    assert not verdict_of([failed if r is worse else r for r in rows], criteria).ok or state_of(worse) in (
        "absent",
        "flaky",
        "fails",
    )


@given(evidence(), st.randoms())
def test_the_order_of_the_evidence_says_nothing(given_: tuple[list[Evidence], list[Criterion]], random) -> None:
    rows, criteria = given_
    other = list(rows)
    random.shuffle(other)
    one, two = verdict_of(rows, criteria), verdict_of(other, criteria)
    assert (one.ok, set(one.reasons), set(one.matrix)) == (two.ok, set(two.reasons), set(two.matrix))


def test_nothing_run_proves_nothing() -> None:
    assert verdict_of([], []).reasons == ("Nothing was run, so nothing is proved.",)
    manual = verdict_of([], [Criterion("AC-1", "", "", "manual")])
    assert not manual.ok
    assert manual.matrix[0].holds is None


def test_more_failing_tests_than_before_are_the_changes_doing() -> None:
    def told(phase: str, failed: int) -> Evidence:
        return dataclasses.replace(fixed("tests", phase, False), output_tail=f"{failed} failed, 3 passed in 0.10s\n")

    same = verdict_of([told("before", 2), told("after", 2), fixed("lint", "after", True)], [])
    assert same.ok
    assert "tests: fails, and failed before the change" in same.remarks
    more = verdict_of([told("before", 2), told("after", 3)], [])
    assert more.reasons == ("tests: fails, and failed before the change, but with 2 failing tests and not 3",)
