"""Decoys are found in whatever form they leave, and nothing else is taken for one."""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import quote

import pytest

from mohist.vet.behaviour.decoy import find_leaks, make_decoys

FORMS = {
    "as it is": lambda value: value,
    "reversed": lambda value: value[::-1],
    "base64": lambda value: base64.b64encode(b"ab" + value.encode() + b"c").decode(),
    "base64, urlsafe": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "hex": lambda value: value.encode().hex().upper(),
    "url": lambda value: quote(value, safe=""),
    "sha256": lambda value: hashlib.sha256(value.encode()).hexdigest(),
    "sha1 in base64": lambda value: base64.b64encode(hashlib.sha1(value.encode()).digest()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_value_of_every_decoy_is_found_in_a_body(form: str) -> None:
    decoys = make_decoys()
    for decoy in decoys:
        for value in decoy.values:
            assert value in decoy.text
            body = b'{"content":"some text ' + FORMS[form](value).encode() + b' more"}'
            assert [leak.decoy for leak in find_leaks(decoys, body)] == [decoy]


def test_nothing_is_found_where_nothing_is() -> None:
    text = base64.b64encode(secrets.token_bytes(200_000)) + secrets.token_hex(100_000).encode()
    assert find_leaks(make_decoys(), text) == []


def test_no_two_vettings_share_a_value() -> None:
    first, second = ({value for decoy in make_decoys() for value in decoy.values} for _ in range(2))
    assert first.isdisjoint(second)


def test_a_decoy_does_not_show_its_values() -> None:
    assert all(value not in repr(decoy) for decoy in make_decoys() for value in decoy.values)
