"""Edits change what they name and nothing else, or nothing at all."""

from __future__ import annotations

from typing import Any

import pytest

from mohist.agent.tool import EditTool, ReadTool, ToolArgumentError, WriteTool
from mohist.base import sha256_hex

EDIT = EditTool()


def one(old: str, new: str, **more: Any) -> list[dict[str, Any]]:
    return [{"old": old, "new": new, **more}]


async def test_an_exact_match_is_replaced_and_told_as_a_diff(bench):
    path = bench.put_seen("src/app.py", "a = 1\nb = 2\nc = 3\n")
    before = sha256_hex(path.read_bytes())
    result = await bench.call(EDIT, path="src/app.py", edits=one("b = 2", "b = 20"))
    assert path.read_bytes() == b"a = 1\nb = 20\nc = 3\n"
    assert "-b = 2\n+b = 20\n" in result.diff
    assert result.diff.rstrip("\n") in result.text
    assert result.summary == "+1 -1 src/app.py"
    (written,) = result.written
    assert (written.path, written.before_sha256, written.after_sha256) == (path, before, sha256_hex(path.read_bytes()))


async def test_a_second_edit_needs_no_second_read(bench):
    path = bench.put_seen("a.txt", "one\ntwo\n")
    await bench.call(EDIT, path="a.txt", edits=one("one", "1"))
    await bench.call(EDIT, path="a.txt", edits=one("two", "2"))
    assert path.read_bytes() == b"1\n2\n"


async def test_a_file_that_was_not_read_is_not_edited(bench):
    path = bench.put("a.txt", "one\n")
    assert "have not read it" in await bench.refusal(EDIT, path="a.txt", edits=one("one", "two"))
    assert path.read_bytes() == b"one\n"
    await bench.call(ReadTool(), path="a.txt")
    await bench.call(EDIT, path="a.txt", edits=one("one", "two"))


async def test_what_a_person_changed_meanwhile_is_shown_and_kept(bench):
    path = bench.put_seen("a.txt", "one\ntwo\n")
    path.write_bytes(b"one\nTWO by hand\n")
    told = await bench.refusal(EDIT, path="a.txt", edits=one("one", "1"))
    assert "changed by someone else" in told
    assert "-two\n+TWO by hand" in told
    assert path.read_bytes() == b"one\nTWO by hand\n"
    await bench.call(EDIT, path="a.txt", edits=one("one", "1"))
    assert path.read_bytes() == b"1\nTWO by hand\n"


async def test_a_change_too_long_to_show_asks_for_a_new_read(bench):
    bench.limit(diff_tokens=50)
    path = bench.put_seen("a.txt", "one\n" * 10)
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(500)))
    for _ in range(2):
        told = await bench.refusal(EDIT, path="a.txt", edits=one("line 7\n", "x\n"))
        assert "Read it again" in told
        assert len(told) < 300


async def test_an_ambiguous_match_lists_its_lines(bench):
    path = bench.put_seen("a.txt", "x\ny\nx\nz\nx\n")
    told = await bench.refusal(EDIT, path="a.txt", edits=one("x", "q"))
    assert "3 places: lines 1, 3, 5 of 5" in told
    assert path.read_bytes() == b"x\ny\nx\nz\nx\n"


async def test_overlapping_places_are_ambiguous_too(bench):
    bench.put_seen("a.txt", "aaa\n")
    assert "2 places" in await bench.refusal(EDIT, path="a.txt", edits=one("aa", "b"))


async def test_all_replaces_every_occurrence(bench):
    path = bench.put_seen("a.txt", "x\ny\nx\n")
    await bench.call(EDIT, path="a.txt", edits=one("x", "q", all=True))
    assert path.read_bytes() == b"q\ny\nq\n"


async def test_several_edits_are_done_together_or_not_at_all(bench):
    path = bench.put_seen("a.txt", "one\ntwo\nthree\n")
    edits = [{"old": "one", "new": "1"}, {"old": "nowhere to be found", "new": "2"}]
    assert "Edit 2 of 2" in await bench.refusal(EDIT, path="a.txt", edits=edits)
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    await bench.call(EDIT, path="a.txt", edits=[{"old": "three", "new": "3"}, {"old": "one", "new": "1\n1b"}])
    assert path.read_bytes() == b"1\n1b\ntwo\n3\n"


async def test_edits_of_the_same_text_are_refused(bench):
    path = bench.put_seen("a.txt", "one two three\n")
    edits = [{"old": "one two", "new": "1 2"}, {"old": "two three", "new": "II III"}]
    assert "same text" in await bench.refusal(EDIT, path="a.txt", edits=edits)
    assert path.read_bytes() == b"one two three\n"


async def test_what_is_not_found_shows_the_nearest_lines(bench):
    bench.put_seen("a.py", "def compute(total):\n    return total * rate\n")
    told = await bench.refusal(EDIT, path="a.py", edits=one("return total + rates", "return 0"))
    assert "2\t    return total * rate" in told


async def test_copied_line_numbers_are_named_as_the_cause(bench):
    bench.put_seen("a.py", "a = 1\nb = 2\n")
    assert "line numbers" in await bench.refusal(EDIT, path="a.py", edits=one("1\ta = 1\n2\tb = 2", "c"))


async def test_an_edit_already_done_says_so(bench):
    bench.put_seen("a.py", "a = 1\nb = 20\n")
    assert "already stands at line 2" in await bench.refusal(EDIT, path="a.py", edits=one("b = 2\n", "b = 20\n"))


@pytest.mark.parametrize(("old", "new", "word"), [("", "x", "empty"), ("one", "one", "same")])
async def test_an_edit_that_means_nothing_is_an_error(bench, old, new, word):
    bench.put_seen("a.txt", "one\n")
    assert word in await bench.refusal(EDIT, path="a.txt", edits=one(old, new))


@pytest.mark.parametrize(
    ("content", "old", "new", "after", "tier"),
    [
        ("a  \nb\t\nc\n", "a\nb\nc", "a\nB\nc", "a  \nB\nc\n", "trailing whitespace"),
        ("a\nb  ", "a \nb\n", "a \nB\n", "a\nB", "trailing whitespace"),
        ("a  \nb\n", "a\nb\n", "", "", "trailing whitespace"),
        ("x\na  \nb\n", "a\nb\n", "a\n", "x\na  \n", "trailing whitespace"),
        ("a  \nb\n", "a\nb", "a\nb\nc", "a  \nb\nc\n", "trailing whitespace"),
        ("if x:\n    def f():\n        go()\n", "def f():\n    go()\n    end()", None, None, None),
        ("if x:\n    def f():\n        go()\n", "def f():\n    go()\n", "def f():\n    stop()\n",
         "if x:\n    def f():\n        stop()\n", "indentation"),
        ("class A:\n  x = 1\n  y = 2\n", "    x = 1\n    y = 2", "    x = 1\n\n    z = 3\n    y = 2",
         "class A:\n  x = 1\n\n  z = 3\n  y = 2\n", "indentation"),
        ("\tif x:\n\t\ty()\n", "if x:\n\ty()", "if x:\n\tz()", "\tif x:\n\t\tz()\n", "indentation"),
        ("say “hi” – now\n", 'say "hi" - now', 'say "hi" - later', "say “hi” – later\n", "look-alike"),
        ("a\u00a0= 1\n", "a = 1", "a = 2", "a\u00a0= 2\n", "look-alike"),
        ("say “hi” – now\n", 'say "hi" - now', 'yell "hi" - now', "yell “hi” – now\n", "look-alike"),
    ],
)  # fmt: skip
async def test_tolerance_stays_inside_the_span_and_is_told(bench, content, old, new, after, tier):
    path = bench.put_seen("a.txt", content)
    if tier is None:
        assert "not found" in await bench.refusal(EDIT, path="a.txt", edits=one(old, "x"))
        return
    result = await bench.call(EDIT, path="a.txt", edits=one(old, new))
    assert path.read_bytes().decode() == after
    assert f"but for {tier}" in result.text


async def test_a_tolerant_match_must_be_unique_too(bench):
    bench.put_seen("a.txt", "  x = 1\nmore\n    x = 1\n")
    assert "2 places (but for indentation): lines 1, 3" in await bench.refusal(
        EDIT, path="a.txt", edits=one(" x = 1 ", "y")
    )


async def test_lines_between_unlike_indentations_do_not_match(bench):
    bench.put_seen("a.py", "if a:\n        b\n")
    assert "not found" in await bench.refusal(EDIT, path="a.py", edits=one("  if a:\n      b", "c"))


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\nc\r\n", "b\nc", "b\nB\nc", b"a\r\nb\r\nB\r\nc\r\n"),
        (b"a\r\nb\nc\r\n", "b", "x\ny", b"a\r\nx\ny\nc\r\n"),
        (b"a\r\nb\nc\r\n", "a\nb\nc", "A\nB\nC", b"A\r\nB\nC\r\n"),
        (b"a\r\nb", "b", "b\nc", b"a\r\nb\r\nc"),
        (b"\xef\xbb\xbfa\nb\n", "a", "A", b"\xef\xbb\xbfA\nb\n"),
        ("\ufeffa\r\nб\r\n".encode("utf-16-le"), "б", "ж", "\ufeffa\r\nж\r\n".encode("utf-16-le")),
        ("\ufeffa\nb\n".encode("utf-16-be"), "a", "ä", "\ufeffä\nb\n".encode("utf-16-be")),
        ("价格 = 1\n说明\n".encode("gb18030"), "价格 = 1", "价格 = 2", "价格 = 2\n说明\n".encode("gb18030")),
        ("café = 1\n".encode("latin-1"), "= 1", "= 2", "café = 2\n".encode("latin-1")),
        (b"a\rb\r\nc\n", "c", "d", b"a\rb\r\nd\n"),
        (b"a\x0cb\x0b\xe2\x80\xa8c\nd\n", "d", "e", b"a\x0cb\x0b\xe2\x80\xa8c\ne\n"),
    ],
)
async def test_endings_mark_and_encoding_stay(bench, before, old, new, after):
    path = bench.put_seen("a.txt", before)
    await bench.call(EDIT, path="a.txt", edits=one(old, new))
    assert path.read_bytes() == after


async def test_text_that_the_encoding_can_not_hold_is_refused(bench):
    before = "café\n".encode("latin-1")
    path = bench.put_seen("a.txt", before)
    assert "can't hold '价'" in await bench.refusal(EDIT, path="a.txt", edits=one("caf", "价"))
    assert path.read_bytes() == before


async def test_an_edit_that_breaks_the_syntax_is_told(bench):
    bench.put_seen("a.py", "def f():\n    return (1 + 2)\n")
    result = await bench.call(EDIT, path="a.py", edits=one("2)", "2"))
    assert result.ok
    assert "no longer parses" in result.text
    assert "line 2" in result.text


async def test_a_file_that_was_broken_before_is_not_told_again(bench):
    bench.put_seen("a.py", "def f(:\n    return 1\n")
    assert "parses" not in (await bench.call(EDIT, path="a.py", edits=one("return 1", "return 2"))).text


async def test_mode_stays_and_no_other_file_is_left(bench):
    path = bench.put_seen("run.sh", "echo 1\n")
    path.chmod(0o754)
    await bench.call(EDIT, path="run.sh", edits=one("1", "2"))
    assert path.stat().st_mode & 0o7777 == 0o754
    assert bench.names() == ["run.sh"]


async def test_a_read_only_file_is_left_alone(bench):
    path = bench.put_seen("a.txt", "one\n")
    path.chmod(0o444)
    assert "read-only" in await bench.refusal(EDIT, path="a.txt", edits=one("one", "two"))
    assert path.read_bytes() == b"one\n"
    assert bench.names() == ["a.txt"]


async def test_a_file_past_the_size_bound_is_not_loaded(bench):
    path = bench.root / "big.txt"
    with path.open("wb") as file:
        file.truncate(2 * 1024**3)
    assert "2,147,483,648 bytes" in await bench.refusal(EDIT, path="big.txt", edits=one("a", "b"))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ('{"path": "a", "edits": [{"old": "x", "new": "y"}', "not valid JSON"),
        ('{"path": "a", "edits": "x -> y"}', "list of objects"),
        ('{"path": "a", "edits": [{"old": "x", "new": 5}]}', "edits[0].new"),
        ('{"path": "a", "edits": []}', "empty"),
        ('{"path": "a", "edits": [{"old": "x", "old": "z", "new": "y"}]}', "twice"),
        ('{"path": "a", "edits": [{"old": "x", "new": "y", "al": true}]}', "'all'"),
        ('["a"]', "JSON object"),
        ('{"edits": []}', "'path'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, word):
    with pytest.raises(ToolArgumentError) as caught:
        EDIT.parse(arguments)
    assert word in str(caught.value)


def test_the_shape_of_edits_is_mended_but_never_their_text():
    wanted = EDIT.parse('{"path": "a", "edits": [{"old": "x\\\\n", "new": "1", "all": "true"}]}')
    assert wanted.edits[0].old == "x\\n"
    assert (
        EDIT.parse('{"path": "a", "edits": "[{\\"old\\": \\"x\\\\\\\\n\\", \\"new\\": \\"1\\", \\"all\\": true}]"}')
        == wanted
    )


async def test_access_names_the_file_to_save_before(bench):
    path = bench.put("src/a.txt", "x")
    access = EDIT.access(EDIT.parse('{"path": "./src/../src/a.txt", "edits": [{"old": "x", "new": "y"}]}'), bench.ctx)
    assert access.writes == {path}
    assert access.effect == "local"
    assert access.scope == "edit src/a.txt"
    write = WriteTool()
    assert write.access(write.parse('{"path": "b", "content": ""}'), bench.ctx).writes == {bench.root / "b"}
