"""Reading shows what is there, bounded, and refuses what would hang or garble."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from mohist.agent.tool import ReadTool

READ = ReadTool()


async def test_lines_have_their_numbers(bench):
    bench.put("a.txt", "one\n\nthree")
    assert (await bench.call(READ, path="a.txt")).text == "1\tone\n2\t\n3\tthree"


async def test_a_range_says_where_it_is_and_how_to_go_on(bench):
    bench.put("a.txt", "".join(f"line {number}\n" for number in range(1, 101)))
    result = await bench.call(READ, path="a.txt", offset="41", limit=2)
    assert result.text == "41\tline 41\n42\tline 42\n[lines 41-42 of 100; go on with offset=43]"
    assert (await bench.call(READ, path="a.txt", offset=100)).text.startswith("100\tline 100\n[lines 100-100 of 100")
    assert "has 100 lines" in await bench.refusal(READ, path="a.txt", offset=101)


async def test_lines_and_bytes_are_bounded(bench):
    bench.put("a.txt", "x\n" * 5_000)
    assert "[lines 1-2000 of 5000; go on with offset=2001]" in (await bench.call(READ, path="a.txt", limit=4_000)).text
    bench.put("b.txt", ("y" * 400 + "\n") * 1_000)
    result = await bench.call(READ, path="b.txt")
    assert len(result.text.encode()) < 50_200
    assert "of 1000; go on with offset=" in result.text


async def test_a_long_line_is_clipped_and_says_so(bench):
    bench.put("a.js", "x" * 100_000 + "\nshort\n")
    result = await bench.call(READ, path="a.js")
    assert result.text == "1\t" + "x" * 500 + "… [99500 more characters]\n2\tshort"


async def test_a_file_of_2_gb_is_read_by_range_without_loading_it(bench):
    path = bench.root / "big.log"
    with path.open("wb") as file:
        file.write(b"first\r\n" + b"second\n" + b"z" * 20_000 + b"\n")
        file.truncate(2 * 1024**3)
    bench.limit(max_file_bytes=1024**2)
    result = await bench.call(READ, path="big.log", limit=3)
    first, second, third, note = result.text.split("\n")
    assert (first, second) == ("1\tfirst", "2\tsecond")
    assert third.startswith("3\tzzz")
    assert len(third) < 600
    assert "2,147,483,648 bytes" in note
    assert bench.ctx.seen.last(path) is None
    # Nor is an endless line passed over to its end, 2 GB further on.
    fourth = (await bench.call(READ, path="big.log", offset=4)).text.split("\n")[0]
    further = re.search(r"\[([\d,]+) or more further bytes\]", fourth)
    assert further is not None
    assert int(further[1].replace(",", "")) < 70_000_000
    assert len(fourth) < 600


async def test_a_range_deep_in_a_file_past_the_bound_is_found_and_an_endless_line_is_not_held(bench):
    bench.limit(max_file_bytes=1_000)
    bench.put("big.log", "".join(f"line {number}\n" for number in range(1, 300_001)) + "e" * 3_000_000)
    result = await bench.call(READ, path="big.log", offset=299_999)
    rows = result.text.split("\n")
    assert rows[0] == "299999\tline 299999"
    assert rows[1] == "300000\tline 300000"
    assert rows[2].startswith("300001\teee")
    assert len(rows[2]) < 600
    assert "ends before" in await bench.refusal(READ, path="big.log", offset=300_002)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"abc\0def", "binary data of 7 bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG image"),
        ("a long text without mark".encode("utf-16-le"), "UTF-16-LE text without a mark"),
        (b"caf\x81\x8d\x8f", "is not UTF-8 (byte 3)"),
    ],
)
async def test_what_is_not_text_is_told_and_not_garbled(bench, content, word):
    path = bench.put("a.bin", content)
    assert word in await bench.refusal(READ, path="a.bin")
    assert bench.ctx.seen.last(path) is None


@pytest.mark.parametrize(
    ("content", "shown", "note"),
    [
        ("价格表\n".encode("gb18030"), "1\t价格表", "taken for gb18030 (a guess)"),
        ("café\n".encode("latin-1"), "1\tcafé", "taken for latin-1 (a guess)"),
        (b"\x93quoted\x94\n", "1\t“quoted”", "taken for cp1252 (a guess)"),
        (b"\xef\xbb\xbfa\r\nb\r\n", "1\ta\n2\tb", "utf-8 with BOM; line endings: CRLF"),
        ("\ufeffä\n".encode("utf-16-be"), "1\tä", "utf-16-be with BOM"),
        (b"a\r\nb\n", "1\ta\n2\tb", "line endings: mixed"),
    ],
)
async def test_unusual_encodings_are_read_and_told(bench, content, shown, note):
    bench.put("a.txt", content)
    result = await bench.call(READ, path="a.txt")
    assert result.text.startswith(shown + "\n[")
    assert note in result.text


async def test_an_empty_file_is_not_nothing(bench):
    bench.put("a.txt", "")
    assert (await bench.call(READ, path="a.txt")).text == "[empty file]"


async def test_a_folder_shows_its_entries(bench):
    bench.put("b.txt", "")
    bench.put("a/c.txt", "")
    (bench.root / "link").symlink_to("/etc")
    assert (await bench.call(READ, path=".")).text == "a/\nb.txt\nlink@"
    (bench.root / "void").mkdir()
    assert (await bench.call(READ, path="void")).text == "[empty folder]"
    bench.limit(glob_paths=2)
    assert (await bench.call(READ, path=".")).text == "a/\nb.txt\n[2 more; use glob]"


async def test_a_name_that_is_not_utf8_is_shown_escaped(bench):
    (bench.root / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    assert (await bench.call(READ, path=".")).text == "caf\\xe9"


async def test_a_fifo_is_refused_without_waiting_for_a_writer(bench):
    os.mkfifo(bench.root / "pipe")
    assert "is a FIFO" in await bench.refusal(READ, path="pipe")


async def test_a_socket_and_a_device_are_refused(bench, monkeypatch):
    monkeypatch.chdir(bench.root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        assert "is a socket" in await bench.refusal(READ, path="sock")
    (bench.root / "zero").symlink_to("/dev/zero")
    assert "leads out" in await bench.refusal(READ, path="zero")


async def test_symlinks_out_of_the_workspace_are_refused(bench, tmp_path):
    (tmp_path / "secret").write_text("secret", "utf-8")
    (bench.root / "file").symlink_to(tmp_path / "secret")
    (bench.root / "folder").symlink_to("..")
    for path in ("file", "folder/secret", "folder"):
        assert "leads out of the workspace" in await bench.refusal(READ, path=path)
    for path in ("../secret", str(tmp_path / "secret"), "/etc/passwd"):
        assert "outside of the workspace" in await bench.refusal(READ, path=path)


async def test_a_loop_of_symlinks_is_refused(bench):
    (bench.root / "a").symlink_to("b")
    (bench.root / "b").symlink_to("a")
    assert "symlink" in await bench.refusal(READ, path="a")


async def test_a_link_inside_the_workspace_is_followed(bench):
    bench.put("real/a.txt", "x")
    (bench.root / "link").symlink_to("real")
    assert (await bench.call(READ, path="link/a.txt")).text == "1\tx"


async def test_an_absent_file_is_told(bench):
    assert "does not exist" in await bench.refusal(READ, path="no/such.txt")
    assert "not a path" in await bench.refusal(READ, path="a\0b")


async def test_a_spilled_output_is_read_by_its_address(bench):
    kept = bench.ctx.spill.put(b"one\ntwo\n", "shell")
    assert (await bench.call(READ, path=kept.address, offset=2)).text.startswith("2\ttwo")
    assert (await bench.call(READ, path=str(bench.ctx.spill.folder / kept.name))).text.startswith("1\tone")
    for path in ("spill:no-such.txt", "spill:../work/a.txt", "spill:"):
        assert "There is no output" in await bench.refusal(READ, path=path)


async def test_relative_paths_start_at_the_working_folder(bench):
    from dataclasses import replace

    bench.put("sub/a.txt", "x")
    bench.ctx = replace(bench.ctx, cwd=bench.root / "sub")
    assert (await bench.call(READ, path="a.txt")).text == "1\tx"
    assert (await bench.call(READ, path=str(Path("..") / "sub" / "a.txt"))).text == "1\tx"
