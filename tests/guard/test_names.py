"""Names and addresses by a model: what it is asked about, what is made of its answers, and what happens where it fails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.guard import Block, Finding, GuardError, Hit, Limits, Scanner, Source, View, keyed
from mohist.guard.matcher import build_matcher
from mohist.guard.personal import Named, NameDetector, personal_detector
from mohist.guard.personal.prose import PASSAGE_CHARS, prose

LETTER = "Dear team,\nplease send the parcel to Maria Keller, 12 Mill Lane, Leeds LS1 4AB.\nThanks, and greetings from Paris.\n"
NAMES = (
    "Maria Keller",
    "Maria",
    "Django",
    "Flask",
    "AnnBell",
    "Ann",
    "Rate Limiter",
    "QXRT Keller",
    "Fiona McBride",
    "Blue Whale",
    "Keller Platform",
    "MARIA",
    "mariaKeller",
    "王小明",
    "Maria_Keller",
)
PLACES = ("Leeds", "Paris", "Springfield", "Berlin", "北京市朝阳区")


class Model:
    """Takes listed words for names and places, and remembers what it was shown."""

    version = "7"

    def __init__(self) -> None:
        self.shown: list[str] = []

    def named(self, text: str) -> Iterable[Named]:
        self.shown.append(text)
        for match in re.finditer("|".join(map(re.escape, NAMES + PLACES)), text):
            yield Named(match.start(), match.end(), "name" if match[0] in NAMES else "place")


class Failing:
    """Fails at what it is asked."""

    version = "1"

    def named(self, text: str) -> Sequence[Named]:
        raise RuntimeError(f"out of memory at {text!r}")


def hits(text: str, source: Source = "user", detector: NameDetector | None = None) -> list[Hit]:
    return list((detector or NameDetector(Model())).detect(View(text), Block(text, source), {}))


def told(text: str) -> list[tuple[str, str, float]]:
    return [(hit.data_class, text[hit.start : hit.end], hit.confidence) for hit in hits(text)]


def test_a_letter_s_name_and_address_are_found_and_a_town_alone_is_not() -> None:
    assert told(LETTER) == [
        ("personal.address", "12 Mill Lane, Leeds LS1 4AB", 0.8),
        ("personal.name", "Maria Keller", 0.7),
    ]


@pytest.mark.parametrize("source", ["assistant", "tool_call", "tool_schema", "metadata"])
def test_what_a_model_or_a_program_wrote_is_not_shown(source: Source) -> None:
    model = Model()
    assert hits(LETTER, source, NameDetector(model)) == []
    assert model.shown == []


@pytest.mark.parametrize(
    "text",
    [
        "def greet(who):\n    return Ann(who)\n\nclass Ann:\n    pass\n\nx = Ann()\n",
        '{"customer": "Maria Keller", "town": "Leeds"}',
        '[\n  "Maria Keller lives here",\n  "and there"\n]',
        "TWFyaWEgS2VsbGVyIGxpdmVzIGF0IDEyIE1pbGwgTGFuZSwgTGVlZHMgTFMxIDRBQi4gTWFyaWEgS2VsbGVy",
        "const Ann = require('ann');\nAnn.call(this);\nlet y = Ann;\n",
        "all of it is in lower case, and nobody is named here\n",
        "12345 67890\n",
        "",
    ],
    ids=["python", "json", "list", "base64", "javascript", "lower", "numbers", "nothing"],
)
def test_code_data_and_what_holds_no_name_are_not_shown(text: str) -> None:
    model = Model()
    assert hits(text, "file", NameDetector(model)) == []
    assert model.shown == []


def test_prose_between_code_is_shown_without_marks_and_numbers_of_lines() -> None:
    text = "     1\t# Guide\n     2\t\n     3\t> Ask Maria Keller about it.\n     4\tx = Ann(1);\n     5\tThe rest is known to Maria Keller.\n"
    model = Model()
    found = hits(text, "tool_result", NameDetector(model))
    assert model.shown == ["Guide\n\nAsk Maria Keller about it.", "The rest is known to Maria Keller."]
    assert [text[hit.start : hit.end] for hit in found] == ["Maria Keller", "Maria Keller"]


def test_a_long_text_is_shown_in_pieces_that_hold_all_of_it() -> None:
    text = "".join(f"Line {number} says that Maria Keller was here.\n" for number in range(400))
    pieces = [passage.text for passage in prose(text)]
    assert all(len(piece) <= PASSAGE_CHARS + 100 for piece in pieces)
    assert "\n".join(pieces) + "\n" == text
    assert len(hits(text)) == 400
    one_line = text.replace("\n", " ")
    assert "".join(passage.text for passage in prose(one_line)) == one_line
    assert {one_line[hit.start : hit.end] for hit in hits(one_line)} == {"Maria Keller"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We asked Dr. Ann about the whole of it.", [("Ann", 0.6)]),
        ("Yesterday Ann was here with all of them.", [("Ann", 0.4)]),
        ("Written with Flask, so install flask first.", []),
        ("The Rate Limiter is a limiter of the rate.", []),
        ("See Maria_Keller and mariaKeller in the notes.", []),
        ("The path is docs/Ann and also @Ann somewhere.", []),
        ("Use Ann.run or Ann(x) to begin all of it.", []),
        ("The QXRT Keller and all of that are things here.", []),
        ("Then AnnBell went there and came back by herself.", []),
        ("Then Fiona McBride went home all by herself.", [("Fiona McBride", 0.7)]),
        ("See the Blue Whale of theirs, a whale that is blue.", []),
        ("Ask Maria Keller and then Keller Platform about it.", [("Maria Keller", 0.7), ("Keller Platform", 0.4)]),
        ("Then Annabell went there and came back by herself.", []),
        ("MARIA is what the variable was called then.", []),
        ("昨天王小明来过，明天还会来。", [("王小明", 0.7)]),
    ],
)
def test_what_stands_in_code_or_is_a_word_too_is_no_name(text: str, expected: list[tuple[str, float]]) -> None:
    assert [(value, confidence) for _, value, confidence in told(text)] == expected


def test_a_first_name_counts_more_where_the_text_has_the_whole_one() -> None:
    text = "Yesterday Maria was here.\n\nMaria Keller, that is, as Maria is known to them.\n"
    assert {confidence for _, value, confidence in told(text) if value == "Maria"} == {0.6}
    assert {confidence for _, value, confidence in told("Yesterday Maria was here.") if value == "Maria"} == {0.4}


def test_a_name_in_a_line_of_credits_counts_little() -> None:
    assert [confidence for *_, confidence in told("Copyright (c) 2026 Maria Keller and others here")][:1] == [0.3]
    list_of_authors = "Those who wrote it\n\nMaria Keller\n"
    for path, confidence in (("docs/AUTHORS.rst", 0.3), ("docs/letter.rst", 0.7)):
        [hit] = NameDetector(Model()).detect(View(list_of_authors), Block(list_of_authors, "file", path), {})
        assert hit.confidence == confidence


def test_an_address_that_the_model_marks_is_taken_as_it_is() -> None:
    class Marking(Model):
        def named(self, text: str) -> Iterable[Named]:
            at = text.find("12 Mill Lane, Leeds")
            return [Named(at, at + 19, "address")] if at >= 0 else []

    [hit] = hits(LETTER, detector=NameDetector(Marking()))
    assert LETTER[hit.start : hit.end] == "12 Mill Lane, Leeds"


def test_a_street_that_the_model_takes_for_somebody_is_none() -> None:
    class Confused(Model):
        def named(self, text: str) -> Iterable[Named]:
            at = text.find("Mill Lane")
            return [Named(at, at + 9, "name")] if at >= 0 else []

    assert [hit.rule for hit in hits(LETTER, detector=NameDetector(Confused()))] == ["name.address"]


def test_comments_among_code_are_code() -> None:
    code = "x = compute(1);\ny = compute(x);\n# This was thought out by Maria Keller in the year that passed\nz = compute(y);\n"
    assert hits(code, "file") == []
    notes = "# What Maria Keller thought out\n\nThe rest of it is prose, and it is longer than the code below is.\n\n    x = compute(1);\n"
    assert len(hits(notes, "file")) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Our office is at 742 Evergreen Terrace, Springfield, IL 62704, USA.", "742 Evergreen Terrace, Springfield, IL 62704, USA"),
        ("Sie wohnt in der Lindenstraße 4, 10969 Berlin und arbeitet dort.", "Lindenstraße 4, 10969 Berlin"),
        ("Write to\nPO Box 1234\nSpringfield, IL 62704\nfor more of it.", "PO Box 1234\nSpringfield, IL 62704"),
        ("Il habite 12 rue de la Paix, 75002 Paris depuis un an.", "12 rue de la Paix, 75002 Paris"),
        ("I live at 12 Mill Lane, Leeds LS1 4AB.\nParis is far from here.", "12 Mill Lane, Leeds LS1 4AB"),
        ("Send it to 10115 Berlin, please, and soon.", "10115 Berlin"),
        ("We met in Paris and in Berlin, 3 times.", None),
        ("In 2024 Berlin was large, and Paris too.", None),
        ("Version 3 of Springfield has 12 ways of it.", None),
    ],
)  # fmt: skip
def test_places_make_an_address_where_street_number_or_postcode_stand_by(text: str, expected: str | None) -> None:
    found = [value for data_class, value, _ in told(text) if data_class == "personal.address"]
    assert found == ([] if expected is None else [expected])


def test_text_in_an_encoding_that_programs_use_is_shown_and_what_the_plain_reading_has_is_not_shown_twice() -> None:
    inner = View("Maria Keller was here yesterday, they say.", ("base64",))
    model = Model()
    detector = NameDetector(model)
    assert [hit.rule for hit in detector.detect(inner, Block("TWFyaWEg"), {})] == ["name.name"]
    assert list(detector.detect(inner, Block(f"{inner.text} TWFyaWEg"), {})) == []
    assert list(detector.detect(View(inner.text, ("rot13",)), Block("Znevn"), {})) == []
    assert len(model.shown) == 1


def scanned(text: str, detector: NameDetector) -> tuple[Finding, ...]:
    detectors = [personal_detector(), detector]
    return (
        Scanner(detectors, build_matcher(detectors, engine="re2"), keyed(b"a key for tests"))
        .scan([Block(text, "user")])[0]
        .findings
    )


def test_what_the_dictionary_finds_too_is_told_once() -> None:
    text = "姓名：王小明，昨天来过。"
    [finding] = scanned(text, NameDetector(Model()))
    assert text[finding.start : finding.end] == "王小明"
    assert {finding.rule, *finding.also} == {"name.name", "personal.cn.name"}


def test_a_model_that_fails_has_the_text_count_as_not_looked_at_and_says_nothing_of_it() -> None:
    with pytest.raises(GuardError, match="The model of names failed: RuntimeError") as caught:
        hits(LETTER, detector=NameDetector(Failing()))
    assert "Keller" not in str(caught.value)
    [hit] = hits(LETTER, detector=NameDetector(Failing(), failure="noted"))
    assert (hit.rule, hit.data_class, hit.confidence) == ("name.unread", "unread.names", 1.0)
    assert "RuntimeError" in hit.note


def test_more_prose_than_the_limit_is_an_error_or_a_finding_about_the_rest() -> None:
    text = "Here is a line about Maria Keller and her work.\n" * 100
    limits = Limits(max_names_chars=2_500)
    with pytest.raises(GuardError, match="max_names_chars"):
        hits(text, detector=NameDetector(Model(), limits))
    *found, unread = hits(text, detector=NameDetector(Model(), limits, "noted"))
    assert {hit.rule for hit in found} == {"name.name"}
    assert (unread.rule, unread.end) == ("name.unread", len(text))
    assert unread.start >= max(hit.end for hit in found)


def test_a_model_that_takes_too_long_is_stopped_between_two_passages() -> None:
    class Slow(Model):
        def named(self, text: str) -> Iterable[Named]:
            sum(range(300_000))
            return super().named(text)

    text = "Here is a line about Maria Keller and her work.\n" * 400
    model = Slow()
    with pytest.raises(GuardError, match="max_names_ms"):
        hits(text, detector=NameDetector(model, Limits(max_names_ms=1)))
    assert len(model.shown) == 1


def test_a_call_that_took_too_long_gets_on_when_it_is_tried_again() -> None:
    class Slow(Model):
        def named(self, text: str) -> Iterable[Named]:
            sum(range(300_000))
            return super().named(text)

    text = "".join(f"Here is line {number} about Maria Keller and her work.\n" for number in range(200))
    model = Slow()
    detector = NameDetector(model, Limits(max_names_ms=1))
    passages = len(list(prose(text)))
    for tries in range(1, passages):
        with pytest.raises(GuardError, match="max_names_ms"):
            hits(text, detector=detector)
        assert len(model.shown) == tries
    assert len(hits(text, detector=detector)) == 200
    assert len(set(model.shown)) == len(model.shown) == passages


def test_another_version_of_the_model_is_asked_anew() -> None:
    model = Model()
    detector = NameDetector(model)
    for version, times in (("7", 1), ("7", 1), ("8", 2)):
        model.version = version
        hits(LETTER, detector=detector)
        assert len(model.shown) == times


def test_a_text_with_half_a_character_is_shown_without_it() -> None:
    class Strict(Model):
        def named(self, text: str) -> Iterable[Named]:
            assert text.encode()
            return super().named(text)

    text = "Yesterday \ud83d came Maria Keller with all of it."
    [hit] = hits(text, detector=NameDetector(Strict()))
    assert text[hit.start : hit.end] == "Maria Keller"


def test_places_out_of_the_text_are_left() -> None:
    class Wild(Model):
        def named(self, text: str) -> Iterable[Named]:
            return [Named(-1, 4, "name"), Named(5, 10_000, "name"), Named(7, 7, "name")]

    assert {hit.rule for hit in hits(LETTER, detector=NameDetector(Wild()))} == {"name.address"}


def test_the_version_is_the_model_s_and_ours() -> None:
    assert NameDetector(Model()).version.endswith(".7")
    assert NameDetector(Model()).patterns == ()


PIECES = st.sampled_from(
    ["Maria Keller", "12 Mill Lane", "Leeds LS1 4AB", "\n", "\r\n", "> ", "# ", "  1\t", "{", "}", "x = f(1);", "王小明", "Dr. ", "'s", "(", ", ", ". ", " ", "\ud83d", "PO Box 12", "Apt. 3", "a" * 70, "the whole of it "]
)  # fmt: skip


class Everywhere(Model):
    """Takes any stretch for anything."""

    def named(self, text: str) -> Iterable[Named]:
        for start in range(0, len(text), 7):
            for size, sort in ((3, "name"), (11, "place"), (19, "name")):
                yield Named(start, min(start + size, len(text)), sort)  # type: ignore[arg-type]


@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=60).map("".join))
def test_whatever_the_text_and_the_model_say_places_are_right_and_addresses_hold_no_names(text: str) -> None:
    for passage in prose(text):
        assert all(passage.text[at] in ("\n", text[passage.place(at)]) for at in range(len(passage.text)))
    found = hits(text, detector=NameDetector(Everywhere()))
    assert all(0 <= hit.start < hit.end <= len(text) for hit in found)
    names = [hit for hit in found if hit.rule == "name.name"]
    addresses = [hit for hit in found if hit.rule == "name.address"]
    assert not [1 for one in names for other in addresses if one.start < other.end and other.start < one.end]
    assert not [hit for hit in names if not text[hit.start : hit.end].strip() or "\n" in text[hit.start : hit.end]]


@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=60).map("".join))
def test_prose_is_in_order_and_nothing_is_shown_twice(text: str) -> None:
    ends = [(passage.place(0), passage.place(len(passage.text) - 1)) for passage in prose(text)]
    assert all(first <= last for first, last in ends)
    assert all(before[1] < after[0] for before, after in pairwise(ends))
