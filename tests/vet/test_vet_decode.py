"""Encodings are undone by search, and nothing random passes for a table."""

from __future__ import annotations

import base64
import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohist.vet.limit import DEFAULT
from mohist.vet.static.decode import keys, search, undo
from mohist.vet.static.difference import hidden
from mohist.vet.static.literal import candidates, unescaped
from mohist.vet.static.meaning import meaning, zones

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=3, max_size=12)
HOSTS = st.lists(
    st.builds(lambda name, end: f"{name}.{end}", WORDS, st.sampled_from(("com", "cn", "net", "org", "ai"))),
    min_size=3,
    max_size=9,
    unique=True,
)
REGIONS = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
ZONES = st.lists(
    st.sampled_from(sorted(zone for zone in zones() if zone.startswith(REGIONS) and len(zone) > 9)),
    min_size=1,
    max_size=5,
    unique=True,
)
TABLES = st.one_of(HOSTS, ZONES)
KEYS = st.integers(1, 255)


def xored(data: bytes, key: int) -> bytes:
    return bytes(byte ^ key for byte in data)


def written(literal: str) -> bytes:
    return f"const a=1;const b={literal};function f(x){{return b.includes(x)}}".encode()


def string(data: bytes) -> str:
    return '"' + data.decode("ascii") + '"'


def numbers(data: bytes) -> str:
    return "[" + ",".join(str(byte) for byte in data) + "]"


def found(source: bytes) -> list[tuple[tuple[str, ...], set[str]]]:
    """What the static step would say of a text: layers, and the names behind them."""
    results = [search(one.pieces, DEFAULT, one.first) for one in candidates(source, DEFAULT.max_candidate_bytes)]
    return [
        (one.layers, set(one.meaning.items))
        for one in (*results, *(one for _, one in hidden(source)))
        if one is not None
    ]


WRITTEN = {
    "base64": lambda names, _: string(base64.b64encode(",".join(names).encode())),
    "base64 for addresses, without padding": lambda names, _: string(base64.urlsafe_b64encode(",".join(names).encode()).rstrip(b"=")),
    "base64 of zlib's format": lambda names, _: string(base64.b64encode(zlib.compress(",".join(names).encode()))),
    "hex": lambda names, _: string(",".join(names).encode().hex().encode()),
    "base64 over a key": lambda names, key: string(base64.b64encode(xored(",".join(names).encode(), key))),
    "hex over a key": lambda names, key: string(xored(",".join(names).encode(), key).hex().encode()),
    "base64 twice": lambda names, _: string(base64.b64encode(base64.b64encode(",".join(names).encode()))),
    "base64 backwards over a key": lambda names, key: string(base64.b64encode(xored(",".join(names).encode(), key))[::-1]),
    "a key over base64": lambda names, key: '"' + "".join(f"\\x{byte:02x}" for byte in xored(base64.b64encode(",".join(names).encode()), key)) + '"',
    "an array of base64": lambda names, _: "[" + ",".join(string(base64.b64encode(name.encode())) for name in names) + "]",
    "numbers": lambda names, _: numbers("|".join(names).encode()),
    "numbers over a key": lambda names, key: numbers(xored("|".join(names).encode(), key)),
    "hexadecimal numbers over a key": lambda names, key: "[" + ", ".join(f"0x{byte:02X}" for byte in xored("|".join(names).encode(), key)) + "]",
    "character codes": lambda names, _: "String.fromCharCode(" + ",".join(str(byte) for byte in " ".join(names).encode()) + ")",
    "escapes over a key": lambda names, key: '"' + "".join(f"\\x{byte:02x}" for byte in xored(",".join(names).encode(), key)) + '"',
    "numbers that are shifted": lambda names, key: numbers(bytes((byte + key) & 0xFF for byte in "|".join(names).encode())),
    "base64 of what is shifted": lambda names, key: string(base64.b64encode(bytes((byte + key) & 0xFF for byte in "|".join(names).encode()))),
    "long escapes over a key": lambda names, key: '"' + "".join(f"\\u{byte:04x}" for byte in xored(",".join(names).encode(), key)) + '"',
}  # fmt: skip


@pytest.mark.parametrize("form", sorted(WRITTEN))
@settings(max_examples=25)
@given(names=TABLES, key=KEYS)
def test_a_table_is_found_however_it_is_written(form: str, names: list[str], key: int) -> None:
    results = found(written(WRITTEN[form](names, key)))
    assert any(set(names) <= items for _, items in results)


def test_an_array_whose_strings_are_backwards_is_found() -> None:
    names = ["alpha.com", "beta.cn", "gamma.net"]
    results = found(written("[" + ",".join(f"'{name[::-1]}'" for name in names) + "]"))
    assert [items for _, items in results] == [set(names)]


def test_pieces_that_a_program_joins_are_read_together() -> None:
    coded = base64.b64encode(xored(b"alpha.com,beta.cn,gamma.net", 0x5A)).decode()
    assert found(written(f'"{coded[:11]}" + "{coded[11:]}"'))[0][1] == {"alpha.com", "beta.cn", "gamma.net"}


def test_arrays_of_arrays_of_numbers_are_read_together() -> None:
    names = ["alpha.com", "beta.cn", "gamma.net"]
    literal = "[" + ",".join(numbers(xored(name.encode(), 0x07)) for name in names) + "]"
    assert found(written(literal))[0] == (("numbers", "xor 0x07"), set(names))


@settings(max_examples=50)
@given(names=ZONES, key=KEYS)
def test_text_under_a_key_is_found_in_any_bytes(names: list[str], key: int) -> None:
    noise = random.Random(key).randbytes(3000)
    data = noise + b"\x00" + xored("\n".join(names).encode(), key) + b"\xff" + noise
    # A neighbour may be text under the key as well; what was hidden is in what is found.
    results = [one for _, one in hidden(data)]
    assert any(set(names) & set(one.meaning.items) for one in results)


@given(names=TABLES, key=KEYS)
def test_what_search_names_can_be_undone_step_by_step(names: list[str], key: int) -> None:
    coded = base64.b64encode(xored("\n".join(names).encode(), key))
    result = search((coded,), DEFAULT)
    assert result is not None
    assert undo(coded, result.layers) == result.data


@given(st.binary(max_size=400), KEYS)
def test_every_key_under_which_bytes_are_text_is_found(data: bytes, key: int) -> None:
    text = data.translate(None, bytes({*range(256)} - {9, 10, 13, *range(0x20, 0x7F)}))
    coded = xored(text, key)
    assert (key in keys(coded)) == (len(coded) >= 10)


@given(st.text())
def test_escapes_of_strings_are_undone(text: str) -> None:
    assert unescaped(json.dumps(text.encode("utf-8").decode("latin-1"))[1:-1].encode()) == text.encode("utf-8")


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(12, 3000))
def test_random_bytes_are_no_table(seed: int, size: int) -> None:
    data = random.Random(seed).randbytes(size)
    for literal in (string(base64.b64encode(data)), string(data.hex().encode()), numbers(data)):
        assert found(written(literal)) == []


@pytest.mark.parametrize(
    "literal",
    [
        '"node_modules/semver/functions/gt.js"',
        '"./sw.bundle.js"',
        '["--iglob","--glob","--type","--type-not"]',
        '["working","input_required","completed","failed","cancelled"]',
        '"as.assert.break.class.continue.def.del.elif.else.except"',
        "/^[:A-Z_a-z\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u02FF\\u0370-\\u037D]/",
        '["81f0","\\u212B\\u2030\\u266F\\u266D\\u266A\\u2020\\u2021\\xB6"]',
        '"sha512-' + base64.b64encode(bytes(range(64))).decode() + '"',
        '"data:image/png;base64,' + base64.b64encode(random.Random(5).randbytes(900)).decode() + '"',
        string(
            base64.b64encode(
                bytes(ord(letter) ^ 0x75 for letter in "tuuutuuuuusutuuuvutq, uuuwutuvutq, utuwutuvutq, uwuwut")
            )
        ),
        "[0,1,1,2,3,5,8,13,21,34,55,89,144,233]",
        '"\\x1b[31mhttps://service.net/path\\x1b[0m"',
    ],
)
def test_ordinary_literals_are_no_tables(literal: str) -> None:
    assert found(written(literal)) == []


def test_a_table_of_text_as_it_stands_is_no_finding_of_this_kind() -> None:
    assert found(written('["alpha.com","beta.cn","gamma.net"]')) == []


def test_meaning_needs_zones_that_exist() -> None:
    assert meaning(b"Asia/Shanghai,Asia/Urumqi") is not None
    assert meaning(b"Asia/Nowhere,Asia/Elsewhere") is None


def test_a_list_of_words_under_a_key_is_found_and_others_are_not() -> None:
    words = b"deepwater,moonrise,mountain,zephyrus,bigletters,dashing"
    coded = base64.b64encode(xored(words, 0x5B)).decode()
    assert found(written(f'"{coded}"')) == [(("base64", "xor 0x5b"), set(words.decode().split(",")))]
    assert found(written(string(base64.b64encode(b"one apple and a pear, then some more of it")))) == []


def test_a_list_of_which_some_names_end_uncommonly_is_found() -> None:
    names = ["cn", "alpha.com", "beta.top", "gamma.net", "delta.run", "epsilon.cn", "zeta.site", "eta.org"]
    coded = base64.b64encode(xored(",".join(names).encode(), 0x5B)).decode()
    assert found(written(f'"{coded}"')) == [(("base64", "xor 0x5b"), set(names[1:]))]
