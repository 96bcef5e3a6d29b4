"""Virtual keys: their form, and what they may be used for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.gateway.key import Key, KeySecret, Scope, new_secret, secret_hash, well_formed


def test_a_new_key_is_well_formed_and_unlike_any_other() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(well_formed(secret) and len(secret) == 63 for secret in made)


@given(st.data())
def test_one_wrong_character_is_told_by_the_checksum(data: st.DataObject) -> None:
    secret = new_secret()
    place = data.draw(st.integers(4, len(secret) - 1))
    other = data.draw(
        st.sampled_from([letter for letter in "abcdefghijklmnopqrstuvwxyz234567" if letter != secret[place]])
    )
    assert not well_formed(secret[:place] + other + secret[place + 1 :])


@given(st.text())
def test_any_text_can_be_looked_up(text: str) -> None:
    assert not well_formed(text)
    assert len(secret_hash(text)) == 32


def test_a_lone_surrogate_can_be_looked_up() -> None:
    assert len(secret_hash("mhk-\udcff")) == 32


@pytest.mark.parametrize(
    ("key", "call", "outside"),
    [
        (Key("k", "u"), ("openai-chat", "any", ""), ""),
        (Key("k", "u", models=("qwen*", "gpt-5")), ("openai-chat", "qwen3-coder", ""), ""),
        (Key("k", "u", models=("qwen*", "gpt-5")), ("openai-chat", "gpt-5-pro", ""), "model 'gpt-5-pro'"),
        (Key("k", "u", models=("qwen*",)), ("openai-chat", "QWEN3", ""), "model 'QWEN3'"),
        (Key("k", "u", models=("a*",)), ("openai-chat", "b\na", ""), "model"),
        (Key("k", "u", clients=("claude-cli/*",)), ("openai-chat", "m", "claude-cli/2.1"), ""),
        (Key("k", "u", clients=("claude-cli/*",)), ("openai-chat", "m", ""), "client 'unknown'"),
        (Key("k", "u", dialects=("openai-chat",)), ("openai-chat", "m", ""), ""),
        (Key("k", "u", dialects=("openai-chat",)), ("anthropic-messages", "m", ""), "only with openai-chat"),
    ],
)
def test_a_scope_lets_through_what_it_names(key: Key, call: tuple, outside: str) -> None:
    refusal = Scope(key).refusal(*call)
    assert bool(refusal) == bool(outside)
    assert outside in refusal


def test_no_repr_shows_a_hash() -> None:
    assert "hash" not in repr(KeySecret(secret_hash(new_secret()), "k", 0))
