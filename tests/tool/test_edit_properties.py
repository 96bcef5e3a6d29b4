"""What holds for every file and every edit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st

from mohist.agent.tool import diff, match
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.gate import gate
from mohist.agent.tool.spec import ToolLimits, tokens_of
from mohist.agent.tool.spill import SpillStore
from mohist.agent.tool.text import Document, Splice

ENDINGS = ("\n", "\r\n")
LINE = st.text(st.sampled_from("ab \t\rä价“\u00a0\u2028x"), max_size=6)
ENCODINGS = (("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"))
FILES = st.tuples(
    st.lists(st.tuples(LINE, st.sampled_from(ENDINGS)), max_size=8),
    LINE,
    st.sampled_from(ENCODINGS),
)
NEW = st.text(st.sampled_from("ab \nä价"), max_size=8)


def document(file) -> Document:
    lines, last, (codec, bom) = file
    data = bom + "".join(line + ending for line, ending in lines).encode(codec) + last.encode(codec)
    try:
        return Document.of(data, "a.txt")
    except ToolError:
        assume(False)
        raise


@given(FILES, NEW, st.data())
def test_every_byte_outside_the_span_stays(file, new, data):
    before = document(file)
    start = data.draw(st.integers(0, len(before.view)))
    end = data.draw(st.integers(start, len(before.view)))
    after = before.spliced([Splice(start, end, new)])
    codec = before.encoding.codec
    # The span in the file, found without the code under test: walk the text, counting CRLF as one.
    text = before.data[len(before.encoding.bom) :].decode(codec)
    bounds = []
    at = 0
    for _ in range(len(before.view) + 1):
        bounds.append(at)
        at += 2 if text[at : at + 2] == "\r\n" else 1
    head = before.encoding.bom + text[: bounds[start]].encode(codec)
    tail = text[bounds[end] :].encode(codec)
    assert after.startswith(head)
    assert after.endswith(tail)
    inserted = after[len(head) : len(after) - len(tail)].decode(codec)
    assert inserted.replace("\r\n", "\n") == new


@given(FILES, st.lists(NEW, min_size=2, max_size=2), st.data())
def test_several_splices_are_as_good_as_one_after_the_other(file, news, data):
    before = document(file)
    bounds = sorted(data.draw(st.lists(st.integers(0, len(before.view)), min_size=4, max_size=4)))
    first, second = Splice(bounds[0], bounds[1], news[0]), Splice(bounds[2], bounds[3], news[1])
    assume("\r" not in before.view)
    together = before.spliced([first, second])
    halfway = Document.of(before.spliced([second]), "a.txt")
    assume(halfway.encoding == before.encoding)
    whole = Document.of(together, "a.txt")
    assert (
        whole.view
        == before.view[: bounds[0]] + news[0] + before.view[bounds[1] : bounds[2]] + news[1] + before.view[bounds[3] :]
    )


PLAIN = st.lists(st.text(st.sampled_from("ab \tä价x"), max_size=6), min_size=1, max_size=4)


@given(PLAIN, PLAIN, PLAIN, PLAIN, st.data())
def test_an_edit_and_its_reverse_restore_the_file(head, old_rows, new_rows, tail, data):
    old, new = "\n".join(["<o>" + old_rows[0], *old_rows[1:]]), "\n".join(["<n>" + new_rows[0], *new_rows[1:]])
    view = "\n".join(head) + old + "\n".join(tail)
    # In a file of mixed endings, taking newlines out loses which they were.
    mixed = new.count("\n") >= old.count("\n") and data.draw(st.booleans())
    endings = st.sampled_from(ENDINGS)
    same = data.draw(endings)
    # A file whose only newlines are in the edited span has no surroundings to take them from.
    if not mixed and view.count("\n") == old.count("\n"):
        view += "\n"
    text = "".join((data.draw(endings) if mixed else same) if char == "\n" else char for char in view)
    codec, bom = data.draw(st.sampled_from(ENCODINGS))
    before = Document.of(bom + text.encode(codec), "a.txt")
    (there,) = match.find(before, old, new, False, "Edit")
    after = Document.of(before.spliced([there.splice]), "a.txt")
    (back,) = match.find(after, new, old, False, "Edit")
    assert (there.tier, back.tier) == ("exact", "exact")
    assert after.view == "\n".join(head) + new + view[len("\n".join(head) + old) :]
    assert after.spliced([back.splice]) == before.data


@given(st.lists(LINE, max_size=10), st.lists(LINE, max_size=10))
def test_a_diff_says_all_that_changed(old, new):
    before, after = "\n".join(old), "\n".join(new)
    shown = diff.unified(before, after, "a.txt")
    assert (shown == "") == (before == after)
    if not shown:
        return
    rows = shown.split("\n")[2:-1]
    removed = [row[1:] for row in rows if row.startswith("-")]
    added = [row[1:] for row in rows if row.startswith("+")]
    assert [line for line in removed if line not in before.split("\n")] == []
    assert [line for line in added if line not in after.split("\n")] == []
    assert len(added) - len(removed) == _lines(after) - _lines(before)


def _lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and text != "")


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=150),
    st.sampled_from(["x", "ä", "价", "\ud800", "x\r"]),
    st.integers(1, 400),
    st.sampled_from([2, 5, 50, 2_000]),
)
def test_the_gate_never_exceeds_its_budget_and_the_spill_has_everything(sizes, unit, tokens, lines):
    text = "\n".join(unit * size for size in sizes)
    with tempfile.TemporaryDirectory() as folder:
        store = SpillStore(Path(folder))
        gated = gate(text, store, ToolLimits(output_tokens=tokens, read_lines=lines))
        assert tokens_of(gated.text) <= tokens
        assert gated.text.count("\n") <= lines + 2
        if gated.spill is None:
            assert gated.text == text
            return
        path = store.path(gated.spill.address)
        assert path is not None
        assert path.read_bytes() == text.encode("utf-8", "backslashreplace")
        assert gated.spill.address[: tokens * 4] in gated.text
