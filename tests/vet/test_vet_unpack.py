"""Archives are unpacked within bounds, and nothing of them leads out of the folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mohist.vet import Limits, UnpackError
from mohist.vet.native import identify
from mohist.vet.unpack import Unpacker

NAMES_THAT_LEAD_OUT = (
    "../out",
    "a/../../out",
    "/etc/out",
    "..\\out",
    "C:/out",
    "C:\\out",
    "a/" + "x" * 300,
    "x" * 2000,
    ".",
    "",
)


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred(*members: tarfile.TarInfo, data: bytes = b"data", mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if member.isreg():
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            else:
                archive.addfile(member)
    return buffer.getvalue()


def unpacked(folder: Path, data: bytes, limits: Limits | None = None) -> tuple[dict[str, bytes], list[str]]:
    """Files by name, and why others were left out."""
    archive = folder / "a.bin"
    archive.write_bytes(data)
    into = folder / "into"
    left = Unpacker(limits or Limits()).unpack(archive, into)
    assert [path for path in folder.rglob("*") if not path.is_relative_to(into) and path != archive] == []
    files = {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}
    return files, [one.why for one in left]


@pytest.mark.parametrize("name", NAMES_THAT_LEAD_OUT[:8])
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_names_that_lead_out_are_left_out_and_told(tmp_path: Path, name: str, form: str) -> None:
    data = zipped((name, b"x"), ("in", b"y")) if form == "zip" else tarred(tarfile.TarInfo(name), tarfile.TarInfo("in"))
    files, left = unpacked(tmp_path, data)
    assert list(files) == ["in"]
    assert left == ["has a name that leads out of the archive"]


@given(st.text(min_size=1, max_size=40))
def test_whatever_a_member_is_called_it_stays_in_the_folder(name: str) -> None:
    place = Unpacker(Limits())._place(name, Path("/into"))
    assert place is None or (place.is_relative_to("/into") and ".." not in place.parts and place != Path("/into"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_left_out(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "/etc/passwd"
    files, left = unpacked(tmp_path, tarred(member, tarfile.TarInfo("in")))
    assert list(files) == ["in"]
    assert len(left) == 1


def test_a_link_in_a_zip_is_left_out(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert unpacked(tmp_path, buffer.getvalue()) == ({}, ["is a link"])


def test_a_name_that_stands_twice_keeps_both(tmp_path: Path) -> None:
    files, _ = unpacked(tmp_path, tarred(tarfile.TarInfo("a"), tarfile.TarInfo("a")))
    assert sorted(files) == ["a", "a~"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda data: zstandard.ZstdCompressor().compress(data)], ids=["gzip", "bzip2", "xz", "zstd"])  # fmt: skip
def test_packed_archives_are_opened(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    files, _ = unpacked(tmp_path, pack(tarred(tarfile.TarInfo("package/a.js"))))
    assert files == {"package/a.js": b"data"}


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (zipped(("a", bytes(300_000))), Limits(max_ratio=50, max_ratio_free_bytes=10)),
        (gzip.compress(bytes(300_000)), Limits(max_ratio=50, max_ratio_free_bytes=10)),
        (zipped(("a", bytes(3000)), ("b", bytes(3000))), Limits(max_unpacked_bytes=4000)),
        (tarred(*(tarfile.TarInfo(str(number)) for number in range(20))), Limits(max_members=10)),
        (zipped(("a", b"x"))[:-30], Limits()),
        (gzip.compress(b"x" * 1000)[:20], Limits()),
        (b"no archive", Limits()),
    ],
    ids=["zip-bomb", "gzip-bomb", "too-large", "too-many", "cut-zip", "cut-gzip", "none"],
)
def test_bombs_and_damaged_archives_are_refused(tmp_path: Path, data: bytes, limits: Limits) -> None:
    with pytest.raises(UnpackError):
        unpacked(tmp_path, data, limits)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a")
    member.pax_headers = {"comment": "x" * 2_000_000}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    with pytest.raises(UnpackError, match="header"):
        unpacked(tmp_path, gzip.compress(buffer.getvalue()))


def test_a_directory_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnpackError, match="more than 2 files"):
        unpacked(tmp_path, zipped(*((f"{number}-{'x' * 60}", b"") for number in range(20))), Limits(max_members=2))


@given(st.binary(max_size=300))
def test_whatever_a_file_begins_with_it_is_identified_or_not(data: bytes) -> None:
    for mark in (b"", b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe"):
        identify(mark + data)
