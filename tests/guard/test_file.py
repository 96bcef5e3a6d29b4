"""Files of every sort become blocks, each place leads back to line and column, and what is not looked at is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mohist.guard import Limits
from mohist.guard.archive import read_file
from mohist.guard.file import Piece, Unread

WORD = "the-word-that-is-looked-for"
SMALL = Limits(window_chars=200, overlap_chars=80)


def read(data: bytes, path: str = "f", limits: Limits | None = None) -> tuple[list[Piece], list[Unread]]:
    found = list(read_file(path, io.BytesIO(data), limits or Limits()))
    return [one for one in found if isinstance(one, Piece)], [one for one in found if isinstance(one, Unread)]


def found_at(pieces: list[Piece], word: str = WORD) -> list[tuple[str, int, int, int]]:
    """Path, line, column and offset of the word, as a scan would report it."""
    places = []
    for piece in pieces:
        at = piece.block.text.find(word)
        while at >= 0:
            if piece.keep[0] <= at < piece.keep[1]:
                place = piece.position(at)
                places.append((piece.block.path, place.line, place.column, place.offset))
            at = piece.block.text.find(word, at + 1)
    return places


TEXT = f"erste Zeile mit Umlaut ä\nzweite\n  {WORD} und mehr\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"], ids=lambda name: name
)
def test_a_text_of_any_unicode_encoding_is_read(encoding: str) -> None:
    pieces, unread = read(TEXT.encode(encoding))
    assert found_at(pieces) == [("f", 3, 3, TEXT.index(WORD))]
    assert unread == []


def test_bytes_that_are_no_text_are_replaced_and_shift_nothing() -> None:
    pieces, _ = read(TEXT.encode("latin-1"))
    assert found_at(pieces) == [("f", 3, 3, TEXT.index(WORD))]


def test_text_in_a_binary_file_is_found_at_its_byte() -> None:
    data = bytes(range(256)) * 3 + WORD.encode() + b"\x00\x01\x02" + WORD.encode("utf-16-le") + b"\xff" * 9
    pieces, unread = read(data)
    assert [place[1:] for place in found_at(pieces)] == [
        (0, 0, data.index(WORD.encode())),
        (0, 0, data.index(WORD.encode("utf-16-le"))),
    ]
    assert unread == []


@given(lead=st.integers(0, 2500), tail=st.integers(0, 400), width=st.sampled_from([7, 33, 450, 5000]))
def test_a_word_at_any_place_of_a_long_file_is_found_once(lead: int, tail: int, width: int) -> None:
    filler = "".join("\n" if number % width == width - 1 else "x" for number in range(lead))
    text = filler + WORD + "y" * tail
    pieces, unread = read(text.encode(), limits=SMALL)
    line = filler.count("\n") + 1
    column = len(filler) - (filler.rfind("\n") + 1) + 1
    assert found_at(pieces) == [("f", line, column, len(filler))]
    assert unread == []


@given(lead=st.integers(0, 900), tail=st.integers(0, 400))
def test_a_word_at_any_place_of_a_long_binary_file_is_found(lead: int, tail: int) -> None:
    data = b"\x01\x02" * lead + b"\x00" + WORD.encode() + b"\xff" * tail
    pieces, _ = read(bytes(range(16)) + data, limits=SMALL)
    assert [place[3] for place in found_at(pieces)] == [17 + 2 * lead]


@pytest.mark.parametrize(
    "mark", [b"\xff\xfe", b"\xfe\xff", b"\x00a" * 40, b"a\x00" * 40], ids=["le", "be", "zeros", "zeros behind"]
)
def test_a_mark_in_front_does_not_hide_a_text(mark: bytes) -> None:
    pieces, _ = read(mark + TEXT.encode() * 20)
    assert len(found_at(pieces)) == 20


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


FILES = {"a/clean.txt": b"nothing", "b/found.txt": TEXT.encode()}


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (zipped(FILES), "f!b/found.txt"),
        (tarred(FILES), "f!b/found.txt"),
        (gzip.compress(tarred(FILES)), "f!!b/found.txt"),
        (bz2.compress(TEXT.encode()), "f!"),
        (lzma.compress(TEXT.encode()), "f!"),
        (zstandard.ZstdCompressor().compress(TEXT.encode()), "f!"),
        (zipped({"inner.zip": zipped(FILES)}), "f!inner.zip!b/found.txt"),
    ],
    ids=["zip", "tar", "tar.gz", "bz2", "xz", "zstd", "zip in zip"],
)
def test_an_archive_is_looked_into(data: bytes, path: str) -> None:
    pieces, unread = read(data)
    assert found_at(pieces) == [(path, 3, 3, TEXT.index(WORD))]
    assert unread == []


def test_archives_within_too_many_others_are_told() -> None:
    data = TEXT.encode()
    for _ in range(5):
        data = zipped({"x": data})
    pieces, unread = read(data)
    assert pieces == []
    assert [one.grave for one in unread] == [True]


@pytest.mark.parametrize("form", ["gzip", "zip", "xz", "bz2"])
def test_what_unpacks_to_far_more_is_read_up_to_a_limit_and_told(form: str) -> None:
    text = TEXT.encode() + b"a" * 3_000_000
    data = {
        "gzip": gzip.compress,
        "zip": lambda text: zipped({"x": text}),
        "xz": lzma.compress,
        "bz2": bz2.compress,
    }[form](text)
    pieces, unread = read(data, limits=Limits(max_archive_bytes=1_500_000))
    assert len(found_at(pieces)) == 1
    assert sum(len(piece.block.text) for piece in pieces) < 2_600_000
    assert len(unread) == 1


def test_more_members_than_are_looked_at_are_told() -> None:
    _, unread = read(zipped({f"{number}": b"x" for number in range(20)}), limits=Limits(max_archive_members=5))
    assert [one.path for one in unread] == ["f"]
    _, unread = read(tarred({f"{number}": b"x" for number in range(20)}), limits=Limits(max_archive_members=5))
    assert [one.path for one in unread] == ["f"]


def test_an_encrypted_member_is_told_and_the_others_are_read() -> None:
    data = bytearray(zipped(FILES))
    # The bit that says "encrypted", in the local and the central header of the first member.
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    pieces, unread = read(bytes(data))
    assert len(found_at(pieces)) == 1
    assert [(one.path, one.why) for one in unread] == [("f!a/clean.txt", "is encrypted")]


@pytest.mark.parametrize("whole", [zipped(FILES), gzip.compress(TEXT.encode() * 500)], ids=["zip", "gzip"])
def test_damaged_archives_are_told(whole: bytes) -> None:
    for share in (0.5, 0.9):
        _, unread = read(whole[: int(len(whole) * share)])
        assert [one.grave for one in unread] == [True]


@pytest.mark.parametrize("mark", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"], ids=["7z", "rar"])
def test_archives_of_other_forms_are_told(mark: bytes) -> None:
    assert [one.grave for one in read(mark + b"data")[1]] == [True]


def test_a_pdf_is_told_but_is_no_alarm() -> None:
    assert [one.grave for one in read(b"%PDF-1.7\n1 0 obj\n")[1]] == [False]


def test_a_file_over_the_limit_is_read_up_to_it_and_told() -> None:
    pieces, unread = read(
        TEXT.encode() + b"x" * 5000, limits=Limits(max_file_bytes=3000, window_chars=500, overlap_chars=100)
    )
    assert len(found_at(pieces)) == 1
    assert len(unread) == 1
    pieces, unread = read(
        b"\x00\xff" + TEXT.encode() + b"\x00" * 9000, limits=Limits(max_file_bytes=3000, window_chars=500)
    )
    assert len(found_at(pieces)) == 1
    assert len(unread) == 1


@given(
    data=st.binary(max_size=400),
    head=st.sampled_from(
        [b"", b"PK\x03\x04", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"%PDF-"]
    ),
)
def test_no_bytes_make_reading_fail(data: bytes, head: bytes) -> None:
    for one in read_file("f", io.BytesIO(head + data), Limits()):
        if isinstance(one, Piece):
            for at in range(0, len(one.block.text) + 1, 7):
                assert one.position(at).offset <= len(head + data)
