"""A file that is made once is whole, its owner's alone, and the same for all who made it at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mohist.app.presence import is_there, make_once


def test_of_two_that_make_it_at_once_one_wins_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "state" / "some.key"
    meeting = threading.Barrier(2, timeout=60)

    def content(word: bytes) -> bytes:
        meeting.wait()
        return word

    makers = [threading.Thread(target=make_once, args=(path, lambda w=w: content(w))) for w in (b"one", b"two")]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(60)
    assert path.read_bytes() in (b"one", b"two")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_stays_and_nothing_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "some.key"
    path.write_bytes(b"kept")
    make_once(path, lambda: pytest.fail("asked"))
    assert path.read_bytes() == b"kept"


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def content() -> bytes:
        raise OSError("no randomness")

    with pytest.raises(OSError, match="no randomness"):
        make_once(tmp_path / "some.key", content)
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_nowhere_is_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert is_there(tmp_path / "link")
    assert not is_there(tmp_path / "gone")
    assert not is_there(tmp_path / "link" / "below")
