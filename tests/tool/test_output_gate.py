"""Long output is cut in the middle, kept whole, and can be found again. The declarations stay small."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohist.agent.tool import (
    EditTool,
    FileLedger,
    GlobTool,
    ReadTool,
    SearchTool,
    SpillStore,
    SymbolsTool,
    ToolLimits,
    WriteTool,
    gate,
    schema_tokens,
    tokens_of,
)
from mohist.base import sha256_hex


@pytest.fixture
def store(tmp_path):
    return SpillStore(tmp_path / "spill")


def test_what_fits_is_not_touched_and_nothing_is_stored(store):
    assert gate("short\n", store, ToolLimits()).text == "short\n"
    assert not store.folder.exists()


def test_the_notice_names_the_lines_left_out_and_where_they_are(store):
    text = "".join(f"line {number}\n" for number in range(1, 1_001))
    gated = gate(text, store, ToolLimits(output_tokens=200), kind="shell")
    head, notice, tail = gated.text.partition("[lines ")[0], gated.text.split("[")[1], gated.text.rpartition("]\n")[2]
    first, last = notice.split(" ")[1].split("-")
    assert head.endswith(f"line {int(first) - 1}\n")
    assert tail.startswith(f"line {int(last) + 1}\n")
    assert tail.endswith("line 1000\n")
    assert "of 1000 left out" in notice
    assert sha256_hex(text.encode())[:16] in notice
    assert gated.spill.address in notice
    assert store.path(gated.spill.address).read_bytes() == text.encode()
    assert gated.spill.lines == 1_000


def test_many_short_lines_are_cut_too(store):
    gated = gate("\n" * 5_000, store, ToolLimits(read_lines=100))
    assert gated.text.count("\n") <= 102


def test_one_endless_line_keeps_its_start_and_its_end(store):
    gated = gate("<" + "x" * 100_000 + ">", store, ToolLimits(output_tokens=200))
    assert gated.text.startswith("<xxx")
    assert gated.text.endswith("xxx>")
    assert tokens_of(gated.text) <= 200


def test_raw_bytes_are_stored_as_they_came(store):
    raw = b"\xff" * 1_000
    gated = gate(raw.decode("utf-8", "replace"), store, ToolLimits(output_tokens=100), raw=raw)
    assert store.path(gated.spill.name).read_bytes() == raw


def test_the_same_output_is_the_same_spill_for_its_owner_only(store):
    first, second = store.put(b"x", "shell"), store.put(b"x", "shell")
    assert first == second
    assert [path.name for path in store.folder.iterdir()] == [first.name]
    assert store.path(first.name).stat().st_mode & 0o077 == 0
    assert store.folder.stat().st_mode & 0o077 == 0


def test_a_link_planted_in_the_spill_folder_is_no_spill(store, tmp_path):
    store.put(b"x")
    (store.folder / "output-0.txt").symlink_to("/etc/passwd")
    assert store.path("spill:output-0.txt") is None


def test_the_file_tools_cost_little_in_every_request():
    tools = [ReadTool(), SearchTool(), GlobTool(), EditTool(), WriteTool(), SymbolsTool()]
    assert [tool.name for tool in tools if schema_tokens(tool) > 200] == []
    assert sum(schema_tokens(tool) for tool in tools) < 700


def test_the_ledger_forgets_old_contents_but_no_hash():
    ledger = FileLedger(keep_bytes=10)
    for name in "abc":
        ledger.saw(Path(name), name, b"12345")
    assert ledger.last(Path("a")).content is None
    assert ledger.last(Path("a")).sha256 == "a"
    assert ledger.last(Path("c")).content == b"12345"
    ledger.saw(Path("c"), "c2", b"x" * 11)
    assert ledger.last(Path("c")).content is None
    later = FileLedger()
    later.restore(ledger.hashes())
    assert later.last(Path("b")).sha256 == "b"
    assert later.last(Path("d")) is None
