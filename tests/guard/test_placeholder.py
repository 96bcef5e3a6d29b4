"""Placeholders: the same for the same value, one for each, in the form that somebody checks."""

from __future__ import annotations

import ast
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.guard import GuardError
from mohist.guard.form import FORMS
from mohist.guard.placeholder import MAX_CHARS, WORD, Mint, Placeholders

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def test_a_placeholder_is_the_same_for_a_value_under_one_key_and_tells_nothing_of_it() -> None:
    made = Mint(KEY).make("secret.token", "hunter2hunter2")
    assert WORD.fullmatch(made)
    assert made == Mint(KEY).make("secret.password", "hunter2hunter2")
    assert made != Mint(OTHER).make("secret.token", "hunter2hunter2")
    assert made != Mint(KEY).make("secret.token", "hunter2hunter3")
    assert made != Mint(KEY).make("secret.token", "hunter2hunter2", 1)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(GuardError):
        Mint(b"short")


class Colliding(Mint):
    """Every first try comes out the same."""

    def make(self, data_class: str, value: str, attempt: int = 0) -> str:
        return "DLPx000000000000" if attempt == 0 else super().make(data_class, value, attempt)


def test_two_values_never_share_a_placeholder() -> None:
    placeholders = Placeholders(Colliding(KEY))
    first, second = placeholders.of("secret", "one"), placeholders.of("secret", "two")
    assert first != second
    assert placeholders.values == {first: "one", second: "two"}
    assert placeholders.of("secret", "one") == first


def test_a_placeholder_stands_for_itself() -> None:
    placeholders = Placeholders(Mint(KEY))
    word = placeholders.of("personal.email", "ann@corp.example")
    assert placeholders.of("personal.email", word) == word
    assert placeholders.of("secret", "DLPx0123456789ab") == "DLPx0123456789ab"
    assert list(placeholders.values) == [word]


def test_what_was_known_before_stays() -> None:
    placeholders = Placeholders(Mint(KEY), {"DLPx0123456789ab": "old"})
    assert placeholders.of("secret", "old") == "DLPx0123456789ab"


def test_code_still_parses() -> None:
    word = Mint(KEY).make("secret.token", "x")
    for code in (f"key = '{word}'", f"{word} = 1", f"f({word}, b'{word}')", f"x.{word}", f"# {word}"):
        ast.parse(code)
    json.loads(json.dumps({word: word}))


def luhn(text: str) -> bool:
    digits = [int(char) for char in text if char.isdigit()][::-1]
    doubled = [digit * 2 for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(two - 9 if two > 9 else two for two in doubled)) % 10 == 0


def mod97(text: str) -> bool:
    plain = "".join(text.split()).upper()
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def resident(text: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(d) * w for d, w in zip(text[:17], weights, strict=True)) % 11] == text[17]


def company(text: str) -> bool:
    signs = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    return (
        sum(signs.index(char) * pow(3, place, 31) for place, char in enumerate(text[:17])) % 31
        == (31 - signs.index(text[17])) % 31
    )


@given(st.binary(min_size=16, max_size=32), st.integers(0, 10**12))
def test_forms_keep_their_checks(key: bytes, number: int) -> None:
    mint = Mint(key)
    card = mint.make("personal.card", f"4{number:014}0")
    assert luhn(card)
    assert len(card) == 16
    grouped = mint.make("personal.cn.bank-card", "6222 0213 0011 2233 445")
    assert luhn(grouped)
    assert re.fullmatch(r"\d{4} \d{4} \d{4} \d{4} \d{3}", grouped)
    assert mod97(mint.make("personal.iban", "DE89 3704 0044 0532 0130 00"))
    assert resident(mint.make("personal.cn.resident-id", "110101199003070000"))
    assert company(mint.make("personal.cn.credit-code", "91350100M000100Y43"))
    phone = mint.make("personal.phone", "+49 151 23456789")
    assert phone.startswith("+49 151 ")
    assert re.fullmatch(r"\+49 \d{3} \d{8}", phone)
    assert re.fullmatch(r"[a-z2-9]{6}@x\.invalid", mint.make("personal.email", "ann@corp.example"))
    assert re.fullmatch(r"198\.1[89]\.\d{1,3}\.\d{1,3}", mint.make("personal.ip", "10.1.2.3"))


@pytest.mark.parametrize("data_class", sorted(FORMS))
@given(value=st.text(max_size=40))
def test_a_value_of_another_form_gets_a_word(data_class: str, value: str) -> None:
    made = Mint(KEY).make(data_class, value)
    assert WORD.fullmatch(made) or FORMS[data_class](value, 0) is not None
    assert len(made) <= max(MAX_CHARS, len(value))
