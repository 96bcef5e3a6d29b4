"""The writer: durable when it says so, one flush for many, and one caller's fault is not another's."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mohist.ledger import Content, Draft, EntryError, LedgerBusyError, Receipt, decode
from mohist.ledger import writer as module
from mohist.ledger.log import Log
from mohist.ledger.writer import Writer


def draft(number: int, stream: str = "run:a") -> Draft:
    return Draft("tool.result", stream, "model:m", data={"number": number})


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(Log(tmp_path / "log.db", "log.example/test"))


def read(path: Path) -> list[int]:
    log = Log(path / "log.db", read_only=True)
    numbers = [decode(leaf)["data"]["number"] for leaf in log.leaves(0, log.size)]
    log.close()
    return numbers


def test_what_has_a_receipt_is_in_the_file(tmp_path: Path, writer: Writer) -> None:
    receipt = writer.append(draft(7))
    assert (receipt.index, receipt.sequence) == (0, 0)
    assert read(tmp_path) == [7]
    writer.close()


def test_many_writers_are_all_entered_once_each_in_their_own_order(tmp_path: Path, writer: Writer) -> None:
    def work(name: int) -> None:
        for number in range(40):
            writer.append(draft(name * 1000 + number, f"run:{name}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    numbers = read(tmp_path)
    assert sorted(numbers) == sorted(name * 1000 + number for name in range(16) for number in range(40))
    for name in range(16):
        ours = [number for number in numbers if number // 1000 == name]
        assert ours == sorted(ours)


def test_what_queues_up_during_a_flush_shares_the_next(
    tmp_path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    flushing, go_on = threading.Event(), threading.Event()
    write = Log.write

    def slow(log: Log, batch: list[module.Ready]) -> list[Receipt]:
        batches.append(len(batch))
        flushing.set()
        assert go_on.wait(60)
        return write(log, batch)

    monkeypatch.setattr(Log, "write", slow)
    first = writer.submit(draft(0))
    assert flushing.wait(60)
    rest = [writer.submit(draft(number)) for number in range(1, 100)]
    go_on.set()
    assert [one.result(10).index for one in [first, *rest]] == list(range(100))
    assert batches == [1, 99]
    writer.close()


def test_a_bad_draft_costs_only_its_own_caller(tmp_path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    flushing, go_on = threading.Event(), threading.Event()
    write = Log.write

    def slow(log: Log, batch: list[module.Ready]) -> list[Receipt]:
        flushing.set()
        assert go_on.wait(60)
        return write(log, batch)

    monkeypatch.setattr(Log, "write", slow)
    first = writer.submit(draft(0))
    assert flushing.wait(60)
    good = writer.submit(draft(1))
    bad = writer.submit(Draft("tool.result", "run:a", "model:m", data={"large": "x" * 20_000}))
    after = writer.submit(draft(2))
    go_on.set()
    assert [one.result(10).index for one in (first, good, after)] == [0, 1, 2]
    with pytest.raises(EntryError, match="at most 16384"):
        bad.result(10)
    writer.close()
    assert read(tmp_path) == [0, 1, 2]


def test_several_drafts_go_in_together_or_not_at_all(tmp_path: Path, writer: Writer) -> None:
    with pytest.raises(EntryError, match="integers"):
        writer.extend([draft(1), Draft("tool.result", "run:a", "model:m", data={"set": {1}})])  # type: ignore[dict-item]
    assert [receipt.index for receipt in writer.extend([draft(1), draft(2)])] == [0, 1]
    assert writer.extend([]) == []
    writer.close()
    assert read(tmp_path) == [1, 2]


def test_contents_need_somewhere_to_be_kept(writer: Writer) -> None:
    with pytest.raises(EntryError, match="keeps none"):
        writer.append(Draft("model.intent", "run:a", "model:m", contents=(Content("prompt", "text/plain", b"x"),)))
    writer.close()


def test_a_disk_that_can_not_keep_up_refuses_instead_of_dropping(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 3)
    with pytest.raises(LedgerBusyError, match="wait for the ledger"):
        writer.extend([draft(number) for number in range(4)])
    assert writer.append(draft(1)).index == 0
    writer.close()
    with pytest.raises(LedgerBusyError, match="being closed"):
        writer.append(draft(2))


def test_a_failure_that_nobody_foresaw_stops_the_ledger_for_all(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(log: Log, batch: list[module.Ready]) -> list[Receipt]:
        raise ZeroDivisionError

    monkeypatch.setattr(Log, "write", broken)
    with pytest.raises(module.LedgerError, match="ZeroDivisionError"):
        writer.append(draft(1))
    monkeypatch.undo()
    with pytest.raises(module.LedgerError, match="ZeroDivisionError"):
        writer.append(draft(2))
    writer.close()
