"""Bounded memory for unbounded output: head, tail, count, and the whole in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.sandbox import SandboxError
from mohist.sandbox.capture import Capture


@given(st.lists(st.binary(max_size=40)), st.integers(2, 60))
def test_head_and_tail_are_kept_exactly_however_it_is_cut(chunks: list[bytes], limit: int) -> None:
    capture = Capture(limit)
    for chunk in chunks:
        capture.add(chunk)
    whole = b"".join(chunks)
    if len(whole) <= limit:
        assert capture.content() == whole
        assert not capture.truncated
    else:
        head, tail = whole[: limit // 2], whole[-(limit - limit // 2) :]
        missing = len(whole) - len(head) - len(tail)
        assert capture.content() == head + f"\n[... {missing} bytes not shown ...]\n".encode() + tail
        assert capture.truncated


def test_the_spill_file_gets_every_byte_and_is_never_overwritten(tmp_path: Path) -> None:
    capture = Capture(4, tmp_path / "spill")
    for part in (b"abc", b"defgh", b"ijk"):
        capture.add(part)
    capture.close()
    assert (tmp_path / "spill").read_bytes() == b"abcdefghijk"
    with pytest.raises(SandboxError, match="can't be made"):
        Capture(4, tmp_path / "spill")
