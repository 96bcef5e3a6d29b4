"""Hyperscan and RE2 give the same matches, all of them, and say so where they can't."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mohist.guard import Block, GuardLimitError, GuardRuleError, Hit, Match, Matcher, Pattern, View
from mohist.guard.injection import injection_detector
from mohist.guard.keyword import keyword_detector
from mohist.guard.matcher import Expression, build_matcher, expression
from mohist.guard.matcher.dialect import eased
from mohist.guard.personal import personal_detector
from mohist.guard.secret import secret_detector


class Seeker:
    """A detector that only has patterns."""

    def __init__(self, *patterns: Pattern, name: str = "seeker") -> None:
        self.name = name
        self.version = "1"
        self.patterns = patterns

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        return ()


def both(*patterns: Pattern, **settings: int) -> list[Matcher]:
    return [build_matcher([Seeker(*patterns)], engine=engine, **settings) for engine in ("hyperscan", "re2")]


def values(matcher: Matcher, text: str, pattern: str = "p") -> list[str]:
    return [
        text[match.value_start : match.value_end]
        for match in matcher.matches(View(text)).get("seeker", {}).get(pattern, ())
    ]


@pytest.mark.parametrize("engine", [0, 1], ids=["hyperscan", "re2"])
class TestBothEngines:
    def test_the_value_is_the_named_group_else_the_first_that_took_part_else_all(self, engine: int) -> None:
        for written, expected in (
            (r"key=(\w+);(?P<value>\d+)", "22"),
            (r"key=(\w+);\d+", "ab"),
            (r"key=\w+;\d+", "key=ab;22"),
            (r"(?:lock=(\w+)|key=(\w+));", "ab"),
        ):
            assert values(both(Pattern("p", written))[engine], "x key=ab;22 y") == [expected]

    def test_overlapping_matches_are_all_given(self, engine: int) -> None:
        matcher = both(Pattern("p", r"(?:key|secret)[ =]{1,3}(\S{4,})"))[engine]
        assert values(matcher, "key = secret=hunter22") == ["secret=hunter22", "hunter22"]

    def test_places_are_characters_of_the_view(self, engine: int) -> None:
        matcher = both(Pattern("p", r"key=(\d+)"))[engine]
        assert values(matcher, "密钥🔑 key=123 é key=45") == ["123", "45"]

    def test_other_scripts_match_as_characters_in_classes_and_repeats(self, engine: int) -> None:
        matcher = both(Pattern("p", "密[码碼a]?[:：]([一-龥é]{2,4})"))[engine]
        assert values(matcher, "密码：天王盖地虎 密:éé 密x:山水") == ["天王盖地", "éé"]

    def test_case_is_ignored_where_asked(self, engine: int) -> None:
        matcher = both(Pattern("p", r"token (\w+)", ignore_case=True))[engine]
        assert values(matcher, "ToKeN abc") == ["abc"]

    def test_bytes_of_other_scripts_have_no_case(self, engine: int) -> None:
        # The first byte of "㩀" would be the small letter to that of "é", were they letters of Latin-1.
        matcher = both(Pattern("p", "é", ignore_case=True))[engine]
        assert values(matcher, "㩀 é") == ["é"]

    def test_a_match_counts_only_beside_one_of_its_keywords_in_any_case(self, engine: int) -> None:
        matcher = both(Pattern("p", r"[0-9a-f]{8}", keywords=("azure", "密钥")))[engine]
        assert values(matcher, "AZURE deadbeef") == ["deadbeef"]
        assert values(matcher, "密钥 deadbeef") == ["deadbeef"]
        assert values(matcher, "git deadbeef") == []

    def test_a_match_wider_than_allowed_is_cut_to_its_width(self, engine: int) -> None:
        matcher = both(Pattern("p", r"sk-[a-z]{4,}", width_bytes=10))[engine]
        assert values(matcher, "sk-" + "a" * 50) == ["sk-aaaaaaa"]

    def test_a_match_that_has_no_end_within_its_width_is_none(self, engine: int) -> None:
        matcher = both(Pattern("p", r"sk-[a-z]+;", width_bytes=10))[engine]
        assert values(matcher, "sk-" + "a" * 50 + "; sk-ab;") == ["sk-ab;"]

    def test_white_space_is_the_same_to_both(self, engine: int) -> None:
        matcher = both(Pattern("p", r"a\sb"), Pattern("q", r"a\Sb"), Pattern("r", r"a[^\s]b"), Pattern("s", r"a[\S]b"))[
            engine
        ]
        assert [values(matcher, "a\vb", name) for name in "pqrs"] == [[], ["a\vb"], ["a\vb"], ["a\vb"]]

    def test_the_end_of_a_text_is_its_end(self, engine: int) -> None:
        assert values(both(Pattern("p", r"key$"))[engine], "key\n") == []

    def test_more_matches_than_allowed_is_an_error_not_silence(self, engine: int) -> None:
        matcher = both(Pattern("p", r"\d"), matches_max=3)[engine]
        assert values(matcher, "123") == ["1", "2", "3"]
        with pytest.raises(GuardLimitError, match=r"'p'.*more than 3"):
            matcher.matches(View("1234"))

    def test_nothing_is_found_in_nothing(self, engine: int) -> None:
        assert both(Pattern("p", r"\d"))[engine].matches(View("")) == {}

    def test_no_patterns_find_nothing(self, engine: int) -> None:
        assert both()[engine].matches(View("text")) == {}


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (r"(?<=key)\d+", "refused by RE2"),
        (r"(?=key)\d+", "refused by RE2"),
        (r"(\w)\1", "refused by RE2"),
        (r"(?:a{1000}){1000}", "refused by RE2"),
        (r"(?:[a-z]{999}|[b-y]{998}|x.{999}y.{999}|z.{999}){1,40}", "RE2|too large"),
        (r"a*", "empty text"),
        (r"[^机]x", "negated class"),
        (r"[a-机]x", "begins in ASCII"),
        (r"\pL+", "Unicode properties"),
        (r"[abc", "does not close"),
        ("x\\", "lone backslash"),
        (r"(ab", "refused by RE2"),
    ],
)
def test_what_the_engines_would_not_read_alike_is_refused_by_name(expression: str, reason: str) -> None:
    with pytest.raises(GuardRuleError, match=reason) as refused:
        build_matcher([Seeker(Pattern("bad", expression))], engine="re2")
    assert "'bad'" in refused.value.what


@pytest.mark.parametrize(
    "pattern",
    [Pattern("p", "a", width_bytes=0), Pattern("p", "a", width_bytes=1 << 20), Pattern("p", "a", keywords=("A",))],
)
def test_widths_and_keywords_are_checked(pattern: Pattern) -> None:
    with pytest.raises(GuardRuleError):
        build_matcher([Seeker(pattern)], engine="re2")


def test_two_patterns_of_one_name_are_refused() -> None:
    with pytest.raises(GuardRuleError, match="two patterns named 'p'"):
        build_matcher([Seeker(Pattern("p", "a"), Pattern("p", "b"))])


def test_what_hyperscan_does_not_take_is_searched_all_the_same() -> None:
    # "Embedded start anchors not supported": RE2 takes them.
    refused = Pattern("p", r"x(?:^|y)z|key(\d)")
    matcher = both(refused, Pattern("q", r"lock(\d)"))[0]
    assert (values(matcher, "key7 lock8"), values(matcher, "key7 lock8", "q")) == (["7"], ["8"])


def test_several_threads_may_search_at_once() -> None:
    matcher = both(Pattern("p", r"key=(\d+)"))[0]
    text = "key=1 " * 300
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(len(values(matcher, text)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [300] * 8


EXPRESSIONS = (
    r"\bkey[ =:]{1,3}([a-c0-2]{2,6})\b",
    r"(?i)tok(?:en)?[^a-z]{0,4}([A-Za-z0-9]{3,})",
    r"a+b?c*d",
    r"(?s)begin.{0,20}?end",
    r"(?m)^x[\w-]*$",
    r"[一-二]+é?",
    r"(?:^|[^a])ab(?:[^b]|$)",
    r"ab\s+\S+",
    r"\b[a-d.\]]{1,5}@[de]+\b",
    r"[ab]{2,}?c|x@|[0-2]+=",
)
ALPHABET = st.text(alphabet="abcde x=@:\n\t\v012é一二-K\u212aſ", max_size=60)
WORDS = st.lists(
    st.one_of(
        st.sampled_from(["key=", "key: ab12", "Token", "tok ", "begin", "end", "x-1\n", "aabd", "ab "]), ALPHABET
    ),
    max_size=12,
).map("".join)
MATCHERS = both(*[Pattern(f"p{index}", expression, width_bytes=24) for index, expression in enumerate(EXPRESSIONS)])


@pytest.mark.parametrize(
    ("expression", "sought"),
    [
        (r"\b[a-z]{1,64}@b", "[a-z]{1}@b"),
        (r"(?i:\b[a-z\]]{3,64}?@b)", r"(?i:[a-z\]]{3}@b)"),
        ("[ab]+c|x+", "[ab]{1}c|x+"),
        ("[ab]*c", "[ab]*c"),
        ("[ab]{0,5}c", "[ab]{0,5}c"),
        ("[ab]{5}c", "[ab]{5}c"),
        ("x[ab]+c", "x[ab]+c"),
        ("([ab]+)c", "([ab]+)c"),
    ],
)
def test_a_run_at_the_beginning_is_sought_by_its_least_length(expression: str, sought: str) -> None:
    assert eased(expression) == sought


@settings(max_examples=300, deadline=None)
@given(WORDS)
def test_the_two_engines_find_the_same(text: str) -> None:
    native, plain = MATCHERS
    assert native.matches(View(text)) == plain.matches(View(text))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WORDS, stride=st.integers(1, 40))
def test_every_start_is_found_however_a_text_is_cut_into_strides(
    text: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the plain definition: at each byte, what matches there, within the width."""
    monkeypatch.setattr(expression, "_STRIDE_BYTES", stride)
    data = View(text).data
    for pattern in [Pattern("p", source, width_bytes=24) for source in EXPRESSIONS]:
        tried = Expression("seeker", pattern)
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        plain = re2.compile(tried.source, options)
        expected = []
        for start in range(len(data)):
            match = plain.match(data, start)
            if match is not None and match.end() - start > 24:
                match = plain.match(data, start, start + 24)
            if match is not None and match.end() > start:
                expected.append((start, match.end()))
        found = [place[:2] for place in tried.matches(data, ((0, len(data)),), len(data) + 1)]
        assert found == expected


@pytest.mark.parametrize("engine", [0, 1], ids=["hyperscan", "re2"])
def test_a_text_of_one_key_over_and_over_costs_its_length_and_loses_nothing_that_stands_apart(engine: int) -> None:
    matcher = both(Pattern("p", r"sk-[a-z-]{4,}", width_bytes=4096))[engine]
    text = "sk-abcdef" * 40_000 + " sk-lastone"
    found = values(matcher, text)
    assert len(found) < 1000
    assert found[-1] == "sk-lastone"


@given(
    st.text(alphabet="aé-一丁龥한\U0001f511]^\\x7f", max_size=12),
    st.sampled_from(["[é-龥]", "[a한🔑]+", "[]^-]", "[\\^一-丁x]", "[^a]"]),
)
def test_classes_of_characters_mean_what_they_mean_to_python(text: str, wanted: str) -> None:
    plain = both(Pattern("p", wanted, width_bytes=64))[1]
    if wanted == "[^a]":
        text = text.encode("ascii", "ignore").decode()
    starts = {match.start for match in plain.matches(View(text)).get("seeker", {}).get("p", ())}
    assert starts == {at for at in range(len(text)) if re.compile(wanted).match(text, at)}


@pytest.mark.parametrize("engine", [0, 1], ids=["hyperscan", "re2"])
class TestWhatIsLookedForInPlaceOfAnExpression:
    def test_a_match_is_found_on_both_sides_of_its_anchor(self, engine: int) -> None:
        matcher = both(Pattern("p", r"[a-z]{3,9}:\d{2}:[a-z]{3,9}", width_bytes=24, anchor=r":\d{2}:"))[engine]
        assert values(matcher, "abc:12:def, :34: abcdefghi:56:abcdefghi") == [
            text
            for first, second in (("abc", "12:def"), ("abcdefghi", "56:abcdefghi"))
            for text in (f"{first[at:]}:{second}" for at in range(len(first) - 2))
        ]

    def test_the_case_of_an_anchor_is_that_of_its_expression(self, engine: int) -> None:
        matcher = both(Pattern("p", r"key=\d+", ignore_case=True, anchor="key="))[engine]
        assert values(matcher, "KEY=12 Key=3") == ["KEY=12", "Key=3"]

    def test_a_rare_word_anywhere_has_all_of_its_text_searched(self, engine: int) -> None:
        matcher = both(Pattern("p", r"\bd=\d+", keywords=("kty", "密钥"), rare=True))[engine]
        assert values(matcher, "d=1 " + "x" * 5000 + " KTY " + "x" * 5000 + " d=2") == ["d=1", "d=2"]
        assert values(matcher, "d=1 密钥") == ["d=1"]
        assert values(matcher, "d=1 d=2") == []


def test_a_rare_expression_needs_keywords() -> None:
    with pytest.raises(GuardRuleError, match="no keywords"):
        build_matcher([Seeker(Pattern("p", "a", rare=True))])


def _shipped_with_anchors() -> list[Pattern]:
    patterns = [*secret_detector().patterns, *personal_detector().patterns, *keyword_detector().patterns]
    return [pattern for pattern in [*patterns, *injection_detector().patterns] if pattern.anchor]


def _thinned(expression: str) -> str:
    """With a few of each long list of words: making examples of a thousand takes a minute, and says no more."""
    return re.sub(r"(?:\|[^()|]+(?=\|)){20,}", lambda found: "|" + "|".join(found[0].split("|")[1::30]), expression)


@pytest.mark.parametrize("pattern", _shipped_with_anchors(), ids=lambda pattern: pattern.name)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_each_match_of_a_shipped_expression_holds_its_anchor(pattern: Pattern, data: st.DataObject) -> None:
    flags = re.ASCII | (re.IGNORECASE if pattern.ignore_case else 0)
    written = re.sub(r"\(\?P<\w+>", "(?:", _thinned(pattern.expression)).replace(r"\z", r"\Z")
    text = data.draw(
        st.from_regex(re.compile(written, flags), fullmatch=True, alphabet=st.characters(max_codepoint=126))
    )
    # As the engine reads both: in bytes, with its own classes.
    [found] = [Expression("seeker", Pattern("p", pattern.expression, pattern.ignore_case, width_bytes=1 << 15))]
    [anchor] = [Expression("seeker", Pattern("p", pattern.anchor, pattern.ignore_case, width_bytes=1 << 15))]
    for read in (found, anchor):
        read.compile()
    content = text.encode("ascii")
    for start, end, *_ in found.matches(content, ((0, len(content)),), 1 << 20):
        assert next(iter(anchor.matches(content[start:end], ((0, end - start),), 1 << 20)), None) is not None


@pytest.mark.parametrize("engine", ["hyperscan", "re2"])
def test_of_a_pattern_that_is_looked_for_once_the_first_match_is_told(engine: str) -> None:
    seekers = [Seeker(Pattern("p", r"b[0-9]", width_bytes=2, once=True))]
    matcher = build_matcher(seekers, engine=engine)  # type: ignore[arg-type]
    found = matcher.matches(View("a1 " * 2_000 + "b7 b8 " * 500))["seeker"]["p"]
    assert [(match.start, match.end) for match in found] == [(6_000, 6_002)]


@pytest.mark.parametrize("engine", ["hyperscan", "re2"])
def test_of_a_pattern_whose_matches_stand_apart_none_within_another_is_told(engine: str) -> None:
    text = "key.key = 1 key = 2"
    for apart, starts in ((True, [0, 12]), (False, [0, 4, 12])):
        seekers = [Seeker(Pattern("p", r"key[a-z.]* =", width_bytes=16, apart=apart))]
        matcher = build_matcher(seekers, engine=engine)  # type: ignore[arg-type]
        assert [match.start for match in matcher.matches(View(text))["seeker"]["p"]] == starts


def test_what_was_kept_for_a_pattern_that_is_looked_for_once_serves_no_other(tmp_path: Path) -> None:
    for once, starts in ((True, [0]), (False, [0, 300])):
        seekers = [Seeker(Pattern("p", r"b[0-9]", width_bytes=2, once=once))]
        matcher = build_matcher(seekers, engine="hyperscan", cache=tmp_path / "kept")
        found = matcher.matches(View("b1" + "-" * 298 + "b2"))["seeker"]["p"]
        assert [match.start for match in found] == starts
