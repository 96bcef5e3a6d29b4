"""What is traced in a repository, against what its lines say of their authors."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from history import SHARED, History, author_of

from mohist.ledger.log import Log
from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer
from mohist.report import Tracer, Writings
from mohist.report.blame import origins
from mohist.report.repository import Asker
from mohist.sandbox import Git


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
    tracer = Tracer(writings, Asker(git))
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


async def judged_all(folder: Path, writer: Writer, vault: Vault, numbers: Iterable[int]) -> Counter[str]:
    """Plays and judges histories, all of them in one ledger."""
    total: Counter[str] = Counter()
    for number in numbers:
        history = History(folder / f"h{number}", writer, random.Random(number), tag=number)
        history.play()
        total += await judged(folder, history, vault, number)
        shutil.rmtree(history.root)
    print({name: count for name, count in total.items() if not name.startswith("wrong:")})
    return total


def assert_good(total: Counter[str]) -> None:
    """None wrong, few missed, none of a person's given away."""
    assert [name for name in total if name.startswith("wrong:")] == []
    assert total["found"] / (total["found"] + total["missed"]) >= LEAST_FOUND


LEAST_FOUND = 0.98
