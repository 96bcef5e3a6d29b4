"""Pseudonyms: made at once, remembered a moment later, forgotten for good."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from mohist.ledger.name import Names

ROOT_KEY = bytes(range(32))


def rows(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as database:
        found = dict(database.execute("SELECT pseudonym, name FROM name"))
    database.close()
    return found


def test_no_pseudonym_waits_for_the_table(tmp_path: Path) -> None:
    names = Names(tmp_path / "names.db", ROOT_KEY)
    other = sqlite3.connect(tmp_path / "names.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    # Held by somebody else: an insert would wait for ten seconds and fail.
    ada = names.pseudonym("person", "ada")
    assert ada == names.find("person", "ada")
    assert names.name(ada) == "ada"
    other.execute("ROLLBACK")
    other.close()
    names.close()
    assert rows(tmp_path / "names.db") == {ada: "ada"}


def test_many_at_once_are_all_remembered(tmp_path: Path) -> None:
    names = Names(tmp_path / "names.db", ROOT_KEY)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(60)
        for each in range(100):
            names.pseudonym("session", f"{number}/{each}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    names.close()
    assert len(rows(tmp_path / "names.db")) == 800


def test_a_name_that_is_forgotten_before_it_is_written_stays_forgotten(tmp_path: Path) -> None:
    names = Names(tmp_path / "names.db", ROOT_KEY)
    for number in range(50):
        made = names.pseudonym("person", f"ada {number}")
        assert names.forget(made)
        assert names.name(made) is None
    names.close()
    assert rows(tmp_path / "names.db") == {}


def test_what_could_not_be_written_is_said_and_written_with_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names(tmp_path / "names.db", ROOT_KEY)
    with sqlite3.connect(tmp_path / "names.db") as other:
        other.execute("ALTER TABLE name RENAME TO gone")
    with caplog.at_level(logging.ERROR):
        first = names.pseudonym("person", "lovelace")
        writing = names._writing
        if writing is not None:
            writing.join(60)
    assert "can't be remembered" in caplog.text
    assert "lovelace" not in caplog.text
    with other:
        other.execute("ALTER TABLE gone RENAME TO name")
    other.close()
    second = names.pseudonym("person", "bob")
    names.close()
    assert rows(tmp_path / "names.db") == {first: "lovelace", second: "bob"}
