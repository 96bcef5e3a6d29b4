"""Texts are read through their encodings, and each place leads back to the characters it came from."""

from __future__ import annotations

import base64
import binascii
import codecs
import gzip
import html
import json
import quopri
import string
import zlib
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mohist.guard import GuardLimitError, Limits, View
from mohist.guard.limit import DEFAULT
from mohist.guard.reading import Reading, base, readings
from mohist.guard.reading.draft import redraw

# Made here, so that no scanner takes this file for a leak.
SECRET = "tkn_" + "".join(string.ascii_letters[i * 7 % 52] + string.digits[i * 3 % 10] for i in range(18))


def lines_of(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def in_pieces(text: str, joint: str) -> str:
    return joint.join(lines_of(text, 10))


EXACT: dict[str, Callable[[str], str]] = {
    "json-unicode": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "braced-unicode": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "hex-escapes": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "octal-escapes": lambda text: "".join(f"\\{ord(char):03o}" for char in text),
    "url": lambda text: "".join(f"%{ord(char):02X}" for char in text),
    "url-twice": lambda text: "".join(f"%25{ord(char):02X}" for char in text),
    "html-decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "html-hex": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "quoted-printable": lambda text: "".join(f"={ord(char):02X}" for char in text),
    "hex": lambda text: text.encode().hex(),
    "hex-blanks": lambda text: text.encode().hex(" "),
    "hex-list": lambda text: ", ".join(f"0x{ord(char):02x}" for char in text),
    "codes": lambda text: ", ".join(str(ord(char)) for char in text),
    "letters-apart": lambda text: " ".join(text),
    "letters-with-dashes": lambda text: "-".join(text),
    "utf-16": lambda text: text.encode("utf-16-le").decode("latin-1")[:-1],
    "plus": lambda text: in_pieces(text, '" + "'),
    "plus-on-lines": lambda text: in_pieces(text, '" +\n    "'),
    "adjacent-literals": lambda text: in_pieces(text, '"\n    "'),
    "php": lambda text: in_pieces(text, "' . '"),
    "each-letter": lambda text: '"+"'.join(text),
    "empty-quotes": lambda text: in_pieces(text, '""'),
    "continued-line": lambda text: in_pieces(text, "\\\n"),
    "broken-line": lambda text: in_pieces(text, "\n        "),
    "broken-line-in-a-diff": lambda text: in_pieces(text, "\n+    "),
    "broken-quotation": lambda text: in_pieces(text, "\n> "),
    "rot13": lambda text: "gbxra: " + codecs.encode(text, "rot13"),
    "backwards": lambda text: text[::-1] + " :nekot",
    "zero-width": "\u200b".join,
    "soft-hyphen": lambda text: in_pieces(text, "\u00ad"),
    "full-width": lambda text: "".join(chr(ord(char) + 0xFEE0) for char in text),
    "mathematical": lambda text: "".join(chr(0x1D41A + ord(c) - 97) if c.islower() else c for c in text),
    "cyrillic": lambda text: text.translate(str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")),
}
BY_BITS: dict[str, Callable[[str], str]] = {
    "base64": b64,
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64-lines": lambda text: "\n".join(lines_of(b64("x" * 60 + text), 64)),
    "base64-escaped-lines": lambda text: "\\n".join(lines_of(b64("x" * 60 + text), 64)),
    "base64-twice": lambda text: b64(b64(text)),
    "base64-three-times": lambda text: b64(b64(b64(text))),
    "base64-of-utf-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64-of-gzip": lambda text: base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode(),
    "base64-of-zlib": lambda text: base64.b64encode(zlib.compress(text.encode() * 3)).decode(),
    "base64-of-hex": lambda text: b64(text.encode().hex()),
    "hex-of-base64": lambda text: b64(text).encode().hex(),
    "url-of-base64": lambda text: "".join(f"%{ord(char):02X}" for char in b64(text)),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base64-behind-a-path": lambda text: "api/v1/" + b64("user:" + text),
    "name-and-password": lambda text: b64("\0me\0" + text),
    "basic-header": lambda text: b64("user:" + text),
}
BEFORE = "first line\nkey: "
AFTER = "\nlast line\n"


def showing(reading: Reading, text: str) -> View:
    return next(view for view in reading.views if text in view.text)


def placed(block: str, text: str) -> tuple[int, int]:
    view = showing(readings(block, DEFAULT), text)
    at = view.text.index(text)
    return view.place(at, at + len(text))


@pytest.mark.parametrize("name", EXACT)
def test_a_disguised_text_is_read_and_placed_to_the_character(name: str) -> None:
    disguised = EXACT[name](SECRET)
    start, end = placed(BEFORE + disguised + AFTER, SECRET)
    named = len(disguised) - len(SECRET) if name in ("rot13", "backwards") else 0
    first = len(BEFORE) + (named if name == "rot13" else 0)
    assert (start, end) == (first, first + len(disguised) - named)


@pytest.mark.parametrize(
    "name", ["letters-apart", "utf-16", "hex", "hex-blanks", "codes", "backwards", "rot13", "json-unicode"]
)
def test_a_part_of_a_disguised_text_is_placed_to_the_character(name: str) -> None:
    lead, tail = EXACT[name]("lead1"), EXACT[name]("tail2")
    whole = EXACT[name]("lead1" + SECRET + "tail2")
    if name in ("rot13", "backwards"):
        lead, tail = (EXACT["rot13"]("lead1"), "xxxxx") if name == "rot13" else ("xxxxx", EXACT["backwards"]("lead1"))
    start, end = placed(BEFORE + whole + AFTER, SECRET)
    gap = {"letters-apart": 1, "utf-16": 1, "hex-blanks": 1, "codes": 2}.get(name, 0)
    assert start == len(BEFORE) + len(lead) + gap
    assert end == len(BEFORE) + len(whole) - len(tail) - gap


@pytest.mark.parametrize("name", BY_BITS)
def test_a_disguise_of_bytes_is_read_and_placed_within_itself(name: str) -> None:
    disguised = BY_BITS[name](SECRET)
    start, end = placed(BEFORE + disguised + AFTER, SECRET)
    assert len(BEFORE) <= start < end <= len(BEFORE) + len(disguised)
    assert end - start >= len(SECRET) or "zip" in name or "zlib" in name


TOKENS = st.text(string.ascii_letters + string.digits + "_-", min_size=24, max_size=60).filter(
    lambda text: any(char.isdigit() for char in text) and any(char.isalpha() for char in text)
)
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="\\%&=\x00"), max_size=40)


@given(
    token=TOKENS,
    before=AROUND,
    after=AROUND,
    name=st.sampled_from(["json-unicode", "url", "html-hex", "hex", "full-width"]),
)
def test_whatever_stands_around_it_a_disguise_is_placed_exactly(token: str, before: str, after: str, name: str) -> None:
    assume(token not in before + after)
    disguised = EXACT[name](token)
    block = f"{before}\n<{disguised}>\n{after}"
    start = len(before) + 2
    assert placed(block, token) == (start, start + len(disguised))


def test_a_text_deep_in_long_base64_is_placed() -> None:
    lead = "some words of a longer text\n" * 2000
    disguised = b64(lead + SECRET)
    start, end = placed(disguised, SECRET)
    assert (start, end) == (len(lead) * 8 // 6, -(-len(lead + SECRET) * 8 // 6))
    packed = base64.b64encode(gzip.compress((lead + string.ascii_letters * 3 + SECRET).encode(), 1)).decode()
    assert showing(readings(packed + packed, DEFAULT), SECRET)


@given(token=TOKENS, lead=st.text(string.printable, max_size=8))
def test_base64_is_placed_by_the_characters_that_hold_its_bits(token: str, lead: str) -> None:
    disguised = b64(lead + token)
    start, end = placed(f"<{disguised}>", token)
    first, last = len(lead.encode()) * 8, len((lead + token).encode()) * 8
    assert (start, end) == (1 + first // 6, 1 + -(-last // 6))


def test_of_two_places_that_overlap_the_first_counts() -> None:
    view = redraw(View("abcdef"), "x", [(1, 4, "1", None), (2, 5, "2", None), (4, 5, "3", None)])
    assert view is not None
    assert view.text == "a13f"
    assert [view.place(at, at + 1) for at in range(4)] == [(0, 1), (1, 4), (4, 5), (5, 6)]


@given(text=st.text())
def test_every_place_of_every_view_lies_in_the_block(text: str) -> None:
    check_places(text)


MESS = st.lists(
    st.sampled_from(
        [
            *(encode(SECRET) for encode in (*EXACT.values(), *BY_BITS.values())),
            "\\",
            "%",
            "\n",
            '"',
            "+",
            "é",
            "\ud800",
            "密码",
        ]
    )
    | st.text(max_size=5),
    max_size=8,
).map("".join)


@given(text=MESS)
def test_every_place_lies_in_the_block_also_in_a_mess_of_encodings(text: str) -> None:
    check_places(text)


@given(text=MESS, times=st.integers(1, 40))
def test_what_a_text_decodes_to_is_bounded_by_its_length(text: str, times: int) -> None:
    limits = Limits(max_view_bytes=1000, max_view_times=4)
    whole = text * times
    try:
        reading = readings(whole, limits)
    except GuardLimitError:
        return
    assert sum(len(view.text) for view in reading.views[1:]) <= 1000 + 4 * len(whole)
    assert all(len(view.via) <= limits.max_layers for view in reading.views)


def check_places(text: str) -> None:
    for view in readings(text, DEFAULT).views:
        step = max(len(view.text) // 7, 1)
        for start in range(0, len(view.text), step):
            low, high = view.place(start, min(start + step, len(view.text)))
            assert 0 <= low <= high <= len(text)
        assert view.place(0, len(view.text))[1] <= len(text)


@given(text=st.text(), other=st.text())
def test_a_byte_leads_to_its_character(text: str, other: str) -> None:
    view = View(text * 50 + other)
    counted = [number for number, char in enumerate(view.text) for _ in char.encode("utf-8", "replace")]
    assert [view.char(offset) for offset in range(len(view.data))] == counted


def test_what_stands_in_a_json_text_is_read() -> None:
    text = json.dumps({"env": "HOST=x\n" + SECRET + "\nPORT=1", "inner": json.dumps({"password": SECRET})})
    shown = [view.text for view in readings(text, DEFAULT).views[1:]]
    assert any(f"\n{SECRET}\n" in view for view in shown)
    assert any(f'{{"password": "{SECRET}"}}' in view for view in shown)


def test_lines_of_a_notebook_are_one_text() -> None:
    body = "\n".join(["-----BEGIN TEST KEY-----", *lines_of(SECRET * 4, 64), "-----END TEST KEY-----"])
    cell = {"cell_type": "code", "source": [f"key = '''{body}'''".splitlines(keepends=True)]}
    text = json.dumps({"cells": [cell]}, indent=1)
    start, end = placed(text, body)
    assert text[start:end].startswith("-----BEGIN")
    assert text[start:end].endswith("END TEST KEY-----")


def test_a_key_in_a_diff_is_one_text() -> None:
    body = "\n".join(["-----BEGIN TEST KEY-----", *lines_of(SECRET * 4, 64), "-----END TEST KEY-----"])
    patch = "@@ -0,0 +1,5 @@\n" + "\n".join("+" + line for line in body.splitlines()) + "\n context\n"
    assert patch[slice(*placed(patch, body))] == "\n".join("+" + line for line in body.splitlines())[1:]


def test_quoted_printable_mail_is_read() -> None:
    mail = quopri.encodestring(("é" * 10 + SECRET * 3).encode()).decode()
    assert showing(readings(mail, DEFAULT), SECRET * 3)


def test_html_in_base64_in_a_url_is_read() -> None:
    inner = html.escape(f'"{SECRET}"').replace(SECRET[3], f"&#{ord(SECRET[3])};")
    text = "https://host.example/?state=" + "".join(f"%{ord(char):02x}" for char in b64(inner))
    view = showing(readings(text, DEFAULT), f'"{SECRET}"')
    assert view.via == ("url", "base64", "html")


@pytest.mark.parametrize(
    "text",
    [
        "import os\n\n\ndef main() -> None:\n    print('hello', os.sep)\n",
        "a9f3c1d2e4b5a6978877665544332211aabbccdd is a commit",
        "Just a paragraph of English prose that goes on\nover two lines and says nothing of note.",
        "from package import first_name, second_name, third_name\n",
        "普通的中文句子，没有任何秘密。",
        "mov eax, 0x10\nadd ebx, 0x20",
        "API_HOST=a1b2c3d4e5\nAPI_KEY=f6g7h8i9j0k1l2\nname2: value3value\nother9: x\n",
    ],
    ids=["code", "hash", "prose", "imports", "chinese", "assembler", "settings"],
)
def test_ordinary_text_is_read_once(text: str) -> None:
    assert [view.via for view in readings(text, DEFAULT).views] == [()]


def test_one_more_layer_than_is_undone_is_told() -> None:
    text = SECRET
    for _ in range(DEFAULT.max_layers):
        text = b64(text)
    assert readings(text, DEFAULT).too_deep == ()
    reading = readings(b64(text), DEFAULT)
    assert len(reading.too_deep) == 1
    assert reading.too_deep[0].place(0, 1)[0] == 0


def test_a_text_that_reads_in_too_many_ways_is_refused() -> None:
    every = " ".join(encode(SECRET) for encode in (*EXACT.values(), *BY_BITS.values())) * 3
    with pytest.raises(GuardLimitError):
        readings(every, Limits(max_view_bytes=100, max_view_times=2))
    assert readings(every, DEFAULT)


def test_a_text_that_unpacks_to_far_more_is_refused() -> None:
    bomb = base64.b64encode(gzip.compress(b"a" * 5_000_000)).decode()
    with pytest.raises(GuardLimitError):
        readings(bomb, Limits(max_view_bytes=1_000_000))


def test_binary_data_in_base64_are_decoded_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(7)
    # Short runs of ASCII in data that are no text, as programs and pictures have them.
    data = b"".join(random.randbytes(random.randrange(60, 300)) + b"a short piece of text" for _ in range(2_000))
    text = f'module = "{base64.b64encode(data).decode()}"\n'
    decoded_bytes = 0

    decode = binascii.a2b_base64

    def counted(raw: str) -> bytes:
        nonlocal decoded_bytes
        decoded_bytes += len(raw)
        return decode(raw)

    monkeypatch.setattr(base.binascii, "a2b_base64", counted)
    readings(text, DEFAULT)
    assert 0 < decoded_bytes < 3 * len(text)


@pytest.mark.parametrize("blank", [" ", "\t", " \n", "\\\n "])
def test_long_blanks_between_literals_are_read_once(blank: str) -> None:
    # Tried in every division, three thousand blanks would take hours; the suite's own limit of time would end this test.
    gap = blank * (3_000 // len(blank))
    text = f'token = "{SECRET[:12]}" + "{SECRET[12:]}", "{gap}x", \'{gap}+{gap}|\n"{gap}'
    assert any(SECRET in view.text for view in readings(text, DEFAULT).views)
