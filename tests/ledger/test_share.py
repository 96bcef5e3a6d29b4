"""One log for several processes, of which any may be killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mohist.ledger import Draft, EntryError, SealedError, decode, tree
from mohist.ledger import share as module
from mohist.ledger.log import Log
from mohist.ledger.share import SharedLedger
from mohist.ledger.writer import Writer

ORIGIN = "log.example/test"

PROCESS = """
import sys
from pathlib import Path
from mohist.ledger import Draft
from mohist.ledger.log import Log
from mohist.ledger.share import SharedLedger
from mohist.ledger.writer import Writer

home, name, start, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ledger = SharedLedger(home, lambda: Writer(Log(home / "log.db", "log.example/test")))
for number in range(start, start + count):
    ledger.append(Draft("tool.result", "run:" + name, "model:m", data={"number": number}, key=f"{name}/{number}"))
    print(number, flush=True)
ledger.close()
"""


def shared(home: Path) -> SharedLedger:
    return SharedLedger(home, lambda: Writer(Log(home / "log.db", ORIGIN)))


def draft(number: int, stream: str = "run:a") -> Draft:
    return Draft("tool.result", stream, "model:m", data={"number": number})


def numbers(home: Path, stream: str = "run:a") -> list[int]:
    log = Log(home / "log.db", read_only=True)
    found = [decode(leaf)["data"]["number"] for _, leaf in log.stream(stream)]
    log.close()
    return found


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[SharedLedger, SharedLedger]]:
    first, second = shared(tmp_path), shared(tmp_path)
    first.append(draft(0))
    yield first, second
    second.close()
    first.close()


def test_the_first_writes_and_the_second_hands_over(tmp_path: Path, two: tuple[SharedLedger, SharedLedger]) -> None:
    first, second = two
    receipt = second.append(draft(1))
    assert (first.writes, second.writes) == (True, False)
    assert (receipt.index, receipt.stream, receipt.sequence) == (1, "run:a", 1)
    assert [r.index for r in second.extend([draft(2), draft(3)])] == [2, 3]
    assert second.submit(draft(4)).result(10).index == 4
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]


def test_the_second_writes_once_the_first_is_gone(tmp_path: Path, two: tuple[SharedLedger, SharedLedger]) -> None:
    first, second = two
    second.append(draft(1))
    first.close()
    assert second.append(draft(2)).index == 2
    assert second.writes
    assert numbers(tmp_path) == [0, 1, 2]


def test_a_refusal_reaches_whoever_asked_as_what_it_is(two: tuple[SharedLedger, SharedLedger]) -> None:
    _, second = two
    with pytest.raises(EntryError, match="at most 16384"):
        second.append(Draft("tool.result", "run:a", "model:m", data={"large": "x" * 20_000}))
    assert second.append(draft(1)).index == 1


def test_a_log_that_may_not_be_opened_refuses_everyone(tmp_path: Path) -> None:
    def sealed() -> Writer:
        raise SealedError("The log is shorter than what was witnessed.")

    ledger = SharedLedger(tmp_path, sealed)
    for _ in range(2):
        with pytest.raises(SealedError, match="shorter"):
            ledger.append(draft(0))
    ledger.close()


def test_what_was_lost_with_the_link_is_entered_once(
    tmp_path: Path, two: tuple[SharedLedger, SharedLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    second.append(draft(1))
    answered = threading.Event()

    def unanswered(*_: object) -> None:
        answered.set()

    monkeypatch.setattr(module, "_answer", unanswered)
    waiting = second.submit(draft(2))
    assert answered.wait(60)
    assert not waiting.done()
    monkeypatch.undo()
    first.close()
    assert waiting.result(10).index == 2
    assert second.append(draft(3)).index == 3
    assert numbers(tmp_path) == [0, 1, 2, 3]


def test_many_that_are_under_way_when_the_writer_ends_are_all_entered_once(
    tmp_path: Path, two: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = two
    third = shared(tmp_path)
    waiting = [ledger.submit(draft(number)) for number in range(1, 400) for ledger in (second, third)]
    first.close()
    waiting += [ledger.submit(draft(number)) for number in range(400, 500) for ledger in (second, third)]
    assert len({one.result(30).index for one in waiting}) == len(waiting)
    third.close()
    assert second.append(draft(500)).index == 2 * 499 + 1
    assert sorted(numbers(tmp_path)) == sorted([0, *range(1, 500), *range(1, 500), 500])


def test_four_processes_one_killed_again_and_again_lose_and_repeat_nothing(tmp_path: Path) -> None:
    def start(name: str, at: int, count: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROCESS, str(tmp_path), name, str(at), str(count)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    steady = {name: start(name, 0, 400) for name in ("a", "b", "c")}
    said, at = 0, 0
    for kill in range(6):
        victim = start("v", at, 1000)
        assert victim.stdout is not None
        for _ in range(20 + kill * 7):
            said = int(victim.stdout.readline())
        victim.send_signal(signal.SIGKILL)
        rest = victim.stdout.read().split()
        said = int(rest[-1]) if rest else said
        victim.wait()
        victim.stdout.close()
        at = said + 1
    for process in steady.values():
        assert process.wait(100) == 0
        assert process.stdout is not None
        process.stdout.close()
    for name in steady:
        assert numbers(tmp_path, f"run:{name}") == list(range(400))
    victims = numbers(tmp_path, "run:v")
    # What it was told is there; the one that it was killed over may be, too, and is not there twice.
    assert victims[: said + 1] == list(range(said + 1))
    assert len(victims) - (said + 1) in (0, 1)
    log = Log(tmp_path / "log.db", read_only=True)
    edge = tree.Edge()
    for leaf in log.leaves(0, log.size):
        edge.append(tree.leaf_hash(leaf))
    assert edge.root() == log.root(log.size)
    log.close()
    assert (tmp_path / "writer.lock").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "writer.sock").exists()
