"""From lines to runs, through everything that people do to a history with git."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from history import SHARED, History, author_of

from mohist.ledger.log import Log
from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer
from mohist.report import Tracer, Writings
from mohist.report.blame import origins
from mohist.report.repository import Asker
from mohist.sandbox import Git

HISTORIES = int(os.environ.get("MOHIST_TEST_HISTORIES", "12"))
"""The suite of its own runs a thousand."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Writer, Vault]]:
    vault = Vault(tmp_path / "keys.db", bytes(32))
    writer = Writer(Log(tmp_path / "log.db", "log.example/test"), vault)
    yield writer, vault
    writer.close()
    vault.close()


def index(folder: Path, vault: Vault) -> Writings:
    log = Log(folder / "log.db", read_only=True)

    def reveal(payload: dict[str, Any]) -> bytes | None:
        kept = log.payload(payload["digest"])
        return vault.open(kept[0], kept[1], kept[2], payload["commitment"]) if kept and kept[2] else None

    writings = Writings(folder / "trace.db")
    writings.follow(log, reveal)
    log.close()
    return writings


async def judged(folder: Path, history: History, vault: Vault, number: int) -> Counter[str]:
    """Every line of main that says who wrote it, against what is traced."""
    git = await Git.capture(history.root, folder / f"git{number}")
    writings = index(folder, vault)
    asker = Asker(git)
    tracer = Tracer(writings, asker.blob, asker.patch)
    count: Counter[str] = Counter()
    assert git.head is not None
    for path in await git.list_files():
        if not path.endswith(".py"):
            continue
        for traced in await tracer.trace(await origins(git, path, git.head)):
            author, said = author_of(traced.origin.text), traced.write.run if traced.write else ""
            if traced.origin.text.strip() == SHARED:
                author = path.removesuffix(".py")
            if author is None:
                continue
            true = "" if author == "person" else f"{author}-{history.tag}"
            if true:
                count["found" if said == true else "wrong" if said else "missed"] += 1
                count[traced.method if said == true else "-"] += 1
            else:
                count["a person's given to a run" if said else "a person's"] += 1
            if said and said != true:
                count[
                    "wrong: " + f"{path}:{traced.origin.number} {traced.origin.text!r} -> {said}, {history.done}"
                ] += 1
    git.close()
    writings.close()
    return count


async def test_random_histories_lose_few_lines_and_tie_none_to_a_wrong_run(
    tmp_path: Path, store: tuple[Writer, Vault]
) -> None:
    writer, vault = store
    total: Counter[str] = Counter()
    for number in range(HISTORIES):
        history = History(tmp_path / f"h{number}", writer, random.Random(number), tag=number)
        history.play()
        total += await judged(tmp_path, history, vault, number)
    print({name: count for name, count in total.items() if not name.startswith("wrong:")})
    assert [name for name in total if name.startswith("wrong:")] == []
    assert total["found"] / (total["found"] + total["missed"]) >= 0.95
    assert total["found"] > HISTORIES * 5
