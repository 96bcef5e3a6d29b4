"""The spec's file: what people may write, and what must be exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.base import sha256_hex
from mohist.delivery.errors import SpecError
from mohist.delivery.spec import CheckFile, Draft, normal, parse, render, renumbered, spec_of
from mohist.delivery.state import Criterion, Spec

TEXT = """# Answer with the version

## Requirement

Callers can ask for the version.

## Irreversible

None.

## Acceptance criteria

### AC-1

WHEN a client asks for /version THE SYSTEM SHALL
answer with its version.

Check: `python -m pytest -q $SPEC/checks/test_version.py`

### AC-3 (quality): THE SYSTEM SHALL stay free of warnings.

- **Check:** make lint

### AC-4

WHILE it starts THE SYSTEM SHALL look friendly.

Check: manual

## My notes

Anything at all.

## Check files

### checks/test_version.py

````python
## not a heading
```
def test_version(): ...
````
"""

words = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n#`- ~"), max_size=60)
items = st.lists(words, max_size=3).map(tuple)
criteria = st.lists(
    st.tuples(words, st.one_of(st.just(""), words), st.sampled_from(["behaviour", "quality"])), min_size=1, max_size=4
).map(
    lambda rows: tuple(
        Criterion(f"AC-{number}", f"WHEN x {text} THE SYSTEM SHALL {text} y", check.replace("$", ""), kind)  # type: ignore[arg-type]
        for number, (text, check, kind) in enumerate(rows, 1)
    )
)
files = st.lists(words, max_size=2).map(
    lambda rows: tuple(CheckFile(f"checks/test_{number}.py", row) for number, row in enumerate(rows))
)
drafts = st.builds(Draft, words, words.map("Wanted: {}".format), criteria, words, items, items, items, items, files)


def test_a_spec_written_by_hand_is_read() -> None:
    draft = parse(TEXT)
    assert draft.title == "Answer with the version"
    assert [one.criterion_id for one in draft.criteria] == ["AC-1", "AC-3", "AC-4"]
    assert draft.criteria[0].text == "WHEN a client asks for /version THE SYSTEM SHALL answer with its version."
    assert [one.kind for one in draft.criteria] == ["behaviour", "quality", "manual"]
    assert [one.check for one in draft.criteria[1:]] == ["make lint", ""]
    assert draft.files == (CheckFile("checks/test_version.py", "## not a heading\n```\ndef test_version(): ...\n"),)
    assert draft.irreversible == ()


def test_a_version_has_the_digest_of_the_bytes_and_commands_that_run_from_the_root() -> None:
    data = TEXT.replace("\n", "\r\n").encode()
    spec = spec_of(data, 3, "d-1")
    assert spec.digest == sha256_hex(data)
    assert spec.criteria[0].check == "python -m pytest -q .mohist/deliveries/d-1/checks/test_version.py"


@given(drafts)
def test_what_is_rendered_reads_as_the_same(draft: Draft) -> None:
    text = render(draft)
    assert parse(text) == normal(draft)
    assert render(parse(text)) == text


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("### AC-3 (quality)", "### AC-1", "line 20: AC-1 is there twice"),
        ("### AC-4", "### Criterion four", "line 24: 'Criterion four' is no id"),
        ("Check: manual", "", "line 24: AC-4 has no check"),
        ("Check: manual", "Check:", "line 28: the check of AC-4 is empty"),
        ("WHILE it starts THE SYSTEM SHALL look", "It looks", "line 24: AC-4 must read"),
        ("### checks/test_version.py", "### ../evil.py", "line 36: '../evil.py' can't name a check file"),
        ("$SPEC/checks/test_version.py", "$SPEC/checks/other.py", "line 18: the check runs `$SPEC/checks/other.py`"),
        ("## Requirement", "## Wishes", "there is no section `## Requirement`"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, told: str) -> None:
    with pytest.raises(SpecError, match=told.replace("(", r"\(").replace("$", r"\$").replace("/", "/")):
        parse(TEXT.replace(old, new, 1))


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SpecError) as error:
        parse(TEXT.replace("### AC-4", "### four").replace("### AC-3", "### three"))
    assert "four" in error.value.what
    assert "three" in error.value.what


def test_bytes_that_are_no_text_are_told_with_their_line() -> None:
    with pytest.raises(SpecError, match="line 2 is not UTF-8"):
        spec_of(b"# T\n\xff\n", 1, "d-1")


def test_an_id_means_the_same_for_ever() -> None:
    one, two, other = "THE SYSTEM SHALL one.", "THE SYSTEM SHALL two.", "THE SYSTEM SHALL other."
    first = Spec(1, "a", "", (Criterion("AC-1", one, ""), Criterion("AC-2", two, "")))
    second = Spec(2, "b", "", (Criterion("AC-2", two, ""),))
    assert renumbered([first, second], (Criterion("AC-2", "THE SYSTEM SHALL two, said better.", ""),)) == ()
    assert renumbered([first], (Criterion("AC-1", two, ""),)) == ("AC-1 says what AC-2 said; keep AC-2",)
    assert "AC-1 meant something else" in renumbered([first, second], (Criterion("AC-1", other, ""),))[0]
    assert renumbered([first, second], (Criterion("AC-1", one, ""), Criterion("AC-3", other, ""))) == ()
