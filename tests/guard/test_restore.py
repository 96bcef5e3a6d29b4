"""Values come back, however a text is split, and no more is held back than may still grow into a placeholder."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.guard.placeholder import WORD_CHARS, Mint
from mohist.guard.restore import Restorer, Words

MINT = Mint(bytes(range(32)))
VALUES = {MINT.make("secret", str(number)): f"<value {number} \u4f60 DLPx\U0001f511>" for number in range(5)}
WORDS = Words(VALUES)
DECOYS = (
    "DLP",
    "DLPx",
    "D",
    "DLPxDLPx0",
    "DLPx0123456789a",
    "DLPx0123456789ab",
    "dlpx",
    "\ud83d",
    "\u4f60",
    "\n",
    " ",
    '"',
)


def restored(text: str) -> str:
    for word, value in VALUES.items():
        text = text.replace(word, f"\0{value}\0")
    return text.replace("\0", "")


def text_of(dice: random.Random) -> str:
    words = list(VALUES)
    pieces = []
    for _ in range(dice.randrange(1, 12)):
        word = dice.choice(words)
        cut = word[: dice.randrange(len(word))]
        pieces.append(dice.choice((word, cut, dice.choice(DECOYS), word + cut, cut + word)))
    return "".join(pieces)


def splitting(text: str, dice: random.Random) -> list[str]:
    cuts = sorted(dice.randrange(len(text) + 1) for _ in range(dice.randrange(8)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def test_a_few_thousand_random_splittings_come_out_right_and_little_is_held_back() -> None:
    dice = random.Random(5)
    for _ in range(5_000):
        text = text_of(dice)
        restorer = Restorer(WORDS)
        fed = seen = ""
        for piece in splitting(text, dice):
            fed += piece
            seen += restorer.feed(piece)
            shown = restored(fed)
            assert shown.startswith(seen)
            assert len(shown) - len(seen) <= WORD_CHARS - 1
        assert seen + restorer.end() == restored(text)


@given(st.lists(st.sampled_from([*VALUES, *DECOYS, "x"])), st.data())
def test_every_splitting_comes_out_as_the_whole(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    restorer = Restorer(WORDS)
    seen = [restorer.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(seen) + restorer.end() == restored(text)


def test_what_can_not_become_a_placeholder_is_not_held_back() -> None:
    restorer = Restorer(WORDS)
    assert restorer.feed("a plain text, D and DLP and DLPx") == "a plain text, D and DLP and "
    assert restorer.feed("-") == "DLPx-"
    word = next(iter(VALUES))
    assert restorer.feed(word[:15]) == ""
    assert restorer.feed("z") == word[:15] + "z"
    assert restorer.end() == ""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_of_two_of_which_one_begins_the_other_the_longer_is_meant(size: int) -> None:
    words = Words({"1380013": "short", "13800138000": "long"})
    for text, meant in {
        "a 13800138000 b": "a long b",
        "a 1380013 b": "a short b",
        "1380013": "short",
        "13800139": "short9",
        "1380013800": "short800",
        "13800131380013": "shortshort",
    }.items():
        restorer = Restorer(words)
        seen = "".join(restorer.feed(text[at : at + size]) for at in range(0, len(text), size))
        assert seen + restorer.end() == meant


class Noting:
    """Keeps every second placeholder, and what it is told."""

    def __init__(self) -> None:
        self.text = ""
        self.count = 0

    def passed(self, text: str) -> None:
        self.text += text

    def judge(self, word: str) -> str | None:
        self.count += 1
        return VALUES[word] if self.count % 2 else None


@pytest.mark.parametrize("size", [1, 5, 17, 1000])
def test_the_ground_hears_the_models_words_in_order_and_never_a_value(size: int) -> None:
    word = next(iter(VALUES))
    text = f"one {word} two {word}{word} DLP"
    ground = Noting()
    restorer = Restorer(WORDS, ground)
    seen = "".join(restorer.feed(text[at : at + size]) for at in range(0, len(text), size)) + restorer.end()
    assert seen == f"one {VALUES[word]} two {word}{VALUES[word]} DLP"
    assert ground.text == text


def test_without_placeholders_a_text_passes_untouched() -> None:
    ground = Noting()
    restorer = Restorer(Words({}), ground)
    assert restorer.feed("DLPx") == "DLPx"
    assert ground.text == "DLPx"
