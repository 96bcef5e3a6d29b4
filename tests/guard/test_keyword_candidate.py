"""Which value a key names is read off many notations."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from string import ascii_letters, digits

import pytest

from mohist.guard import View
from mohist.guard.keyword import keyword_detector
from mohist.guard.keyword.candidate import VALUE_MAX_CHARS, Candidate, kind_of
from mohist.guard.keyword.detector import chosen_candidates
from mohist.guard.matcher import build_matcher

MATCHER = build_matcher([keyword_detector()])
VALUE = "".join(Random(11).choices(ascii_letters + digits, k=14))  # made up here, never valid


def read(text: str) -> Sequence[Candidate]:
    return chosen_candidates(text, MATCHER.matches(View(text)).get("keyword", {}))


@pytest.mark.parametrize(
    "form",
    [
        'password = "{}"',
        "password: {}",
        "DB_PASSWORD={}",
        '  "client_secret": "{}",',
        '{{"user": "bob", "pass": "{}"}}',
        r"{{\"api_key\": \"{}\"}}",
        'const apiKey: string = "{}";',
        'password := "{}"',
        "'token' => '{}',",
        'user.setPassword("{}");',
        'AccessKeyId: aws.String("{}"),',
        "<password>{}</password>",
        "mysql -u root -p{} shop",
        "curl -u admin:{} https://host.invalid/",
        "tool --token {} run",
        "ENV MYSQL_PASSWORD {}",
        "requirepass {}",
        "CREATE USER bob IDENTIFIED BY '{}';",
        "Authorization: Bearer {}",
        "密码：{}",
        "口令是 {} 。",
        "the password is {} by the way",
        'session.login("bob", "{}")',
        "auth=('bob', '{}')",
        "&quot;password&quot;: &quot;{}&quot;",
        "https://host.invalid/?access_token={}&page=2",
        "| password | {} |",
        "secret:\n  - '{}'",
        "TOKEN+='{}'",
    ],
)
def test_a_value_is_cut_out_of_its_notation(form: str) -> None:
    text = f"first line\n{form.format(VALUE)}\nlast line\n"
    found = [candidate for candidate in read(text) if candidate.value == VALUE]
    assert found
    assert text[found[0].start : found[0].end] == VALUE


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("db_password", "password"),
        ("passwordToken", "password"),
        ("clientSecret", "secret"),
        ("X-Auth-Token", "token"),
        ("apiKey", "key"),
        ("Authorization", "auth"),
        ("密钥", "key"),
        ("author", ""),
        ("keyboard", ""),
        ("name", ""),
    ],
)
def test_a_key_names_the_kind_of_its_first_word_of_ours(key: str, kind: str) -> None:
    assert kind_of(key) == kind


def test_empty_values_and_missing_ones_are_no_candidates() -> None:
    assert not read("password = \"\"\nsecret = ''\npassword:\n  nested: value\ntoken =")


def test_a_value_without_its_closing_quote_ends_with_its_line() -> None:
    [candidate] = read(f'password = "{VALUE}\nnext line\n')
    assert candidate.value == VALUE


def test_an_endless_value_is_cut_at_its_limit() -> None:
    [candidate] = read('password = "' + VALUE * 1000)
    assert len(candidate.value) == VALUE_MAX_CHARS


def test_several_values_in_one_list_are_all_read() -> None:
    other = VALUE[::-1]
    values = [candidate.value for candidate in read(f'"tokens": ["{VALUE}", "{other}"]')]
    assert values == [VALUE, other]


def test_characters_of_several_bytes_before_a_value_do_not_shift_it() -> None:
    text = f"数据库密码：{VALUE}（请勿外传）é\npassword = '{VALUE}'"
    assert [text[candidate.start : candidate.end] for candidate in read(text)][-1] == VALUE


def test_a_line_of_a_megabyte_is_read_around_its_matches_alone() -> None:
    text = "x" * 500_000 + f' password="{VALUE}" ' + "y" * 500_000
    assert [candidate.value for candidate in read(text)] == [VALUE]
