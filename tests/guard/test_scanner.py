"""The engine: each text is looked at once, each finding is reported once, and a failure is never taken for clean."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.scanning import BrokenMatcher, Finder, SlowMatcher
from mohist.guard import Block, Finding, GuardError, GuardLimitError, Hit, Limits, Match, Scanner, View, keyed
from mohist.guard.merge import merged

TOKEN = "tkn_" + "a1" * 10
DIGEST = keyed(b"a key of the company")


def scanner(*finders: Finder, limits: Limits | None = None) -> Scanner:
    return Scanner(finders, SlowMatcher(finders), DIGEST, limits or Limits())


def test_a_finding_says_where_and_never_what() -> None:
    text = f"key = {TOKEN}\n"
    (found,) = scanner(Finder(r"tkn_\w+")).scan([Block(text)])
    (finding,) = found.findings
    assert text[finding.start : finding.end] == TOKEN
    assert (finding.shown, finding.value_digest) == (f"tkn_… ({len(TOKEN)} characters)", DIGEST(TOKEN))
    assert TOKEN not in repr(found.findings)


def test_a_text_is_looked_at_once_for_as_long_as_it_is_kept() -> None:
    finder = Finder(r"tkn_\w+")
    engine = scanner(finder)
    blocks = [Block(f"x {TOKEN} {number}", "user", f"/messages/{number}") for number in range(3)]
    first = engine.scan(blocks)
    assert len(finder.asked) == 3
    again = engine.scan([*blocks, Block("one more", "user")])
    assert len(finder.asked) == 3
    assert [found.findings for found in again[:3]] == [found.findings for found in first]


def test_the_same_text_of_another_source_or_file_is_looked_at_anew() -> None:
    finder = Finder(r"tkn_\w+")
    engine = scanner(finder)
    engine.scan([Block(TOKEN, "user"), Block(TOKEN, "system"), Block(TOKEN, "user", "/elsewhere")])
    assert len(finder.asked) == 2
    engine.scan([Block(TOKEN, "file", "a.py"), Block(TOKEN, "file", "b.py")])
    assert len(finder.asked) == 4


def test_a_detector_that_changes_is_asked_anew() -> None:
    finder = Finder(r"tkn_\w+")
    engine = scanner(finder)
    engine.scan([Block(TOKEN)])
    finder.version = "2"
    finder.expression = "nothing"
    (found,) = engine.scan([Block(TOKEN)])
    assert found.findings == ()


def test_what_is_kept_is_bounded_in_number_and_in_bytes() -> None:
    finder = Finder(r"tkn_\w+")
    engine = scanner(finder, limits=Limits(cache_entries=5))
    for number in range(50):
        engine.scan([Block(f"{TOKEN} {number}")])
    assert len(engine._cache) == 5
    engine = scanner(finder, limits=Limits(cache_bytes=10_000))
    for number in range(50):
        engine.scan([Block(f"{TOKEN} {number}")])
    assert 0 < len(engine._cache) < 10


def test_the_plain_reading_of_a_finding_is_preferred() -> None:
    text = f'{{\\"a\\": \\"b\\", \\"k\\": \\"{TOKEN}\\"}}'
    (found,) = scanner(Finder(r"tkn_\w+")).scan([Block(text)])
    assert [finding.via for finding in found.findings] == [()]


def test_a_finding_in_an_encoding_says_which() -> None:
    text = "data: " + base64.b64encode(f"the key {TOKEN}".encode()).decode()
    (found,) = scanner(Finder(r"tkn_\w+")).scan([Block(text)])
    (finding,) = found.findings
    assert finding.via == ("base64",)
    assert finding.value_digest == DIGEST(TOKEN)
    assert 6 < finding.start < finding.end <= len(text)


def test_an_encoding_too_deep_to_undo_is_a_finding() -> None:
    text = TOKEN
    for _ in range(5):
        text = base64.b64encode(text.encode()).decode()
    (found,) = scanner(Finder(r"tkn_\w+")).scan([Block(text)])
    assert [finding.rule for finding in found.findings] == ["reading.too-deep"]


def test_an_engine_that_fails_is_no_clean_result() -> None:
    engine = Scanner([Finder("x")], BrokenMatcher(), DIGEST)
    for _ in range(2):
        with pytest.raises(GuardError):
            engine.scan([Block("some text")])


def test_several_threads_get_the_same_as_one() -> None:
    finder = Finder(r"tkn_\w+")
    engine = scanner(finder, limits=Limits(cache_entries=20))
    blocks = [Block(f"{TOKEN} {number}") for number in range(40)]
    alone = [found.findings for found in scanner(finder).scan(blocks)]
    results: list[list[tuple[Finding, ...]]] = []

    def run() -> None:
        for _ in range(10):
            results.append([found.findings for found in engine.scan(blocks)])  # noqa: PERF401 - as a thread would

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [alone] * 40


def finding(
    rule: str, start: int, end: int, confidence: float, data_class: str = "secret.token", via: int = 0
) -> Finding:
    return Finding("d", rule, data_class, start, end, confidence, "…", rule, ("base64",) * via)


def test_of_overlapping_findings_the_surest_counts_and_covers_all() -> None:
    (only,) = merged([finding("wide", 0, 30, 0.5), finding("sure", 5, 10, 0.9), finding("late", 25, 40, 0.4)])
    assert (only.rule, only.value_digest, only.start, only.end) == ("sure", "sure", 0, 40)
    assert set(only.also) == {"wide", "late"}


def test_what_was_merged_before_keeps_its_rules() -> None:
    before = merged([finding("sure", 0, 5, 0.7), finding("other", 0, 5, 0.5)])
    (only,) = merged([*before, finding("surest", 0, 5, 0.9), finding("third", 2, 5, 0.6)])
    assert (only.rule, only.also) == ("surest", ("sure", "other", "third"))


def test_of_equally_sure_findings_the_plainest_counts_then_the_widest() -> None:
    (only,) = merged([finding("short", 5, 9, 0.9), finding("wide", 5, 10, 0.9)])
    assert (only.rule, only.also) == ("wide", ("short",))
    (only,) = merged([finding("decoded", 5, 12, 0.9, via=1), finding("plain", 5, 10, 0.9)])
    assert only.rule == "plain"


def test_findings_of_two_kinds_stay_two() -> None:
    both = merged([finding("a", 0, 9, 0.9), finding("b", 3, 4, 0.9, "covert.zero-width")])
    assert [one.rule for one in both] == ["a", "b"]


def test_neighbours_and_equal_rules_are_sorted_by_place() -> None:
    found = merged([finding("a", 10, 20, 0.5), finding("a", 0, 10, 0.9), finding("a", 12, 15, 0.4)])
    assert [(one.start, one.end, one.also) for one in found] == [(0, 10, ()), (10, 20, ())]


SPANS = st.tuples(
    st.integers(0, 40), st.integers(1, 20), st.sampled_from([0.3, 0.6, 0.9]), st.sampled_from(["s.a", "s.b", "p.a"])
)


@given(spans=st.lists(SPANS, max_size=12))
def test_merging_loses_no_character_and_leaves_no_overlap(spans: list[tuple[int, int, float, str]]) -> None:
    given_ = [
        finding(f"r{number}", start, start + width, confidence, data_class)
        for number, (start, width, confidence, data_class) in enumerate(spans)
    ]
    result = merged(given_)
    assert {rule for one in result for rule in (one.rule, *one.also)} == {one.rule for one in given_}
    for kind in ("s", "p"):
        covered = [at for one in result if one.data_class[0] == kind for at in range(one.start, one.end)]
        assert sorted(covered) == sorted(
            {at for one in given_ if one.data_class[0] == kind for at in range(one.start, one.end)}
        )


def test_more_findings_than_may_be_in_one_call_are_an_error() -> None:
    limits = Limits(max_findings=3)
    texts = [Block(f"{TOKEN}{number}") for number in range(4)]
    engine = scanner(Finder(r"tkn_\w+"), limits=limits)
    assert sum(len(found.findings) for found in engine.scan(texts[:3])) == 3
    with pytest.raises(GuardLimitError, match="More than 3 findings"):
        engine.scan(texts)
    with pytest.raises(GuardLimitError, match="More than 3 findings"):
        scanner(Finder(r"tkn_\w+"), limits=limits).scan([Block(" ".join(f"{TOKEN}{number}" for number in range(4)))])


def test_more_places_to_judge_than_may_be_in_one_call_are_an_error_before_any_is_judged() -> None:
    finder = Finder(r"tkn_\w+")
    engine = scanner(finder, limits=Limits(max_matches=3))
    engine.scan([Block(f"{TOKEN} {TOKEN} {TOKEN}")])
    asked = len(finder.asked)
    with pytest.raises(GuardLimitError, match="More than 3 places"):
        engine.scan([Block(f"{TOKEN} {TOKEN}"), Block(f"{TOKEN} x {TOKEN}")])
    assert len(finder.asked) == asked + 1


def test_a_call_that_takes_too_long_is_an_error() -> None:
    with pytest.raises(GuardLimitError, match="took more than 0 ms"):
        scanner(Finder(r"tkn_\w+"), limits=Limits(max_call_ms=0)).scan([Block("text"), Block("more")])


class Joint:
    """Looks at all views at once; has no patterns."""

    name = version = "joint"
    patterns = ()

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.calls: list[int] = []

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        return self.detect_all([view])[0]

    def detect_all(self, views: Sequence[View]) -> Sequence[Sequence[Hit]]:
        self.calls.append(len(views))
        return [[self._hit(found) for found in re.finditer(self.expression, view.text)] for view in views]

    def _hit(self, found: re.Match[str]) -> Hit:
        return Hit("joint.rule", "secret.token", found.start(), found.end(), 0.9)


def test_a_detector_that_looks_at_many_together_is_asked_once_a_call_for_what_is_new() -> None:
    joint = Joint(r"tkn_\w+")
    engine = Scanner([joint], SlowMatcher([]), DIGEST)
    texts = [f"x {TOKEN} {number}" for number in range(3)]
    encoded = f"y = '{base64.b64encode(texts[0].encode()).decode()}'"
    blocks = [Block(text) for text in (*texts, texts[0], "nothing", encoded)]
    found = engine.scan(blocks)
    assert [[one.rule for one in each.findings] for each in found] == [["joint.rule"]] * 4 + [[], ["joint.rule"]]
    assert joint.calls == [6]  # five texts, one of them in two readings
    assert [each.findings for each in engine.scan(blocks)] == [each.findings for each in found]
    assert joint.calls == [6]


def test_what_is_found_together_is_one_finding_with_what_was_found_alone() -> None:
    alone, joint = Finder(r"tkn_\w+", rule="alone.rule"), Joint(r"tkn_\w+ end")
    (found,) = Scanner([alone, joint], SlowMatcher([alone]), DIGEST).scan([Block(f"x {TOKEN} end")])
    [finding] = found.findings
    assert (finding.start, finding.end) == (2, 2 + len(TOKEN) + 4)
    assert {finding.rule, *finding.also} == {"alone.rule", "joint.rule"}


def test_findings_that_are_found_together_are_counted() -> None:
    joint = Joint("a")
    engine = Scanner([joint], SlowMatcher([]), DIGEST, Limits(max_findings=3))
    engine.scan([Block("a b"), Block("a a")])
    with pytest.raises(GuardLimitError, match="More than 3 findings"):
        engine.scan([Block("a b c"), Block("a a a")])
