"""Evidence is written whole, read back as it was, and shows every character."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.vet import (
    CERTAINTIES,
    SEVERITIES,
    Dossier,
    DossierError,
    Evidence,
    Finding,
    Record,
    Unread,
    printable,
    ranked,
)

TEXT = st.text(max_size=30)
EVIDENCE = st.builds(
    Evidence,
    TEXT,
    TEXT,
    st.integers(-1, 10**12),
    st.integers(0, 10**6),
    st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
)
FINDINGS = st.builds(
    Finding,
    TEXT,
    TEXT,
    st.sampled_from(SEVERITIES),
    st.sampled_from(CERTAINTIES),
    st.just("static"),
    TEXT,
    st.lists(EVIDENCE, max_size=3).map(tuple),
    TEXT,
)


@given(st.lists(FINDINGS, max_size=5), st.lists(st.builds(Unread, TEXT, TEXT), max_size=3))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, findings: list[Finding], unread: list[Unread]
) -> None:
    dossier = Dossier(tmp_path_factory.mktemp("dossier"))
    record = Record("static", "npm:x@1.0.0", {"n": 1, "list": ["a"]}, ranked(findings), tuple(unread))
    first = dossier.write(record)
    assert dossier.read("static") == record
    assert dossier.write(record) == first
    assert dossier.records() == (record,)


def test_a_step_that_is_not_done_is_none(tmp_path: Path) -> None:
    assert Dossier(tmp_path).read("behave") is None


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"schema":"other/9","step":"static"}', b"\xff"])
def test_damaged_evidence_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "static.json").write_bytes(data)
    with pytest.raises(DossierError):
        Dossier(tmp_path).read("static")


@pytest.mark.parametrize("name", ["../out", "/out", "", "a/../../b", "a\0b"])
def test_what_is_attached_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DossierError):
        Dossier(tmp_path / "d").attach(name, b"x")
    assert list(tmp_path.iterdir()) == []


def test_attachments_are_named_by_their_path_in_the_folder(tmp_path: Path) -> None:
    dossier = Dossier(tmp_path)
    path = dossier.attach("requests/1.json", b"x")
    assert path == "files/requests/1.json"
    assert dossier.attached(path) == b"x"
    assert ((tmp_path / path).stat().st_mode & 0o077) == 0


@given(st.text())
def test_an_excerpt_hides_nothing(text: str) -> None:
    shown = printable(text, 10_000)
    assert shown.isascii()
    assert all(" " <= character <= "~" for character in shown)
    assert len(printable(text, 20)) <= 20 * 10 + 10


def test_the_gravest_and_surest_come_first() -> None:
    findings = [
        Finding("r", "t", severity, certainty, "static", "", (), "")
        for severity in SEVERITIES
        for certainty in CERTAINTIES
    ]
    order = [(one.severity, one.certainty) for one in ranked(findings)]
    assert order[:3] == [("high", "observed"), ("high", "likely"), ("high", "possible")]
    assert order[-1] == ("info", "possible")
