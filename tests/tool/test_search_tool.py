"""Searching by content and by name: bounded, the same every time, and only in the workspace."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from mohist.agent.tool import GlobTool, ReadTool, SearchTool, SymbolsTool, ToolError

SEARCH = SearchTool()
GLOB = GlobTool()


async def test_matches_are_told_by_file_and_line(searching):
    searching.put("b.py", "import os\nx = os.sep\n")
    searching.put("a/a.py", "pass\nimport os\n")
    result = await searching.call(SEARCH, pattern=r"import \w+")
    assert result.text == "a/a.py\n2:import os\n\nb.py\n1:import os\n[2 lines]"
    assert result.summary == "2 lines"


async def test_context_lines_are_marked_and_gaps_shown(searching):
    searching.put("a.txt", "1\nx\n3\n4\n5\n6\nx\n8\n")
    text = (await searching.call(SEARCH, pattern="x", context=1)).text
    assert text.startswith("a.txt\n1-1\n2:x\n3-3\n--\n6-6\n7:x\n8-8\n[2 lines")


async def test_files_and_counts(searching):
    searching.put("a.txt", "x\nx x\n")
    searching.put("b.txt", "x\n")
    searching.put("c.md", "x\n")
    assert (await searching.call(SEARCH, pattern="x", mode="files")).text == "a.txt\nb.txt\nc.md\n[3 files]"
    text = (await searching.call(SEARCH, pattern="x", mode="count", glob="*.txt")).text
    assert text == "2\ta.txt\n1\tb.txt\n[3 lines]"


async def test_a_broken_expression_is_told_and_literal_text_is_not_one(searching):
    searching.put("a.txt", "call(\n-e x\n")
    told = await searching.refusal(SEARCH, pattern="call(")
    assert "unclosed group" in told
    assert "literal=true" in told
    assert "1:call(" in (await searching.call(SEARCH, pattern="call(", literal=True)).text
    assert "2:-e x" in (await searching.call(SEARCH, pattern="-e x")).text


async def test_nothing_found_is_no_error(searching):
    searching.put("a.txt", "x\n")
    assert (await searching.call(SEARCH, pattern="zebra")).text == "[no match]"
    assert (await searching.call(GLOB, pattern="*.zebra")).text == "[no file]"


async def test_ignored_files_and_git_are_left_out_hidden_ones_are_not(searching):
    searching.put(".gitignore", "out/\n")
    searching.put("out/a.txt", "needle")
    searching.put(".git/a.txt", "needle")
    searching.put(".hidden/a.txt", "needle")
    assert (await searching.call(SEARCH, pattern="needle", mode="files")).text == ".hidden/a.txt\n[1 files]"
    assert (await searching.call(GLOB, pattern="a.txt")).text == ".hidden/a.txt"


async def test_matches_are_capped_per_file_and_in_all(searching):
    searching.limit(search_matches=5, search_matches_per_file=3)
    searching.put("a.txt", "x\n" * 100)
    searching.put("b.txt", "x\n" * 100)
    rows = (await searching.call(SEARCH, pattern="x")).text.split("\n")
    assert rows[:4] == ["a.txt", "1:x", "2:x", "3:x"]
    assert rows[4:8] == ["", "b.txt", "1:x", "2:x"]
    assert rows[8].startswith("[5 lines and more; there is more")
    assert "at most 3 lines a file" in rows[8]


async def test_a_file_that_is_named_is_capped_only_as_a_whole(searching):
    searching.limit(search_matches=5, search_matches_per_file=3)
    searching.put("a.txt", "x\n" * 5)
    searching.put("b.txt", "x\n" * 6)
    assert (await searching.call(SEARCH, pattern="x", path="a.txt")).text.endswith("5:x\n[5 lines]")
    assert (await searching.call(SEARCH, pattern="x", path="b.txt")).text.endswith(
        "5:x\n[5 lines and more; there is more: narrow by path or glob, or use mode=files]"
    )


async def test_a_long_line_is_shown_around_its_match(searching):
    searching.put("a.js", "x" * 50_000 + "needle" + "y" * 50_000 + "\n")
    text = (await searching.call(SEARCH, pattern="needle")).text
    assert "xneedley" in text
    assert "[column 50001 of 100006]" in text
    assert len(text) < 700


async def test_what_is_not_utf8_is_found_and_escaped(searching):
    searching.put("a.txt", b"caf\xe9 x\n")
    (searching.root / os.fsdecode(b"n\xe4me.txt")).write_bytes(b"caf x\n")
    text = (await searching.call(SEARCH, pattern="caf")).text
    assert "1:caf\\xe9 x" in text
    assert "n\\xe4me.txt" in text


async def test_long_output_is_gated_and_the_rest_can_be_searched(searching):
    searching.limit(output_tokens=300)
    for number in range(30):
        searching.put(f"f{number:02}.txt", "some words around the needle here\n" * 3)
    result = await searching.call(SEARCH, pattern="needle")
    (name,) = result.spilled
    assert f"spill:{name}" in result.text
    again = await searching.call(SEARCH, pattern="f17", path=f"spill:{name}")
    assert again.text.startswith(f"spill:{name}\n")
    assert "f17.txt" in again.text
    assert "f17.txt" in (await searching.call(ReadTool(), path=f"spill:{name}", offset=85, limit=10)).text


async def test_a_symlink_out_of_the_workspace_is_not_searched(searching, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.txt").write_text("needle", "utf-8")
    (searching.root / "link").symlink_to(tmp_path / "secret")
    assert (await searching.call(SEARCH, pattern="needle")).text == "[no match]"
    for path in ("link", str(tmp_path / "secret")):
        assert "workspace" in await searching.refusal(SEARCH, pattern="needle", path=path)


async def test_binary_files_and_fifos_do_not_stop_a_search(searching):
    os.mkfifo(searching.root / "pipe")
    searching.put("a.bin", b"\0" * 100 + b"needle")
    searching.put("a.txt", "needle\n")
    assert "is a FIFO" in await searching.refusal(SEARCH, pattern="needle", path="pipe")
    with (searching.root / "big.bin").open("wb") as file:
        file.truncate(2 * 1024**3)
    assert (await searching.call(SEARCH, pattern="needle", mode="files")).text == "a.txt\n[1 files]"


async def test_without_a_sandbox_nothing_is_started(searching):
    searching.ctx = replace(searching.ctx, sandbox=None)
    with pytest.raises(ToolError) as caught:
        await searching.call(SEARCH, pattern="x")
    assert caught.value.audience == "operator"


async def test_names_come_newest_first(searching):
    for age, name in enumerate(("c.py", "a.py", "sub/b.py")):
        path = searching.put(name, "")
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert (await searching.call(GLOB, pattern="*.py")).text == "c.py\na.py\nsub/b.py"
    searching.limit(glob_paths=2)
    assert (await searching.call(GLOB, pattern="*.py")).text == "c.py\na.py\n[1 more files; narrow the pattern]"


@pytest.mark.parametrize(
    ("pattern", "folder", "found"),
    [
        ("*.py", ".", "s[u]b/deep/a.py s[u]b/b.py"),
        ("*.py", "s[u]b/deep", "s[u]b/deep/a.py"),
        ("deep/*.py", "s[u]b", "s[u]b/deep/a.py"),
        ("./deep/*.py", "s[u]b", "s[u]b/deep/a.py"),
        ("**/deep/*.py", ".", "s[u]b/deep/a.py"),
        ("deep/*.py", ".", "[no file]"),
        ("*.{py,md}", ".", "s[u]b/deep/a.py s[u]b/b.py s[u]b/new\\nline.md"),
    ],
)
async def test_patterns_with_a_slash_count_from_the_folder(searching, pattern, folder, found):
    for name in ("s[u]b/deep/a.py", "s[u]b/b.py", "s[u]b/new\nline.md"):
        os.utime(searching.put(name, ""), (1, 1))
    os.utime(searching.root / "s[u]b/b.py", (0, 0))
    os.utime(searching.root / "s[u]b/new\nline.md", (-1, -1))
    assert (await searching.call(GLOB, pattern=pattern, path=folder)).text == "\n".join(found.split(" ")).replace(
        "[no\nfile]", "[no file]"
    )


async def test_a_broken_name_pattern_is_told(searching):
    searching.put("a", "")
    assert "unclosed" in await searching.refusal(GLOB, pattern="{a")
    assert "can't exclude" in await searching.refusal(GLOB, pattern="!a")
    assert "not a folder" in await searching.refusal(GLOB, pattern="*", path="a")


SOURCES = {
    "a.py": ("LIMIT_S = 3\nclass Gate:\n    def open(self,\n             key) -> bool:\n        return True\n\nasync def run(): ...\n",
             ["1-1\tLIMIT_S = 3", "2-5\tclass Gate", "3-5\t  def open(self, key) -> bool", "7-7\tasync def run()"]),
    "a.js": ("export class Gate {\n  open(key) { return 1 }\n}\nconst run = async (x) => {\n}\nfunction f() {}\n",
             ["1-3\tclass Gate", "2-2\t  open(key)", "4-5\trun = async (x) =>", "6-6\tfunction f()"]),
    "a.ts": ("interface Key { id: string }\nexport type Id = string\nenum Mode { A }\nabstract class G { abstract open(k: Key): void }\n",
             ["1-1\tinterface Key", "2-2\ttype Id = string", "3-3\tenum Mode", "4-4\tabstract class G", "4-4\t  abstract open(k: Key): void"]),
    "a.tsx": ("export function App(p: P) { return <div/> }\n", ["1-1\tfunction App(p: P)"]),
    "a.go": ("package a\ntype Gate struct {\n\tx int\n}\nfunc (g *Gate) Open(k string) bool { return true }\nfunc Run() {}\n",
             ["2-4\tGate struct { x int }", "5-5\tfunc (g *Gate) Open(k string) bool", "6-6\tfunc Run()"]),
    "a.rs": ("pub struct Gate;\nimpl Gate {\n    pub fn open(&self) -> bool { true }\n}\ntrait T { fn t(&self); }\n",
             ["1-1\tpub struct Gate;", "2-4\timpl Gate", "3-3\t  pub fn open(&self) -> bool", "5-5\ttrait T", "5-5\t  fn t(&self);"]),
    "A.java": ("public class Gate {\n  Gate() {}\n  public boolean open(String k) { return true; }\n  enum Mode { A }\n}\n",
               ["1-5\tpublic class Gate", "2-2\t  Gate()", "3-3\t  public boolean open(String k)", "4-4\t  enum Mode"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
async def test_the_outline_of_a_file_shows_its_definitions(bench, name):
    source, rows = SOURCES[name]
    bench.put(name, source)
    assert (await bench.call(SymbolsTool(), path=name)).text == "\n".join(rows)


async def test_the_map_of_a_folder_shows_what_is_used_most_within_its_budget(searching):
    searching.put("core.py", "class Engine:\n    pass\n\nclass Spare:\n    pass\n")
    for number in range(20):
        searching.put(
            f"use{number}.py", f"from core import Engine\n\ndef call_number_{number}():\n    return Engine()\n"
        )
    searching.put("notes.md", "Engine")
    searching.limit(map_tokens=60)
    tool = SymbolsTool()
    text = (await searching.call(tool, path=".")).text
    assert text.startswith("core.py\n1-2\tclass Engine\n")
    assert "[22 definitions in 21 of 21 source files" in text
    assert len(text) < 60 * 4 + 100
    assert "call_number_17()" in (await searching.call(tool, path=".", focus="number_17")).text.split("\n")[1]
    searching.put("core.py", "class Motor:\n    pass\n")
    assert "Engine" not in (await searching.call(tool, path=".")).text


async def test_symbols_say_what_they_do_not_know(searching):
    searching.put("a.txt", "x")
    assert "no language" in await searching.refusal(SymbolsTool(), path="a.txt")
    assert "does not exist" in await searching.refusal(SymbolsTool(), path="b.py")
    assert (await searching.call(SymbolsTool())).text == "[no source file in a known language]"
