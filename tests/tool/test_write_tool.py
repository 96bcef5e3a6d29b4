"""Whole files are written in one step, into the workspace only."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager

import pytest

from mohist.agent.tool import ReadTool, ToolLimits, WriteTool, disk, gate, place
from mohist.agent.tool.errors import ToolError

WRITE = WriteTool()


async def test_a_new_file_gets_its_folders(bench):
    result = await bench.call(WRITE, path="a/b/c.txt", content="x\ny")
    assert (bench.root / "a/b/c.txt").read_bytes() == b"x\ny"
    assert result.text == "Made a/b/c.txt, 2 lines."
    assert result.written[0].before_sha256 is None
    assert "+x\n+y" in result.diff


async def test_a_file_that_exists_must_have_been_read(bench):
    path = bench.put("a.txt", "by hand\n")
    assert "Read it first" in await bench.refusal(WRITE, path="a.txt", content="mine\n")
    assert path.read_bytes() == b"by hand\n"
    await bench.call(ReadTool(), path="a.txt")
    await bench.call(WRITE, path="a.txt", content="mine\n")
    assert path.read_bytes() == b"mine\n"


async def test_one_that_was_absent_when_looked_for_and_is_there_now_counts_as_unread(bench):
    await bench.refusal(ReadTool(), path="a.txt")
    bench.put("a.txt", "by hand\n")
    assert "have not read it" in await bench.refusal(WRITE, path="a.txt", content="mine\n")


async def test_encoding_mark_and_line_endings_of_the_old_file_are_taken(bench):
    path = bench.put_seen("a.txt", "\ufeffa\r\nb\r\n".encode("utf-16-le"))
    await bench.call(WRITE, path="a.txt", content="ä\nb\n")
    assert path.read_bytes() == "\ufeffä\r\nb\r\n".encode("utf-16-le")


async def test_content_is_written_as_it_is(bench):
    content = '{"a": "\\n"}\t \r\n\n\u2028\x00é'
    await bench.refusal(WRITE, path="a.txt", content=content)
    content = content.replace("\x00", "")
    await bench.call(WRITE, path="a.txt", content=content)
    assert (bench.root / "a.txt").read_bytes() == content.encode()


async def test_text_that_is_no_unicode_is_refused(bench):
    assert "can't hold" in await bench.refusal(WRITE, path="a.txt", content="\ud800")
    assert bench.names() == []


async def test_a_new_file_that_does_not_parse_is_told(bench):
    assert "no longer parses" in (await bench.call(WRITE, path="a.json", content='{"a": 1,}')).text
    assert "line 1" in (await bench.call(WRITE, path="b.py", content="def f(:\n")).text
    assert "parses" in (await bench.call(WRITE, path="c.toml", content="a = \n")).text


@pytest.mark.parametrize(
    "path",
    [
        ".git/hooks/pre-commit",
        ".git/config",
        "sub/.git/config",
        ".GIT/config",
        ".mohist/rules.toml",
        ".claude/settings.json",
        ".vscode/tasks.json",
        ".github/workflows/ci.yml",
        ".mcp.json",
        "a/../.git/config",
        ".git",
    ],
)
async def test_what_other_programs_obey_is_never_written(bench, path):
    assert "never change" in await bench.refusal(WRITE, path=path, content="x")
    assert bench.names() == []


async def test_guarded_names_are_not_reached_through_a_link(bench):
    (bench.root / ".git").mkdir()
    (bench.root / "link").symlink_to(".git")
    assert "never change" in await bench.refusal(WRITE, path="link/config", content="x")
    (bench.root / "plain").mkdir()
    (bench.root / ".claude").symlink_to("plain")
    assert "never change" in await bench.refusal(WRITE, path=".claude/settings.json", content="x")
    assert bench.names("plain") == []


@pytest.mark.parametrize("path", ["../out.txt", "/etc/mohist-test", "a/../../out.txt", "~root/../../../x"])
async def test_nothing_is_written_outside(bench, path):
    if path.startswith("~"):
        assert "outside" in await bench.refusal(WRITE, path=path, content="x")
    else:
        assert "outside of the workspace" in await bench.refusal(WRITE, path=path, content="x")
    assert bench.names() == []


async def test_a_symlink_out_is_refused_and_its_target_kept(bench, tmp_path):
    target = tmp_path / "secret.txt"
    target.write_text("keep", "utf-8")
    (bench.root / "link").symlink_to(target)
    (bench.root / "folder").symlink_to(tmp_path)
    for path in ("link", "folder/secret.txt", "folder/new.txt"):
        assert "leads out of the workspace" in await bench.refusal(WRITE, path=path, content="x")
    assert target.read_text("utf-8") == "keep"
    assert not (tmp_path / "new.txt").exists()


async def test_a_link_inside_keeps_being_one(bench):
    real = bench.put_seen("real.txt", "a\n")
    (bench.root / "link").symlink_to("real.txt")
    await bench.call(WRITE, path="link", content="b\n")
    assert real.read_bytes() == b"b\n"
    assert (bench.root / "link").is_symlink()


def test_a_folder_swapped_for_a_symlink_after_the_check_is_refused(bench, tmp_path):
    bench.put("sub/a.txt", "in")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("out", "utf-8")
    checked = place.find_writable(bench.ctx, "sub/a.txt")
    state = disk.load(checked, 100)
    (bench.root / "sub").rename(bench.root / "moved")
    (bench.root / "sub").symlink_to(outside)
    with pytest.raises(ToolError, match="symlink"):
        disk.load(checked, 100)
    with pytest.raises(ToolError, match="symlink"):
        disk.replace(checked, b"stolen", state)
    with pytest.raises(ToolError, match="symlink"):
        disk.replace(place.Place(bench.root, bench.root / "sub/new.txt", "sub/new.txt"), b"stolen", None)
    assert {path.name: path.read_text("utf-8") for path in outside.iterdir()} == {"a.txt": "out"}


def test_a_file_swapped_for_a_symlink_after_the_check_is_refused(bench, tmp_path):
    path = bench.put("a.txt", "in")
    outside = tmp_path / "out.txt"
    outside.write_text("out", "utf-8")
    checked = place.find_writable(bench.ctx, "a.txt")
    state = disk.load(checked, 100)
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(ToolError, match="is a symlink"):
        disk.load(checked, 100)
    with pytest.raises(ToolError, match="is a symlink"):
        disk.replace(checked, b"stolen", state)
    assert outside.read_text("utf-8") == "out"
    assert bench.names() == ["a.txt"]


def test_what_was_changed_between_reading_and_writing_is_kept(bench):
    path = bench.put("a.txt", "one")
    found = place.find_writable(bench.ctx, "a.txt")
    state = disk.load(found, 100)
    path.write_text("by hand", "utf-8")
    with pytest.raises(ToolError, match="changed by someone else"):
        disk.replace(found, b"mine", state)
    assert path.read_text("utf-8") == "by hand"
    with pytest.raises(ToolError, match="made by someone else"):
        disk.replace(found, b"mine", None)
    path.unlink()
    with pytest.raises(ToolError, match="removed by someone else"):
        disk.replace(found, b"mine", state)
    assert bench.names() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_files_keep_their_owner_and_new_ones_take_that_of_their_folder(bench):
    os.chown(bench.root, 1234, 1234)
    path = bench.put_seen("a.txt", "one\n")
    os.chown(path, 4321, 4321)
    await bench.call(WRITE, path="a.txt", content="two\n")
    await bench.call(WRITE, path="new/b.txt", content="two\n")
    assert path.stat().st_uid == 4321
    assert (bench.root / "new").stat().st_uid == 1234
    assert (bench.root / "new/b.txt").stat().st_uid == 1234


async def test_a_folder_in_the_way_is_told(bench):
    bench.put("a/b.txt", "x")
    assert "is a folder" in await bench.refusal(WRITE, path="a", content="x")
    assert "not a folder" in await bench.refusal(WRITE, path="a/b.txt/c", content="x")


@contextmanager
def full_disk():
    """Files can't grow past 64 bytes: an error as a full disk gives, at the same call. Not even pytest may write meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_the_old_file_and_nothing_else(bench):
    path = bench.put_seen("a.txt", "old\n")
    with full_disk():
        told = await bench.refusal(WRITE, path="a.txt", content="x" * 10_000)
    assert "File too large" in told
    assert path.read_bytes() == b"old\n"
    assert bench.names() == ["a.txt"]


def test_output_that_can_not_be_kept_is_still_told(bench):
    with full_disk():
        gated = gate("word\n" * 10_000, bench.ctx.spill, ToolLimits(output_tokens=100))
    assert gated.spill is None
    assert "could not be kept: File too large" in gated.text
    assert gated.text.startswith("word\n")
    assert list(bench.ctx.spill.folder.iterdir()) == []


async def test_names_can_not_forge_a_line_for_people(bench):
    args = WRITE.parse('{"path": "a\\u001b[2Kb\\u202e\\n\\ud800", "content": ""}')
    assert WRITE.title(args) == "write a\\x1b[2Kb\\u202e\\n?"
