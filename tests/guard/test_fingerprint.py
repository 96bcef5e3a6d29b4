"""A part of a registered repository is recognised wherever it turns up; other code is not taken for it."""

from __future__ import annotations

import keyword
import random
import re
import sysconfig
from pathlib import Path

import pytest

from mohist.guard import Block, GuardDataError, GuardRuleError, Hit, View
from mohist.guard.fingerprint import (
    FingerprintDetector,
    Index,
    Repository,
    Source,
    fingerprint_detector,
    learn,
    public,
    read_index,
    write_index,
)
from mohist.guard.fingerprint.commonplace import Commonplace, commonplace
from mohist.guard.fingerprint.lesson import its_own, without_licence
from mohist.guard.fingerprint.stretch import chunks
from mohist.guard.fingerprint.token import CHUNK_BYTES, OVERLAP_BYTES, SEPARATOR, tokens

SEED = 20261123
GOLDEN, OLD_GOLDEN = (Path(__file__).with_name("data") / f"fingerprints-{number}.bin" for number in (2, 1))
LIBRARY = Path(sysconfig.get_path("stdlib"))
"""The code of Python itself: at hand everywhere, by many hands, and of several projects' habits."""
WORD = re.compile(r"[A-Za-z_]\w*")


def sources(*packages: str) -> list[Source]:
    return [
        Source(path.name, path.read_bytes())
        for package in packages
        for path in sorted((LIBRARY / package).glob("*.py"))
    ]


CLASSIFIED = sources("asyncio", "http")
LEARNT = learn("engine", "source.restricted", CLASSIFIED)
DETECTOR = fingerprint_detector(Index([LEARNT.repository]))


def hits(text: str, detector: FingerprintDetector = DETECTOR) -> list[Hit]:
    return list(detector.detect(View(text), Block(text, "user"), {}))


LINES = "\n".join((LIBRARY / "http" / "cookiejar.py").read_text(encoding="utf-8").splitlines()[1050:1090]) + "\n"


def excerpts(lines: int, count: int) -> list[str]:
    draw = random.Random(SEED)
    out: list[str] = []
    while len(out) < count:
        rows = [row for row in draw.choice(CLASSIFIED).data.decode("utf-8").splitlines() if row.strip()]
        if len(rows) > lines + 20:
            at = draw.randrange(15, len(rows) - lines)
            out.append("\n".join(rows[at : at + lines]) + "\n")
    return out


def renamed(text: str, share: float, draw: random.Random) -> str:
    names = sorted({word for word in WORD.findall(text) if not keyword.iskeyword(word)})
    new = {name: f"x{name[::-1]}" for name in names if draw.random() < share}
    return WORD.sub(lambda match: new.get(match[0], match[0]), text)


def test_ten_lines_are_found() -> None:
    texts = excerpts(10, 100)
    assert sum(bool(hits(f"Please look at this:\n\n{text}\nthanks")) for text in texts) >= 95


def test_ten_lines_are_found_with_a_fifth_of_the_names_changed_and_indented_otherwise() -> None:
    draw = random.Random(SEED)
    texts = [renamed(text, 0.2, draw) for text in excerpts(10, 100)]
    indented = ["".join(f"\t\t{row.strip()}\n" for row in text.splitlines()) for text in texts]
    assert sum(bool(hits(text)) for text in indented) >= 90


def test_a_file_with_all_names_changed_is_found() -> None:
    draw = random.Random(SEED)
    large = [source.data.decode("utf-8") for source in CLASSIFIED if len(source.data) > 8000]
    assert all(hits(renamed(text, 1.0, draw)) for text in large)


def test_other_files_are_not_taken_for_it() -> None:
    others = sources(
        "email", "json", "logging", "unittest", "html", "xml/dom", "sqlite3", "urllib", "importlib", "curses"
    )
    shared = [source.path for source in others if hits(source.data.decode("utf-8"))]
    # By the same hands and without any public code taught; other projects are measured in benchmarks/guard/fingerprint.py.
    assert len(shared) <= len(others) * 0.05, shared


def test_the_hit_names_the_place_the_repository_and_its_class() -> None:
    before, text = "Grüße aus Köln, schau mal:\n\n" * 3, LINES
    (hit,) = hits(f"{before}{text}\nEnde")
    assert (hit.rule, hit.data_class) == ("fingerprint.engine", "source.restricted")
    assert len(before) - 2 <= hit.start
    assert hit.end <= len(before) + len(text) + 1
    assert "stretches" in hit.note


def test_one_stretch_that_stands_there_often_counts_once() -> None:
    index = Index([LEARNT.repository])
    (chunk,) = chunks(LINES.encode())
    known, _ = index.exact(chunk.exact)
    first, last = chunk.exact.places[known[0]], chunk.exact.places[known[0] + chunk.exact.length - 1]
    stretch = LINES.encode()[first : last + 12].decode()
    assert len(index.exact(next(chunks((stretch + "\n\n- \n").encode() * 20)).exact)[0]) >= 20
    assert hits(f"{stretch}\n\n- \n" * 20) == []


def test_public_code_counts_for_nothing() -> None:
    taught = Index([LEARNT.repository]).with_public(*public(CLASSIFIED[: len(CLASSIFIED) // 2]))
    detector = fingerprint_detector(taught)
    known, unknown = (
        CLASSIFIED[: len(CLASSIFIED) // 2],
        [one for one in CLASSIFIED[len(CLASSIFIED) // 2 :] if len(one.data) > 8000],
    )
    assert not any(hits(one.data.decode("utf-8"), detector) for one in known)
    assert all(hits(one.data.decode("utf-8"), detector) for one in unknown)


def test_what_a_repository_repeats_is_its_own() -> None:
    text = CLASSIFIED[0].data
    learnt = learn("copies", "source.restricted", [Source(f"a{at}.py", text + b"x = %d\n" % at) for at in range(6)])
    assert hits(text.decode("utf-8"), fingerprint_detector(Index([learnt.repository])))


def test_what_a_repository_repeats_is_everybodys_where_commonplaces_are_not_known() -> None:
    rows = LINES.splitlines(keepends=True)
    repeated, single = "".join(rows[:20]), "".join(rows[20:])
    files = [Source(f"a{at}.zig", f"{repeated}{single if at == 0 else ''}".encode()) for at in range(4)]
    detector = fingerprint_detector(Index([learn("copies", "source.restricted", files).repository]))
    assert not hits(repeated, detector)
    assert hits(single, detector)


def test_texts_looked_at_together_show_what_each_shows_alone() -> None:
    texts = ["Grüße aus Köln:\n" + LINES, "", LINES, "short", *excerpts(10, 20), "x = 1\n" * 200, f"{LINES}é"]
    together = DETECTOR.detect_all([View(text) for text in texts])
    assert together == [hits(text) for text in texts]
    assert sum(map(bool, together)) >= 20


def test_a_part_is_not_pieced_together_from_two_texts() -> None:
    rows = LINES.splitlines(keepends=True)
    few = next(at for at in range(4, len(rows)) if hits("".join(rows[:at])) and not hits("".join(rows[: at // 2])))
    first, second = "".join(rows[: few // 2]), "".join(rows[few // 2 : few])
    alone = [hits(first), hits(second)]
    assert DETECTOR.detect_all([View(first), View(second)]) == alone


def test_a_text_has_the_same_tokens_after_another() -> None:
    first, second = (source.data[:20_000] for source in CLASSIFIED[:2])
    together = tokens(first + SEPARATOR + second)
    for alone, behind in ((tokens(second), True), (tokens(first), False)):
        count = len(alone.exact)
        for row in ("exact", "shape"):
            joined = getattr(together, row)
            assert (joined[-count:] if behind else joined[:count]).tolist() == getattr(alone, row).tolist()


def test_renaming_changes_words_and_no_shapes() -> None:
    before = tokens(b"for row in rows:\n    total += row.amount * 7\n")
    after = tokens(b"for x in xs:\n\ttotal2  +=  x.y*7")
    assert before.shape.tolist() == after.shape.tolist()
    assert before.exact.tolist() != after.exact.tolist()
    other = tokens(b"for row in rows:\n    total += rows.amount * 7\n")
    assert before.shape.tolist() != other.shape.tolist()
    keyword = tokens(b"for row in rows:\n    while += row.amount * 7\n")
    assert before.shape.tolist() != keyword.shape.tolist()


def test_commonplaces_count_for_nothing() -> None:
    mine, others = public(CLASSIFIED[:4]), public(CLASSIFIED[4:8])
    listed = Commonplace.from_bytes(Commonplace.of(*mine).to_bytes())
    assert [len(keys) for keys in listed.own(*mine)] == [0, 0]
    # A part of a hash is kept, so a few others are taken for one.
    assert len(listed.own(*others)[0]) >= len(others[0]) * 0.95


def test_a_list_of_few_commonplaces_comes_back() -> None:
    """Far apart, where a step between two of them needs more than two bytes."""
    exact, shape = public(CLASSIFIED[:1])
    listed = Commonplace.from_bytes(Commonplace.of(exact[:3], shape[:0]).to_bytes())
    assert len(listed.own(exact[:3], shape)[0]) == 0
    assert len(listed.own(exact, shape)[1]) == len(shape)


@pytest.mark.parametrize("spoilt", [b"", b"MOHISTCP", b"MOHISTCP\x01rest", b"MOHISTCP\x02no rows"])
def test_a_damaged_list_of_commonplaces_is_refused(spoilt: bytes) -> None:
    with pytest.raises(GuardDataError):
        Commonplace.from_bytes(spoilt)


def test_a_repository_is_not_known_by_commonplaces() -> None:
    boilerplate = Source("a.py", Path(__file__).with_name("data").joinpath("boilerplate.txt").read_bytes())
    learnt = learn("with", "source.restricted", [CLASSIFIED[0], boilerplate]).repository
    exact, shape = commonplace().own(learnt.exact, learnt.shape)
    assert (len(exact), len(shape)) == (len(learnt.exact), len(learnt.shape))
    every = public([CLASSIFIED[0], boilerplate])
    assert len(learnt.exact) + len(learnt.shape) < len(every[0]) + len(every[1])


def test_everybodys_code_is_shipped_as_a_list() -> None:
    text = Path(__file__).with_name("data").joinpath("boilerplate.txt").read_bytes()
    exact, shape = public([Source("a.py", text)])
    own = commonplace().own(exact, shape)
    assert len(own[0]) + len(own[1]) <= (len(exact) + len(shape)) * 0.6


def test_a_table_that_repeats_itself_is_nobodys() -> None:
    rows = "".join(f'    ("name{at}", "value{at}"),\n' for at in range(300))
    table = f"TABLE = (\n{rows})\n"
    learnt = learn(
        "tables", "source.restricted", [Source("table.py", f"{table}{CLASSIFIED[0].data.decode('utf-8')}".encode())]
    )
    other = "".join(f'    ("key{at}", "other{at}"),\n' for at in range(300))
    assert hits(f"X = (\n{other})\n", fingerprint_detector(Index([learnt.repository]))) == []


def test_rows_that_repeat_themselves_have_no_shape() -> None:
    rows = "".join(f"    ({at}, name{at}, other{at * 7}),\n" for at in range(300))
    assert len(public([Source("a.py", rows.encode())])[1]) == 0
    same = "    name,\n" * 300
    assert [len(keys) for keys in public([Source("a.py", same.encode())])] == [0, 0]


def test_the_licence_at_a_files_head_is_everybodys() -> None:
    head = "# Copyright 2026 A\n# Licensed under the Apache License, Version 2.0\n#\n# " + "word " * 300 + "\n\n"
    assert without_licence(f"{head}x = 1\n".encode()) == b"x = 1\n"
    assert without_licence(b"# what this file does\nx = 1\n") == b"# what this file does\nx = 1\n"


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("src/a.py", b"x = 1\n", True),
        ("node_modules/a/index.js", b"x = 1\n", False),
        ("LICENSE", b"words\n", False),
        ("package-lock.json", b"{}\n", False),
        ("app.min.js", b"x\n", False),
        ("a.py", b"\0\1", False),
        ("a.js", b"x" * 100_000, False),
        ("a.py", b"", False),
    ],
)
def test_only_what_was_written_for_a_repository_is_learnt(path: str, data: bytes, expected: bool) -> None:
    assert its_own(path, data) is expected


def test_a_repository_without_anything_to_recognise_is_refused() -> None:
    with pytest.raises(GuardRuleError, match="nothing"):
        learn("empty", "source.restricted", [Source("a.py", b"x = 1\n")])


def test_a_long_text_is_looked_at_to_its_end() -> None:
    filler = "some words that nobody registered, again and again\n" * (3 * CHUNK_BYTES // 50)
    (hit,) = hits(f"{filler}{LINES}")
    assert hit.start >= len(filler) - 2


@pytest.mark.parametrize("before", [20, 300, 900, OVERLAP_BYTES + 40])
def test_a_part_that_two_chunks_share_is_found_whole(before: int) -> None:
    (alone,) = DETECTOR.runs(LINES.encode())
    filler = b"- " * (CHUNK_BYTES // 2)
    (run,) = DETECTOR.runs(filler[: CHUNK_BYTES - before] + b"\n" + LINES.encode() + filler[:5000])
    assert (run.exact, run.shape, run.end - run.start) == (alone.exact, alone.shape, alone.end - alone.start)


def test_changed_lines_do_not_make_two_parts_of_one() -> None:
    rows = LINES.splitlines(keepends=True)
    first, second = "".join(rows[:18]), "".join(rows[18:])
    near, far = "words of another hand, " * (300 // 23), "words of another hand, " * (900 // 23)
    assert len(hits(first)) == len(hits(second)) == len(hits(f"{first}{near}\n{second}")) == 1
    assert len(hits(f"{first}{far}\n{second}")) == 2


def test_short_pieces_here_and_there_are_no_part() -> None:
    rows = LINES.splitlines(keepends=True)
    pieces = ["".join(rows[at : at + 2]) for at in range(0, len(rows), 2)]
    assert not any(hits(piece * 2) for piece in pieces)
    filler = "".join(f"word{at} of another hand, " for at in range(8))
    assert len(filler) > 150
    assert hits(f"\n{filler}\n".join(pieces)) == []


def test_hashes_are_the_same_wherever_a_text_stands() -> None:
    text = CLASSIFIED[0].data
    alone = {int(one) for chunk in chunks(text) for one in chunk.exact.hashes}
    moved = {int(one) for chunk in chunks(b"  x = 1\n" * 100 + text) for one in chunk.exact.hashes}
    assert alone <= moved


def test_what_is_kept_comes_back_and_replaces_by_name() -> None:
    index = Index([LEARNT.repository]).with_public(*public(CLASSIFIED[:1]))
    again = Index.from_bytes(index.to_bytes())
    assert again.to_bytes() == index.to_bytes()
    assert again.digest == index.digest
    newer = learn("engine", "source.secret", CLASSIFIED[:3]).repository
    assert [one.data_class for one in again.with_repository(newer).repositories] == ["source.secret"]
    assert len(again.without("engine")) == 0
    with pytest.raises(GuardRuleError, match="engine"):
        again.without("other")


@pytest.mark.parametrize("at", [0, 9, 40, -1, -40])
def test_a_damaged_index_is_refused(at: int) -> None:
    content = bytearray(Index([LEARNT.repository]).to_bytes())
    content[at] ^= 1
    with pytest.raises(GuardDataError):
        Index.from_bytes(bytes(content))


@pytest.mark.parametrize("size", [0, 7, 20, 100])
def test_a_cut_index_is_refused(size: int) -> None:
    with pytest.raises(GuardDataError):
        Index.from_bytes(Index([LEARNT.repository]).to_bytes()[:size])


def test_an_index_of_this_format_is_read_for_ever() -> None:
    """The golden file was made of `sample`; where its keys change, `FORMAT` must, too."""
    index = Index.from_bytes(GOLDEN.read_bytes())
    assert [(one.name, one.data_class, one.files) for one in index.repositories] == [("sample", "source.restricted", 1)]
    assert Index([Repository("sample", "source.restricted", 1, *public([sample()]))]).to_bytes() == GOLDEN.read_bytes()


def test_an_index_of_the_format_before_is_refused_with_what_to_do() -> None:
    with pytest.raises(GuardDataError, match=r"another version of Mohist[.] Registered in it: sample") as caught:
        Index.from_bytes(OLD_GOLDEN.read_bytes())
    assert "mohist guard register" in caught.value.mend


def sample() -> Source:
    rows = [
        f"def step_{at}(value, factor={at * 7}):\n    if value > {at}:\n        return value * factor + {at * at}\n    print('{at}', value)\n"
        for at in range(9)
    ]
    rows.append("class Ledger:\n    def __init__(self, entries):\n        self.entries = sorted(entries, key=lambda row: row.when)\n        self.total = sum(row.amount for row in entries if not row.void)\n    def close(self, day):\n        open_rows = [row for row in self.entries if row.when <= day and not row.closed]\n        for row in open_rows:\n            row.closed = True\n        return len(open_rows), self.total - sum(row.amount for row in open_rows)\n")  # fmt: skip
    return Source("sample.py", "\n".join(rows).encode())


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state" / "index.bin"
    assert len(read_index(path)) == 0
    write_index(path, Index([LEARNT.repository]))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in read_index(path).repositories] == ["engine"]
    path.chmod(0o666)
    with pytest.raises(GuardDataError, match="changed by others"):
        read_index(path)
