"""Measures the log in PostgreSQL beside the one in SQLite, at equal durability, in one run.

    python benchmarks/ledger/shared.py [--quick] [--folder DIR] [--database URL]

Each writer of PostgreSQL is a process of its own, as on a machine of its own, and one more process leads; they all share this
machine's processors with the server, which is started for it (`--database`: an empty one of yours). SQLite's writers are threads of
the one process that writes. The disk's own flush is measured beside each.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from run import _flushes, _machine, _ms, _show
from sample import ORIGIN, entry

from mohist.ledger.log import Log
from mohist.ledger.postgres import Address, Inbox, PostgresLog
from mohist.ledger.store import Store
from mohist.ledger.writer import Writer

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from fakes.postgres import Postgres

SHAPES = ((1, 1), (16, 1), (16, 100))
"""Writers, and entries that each hands in at once."""
GOALS = {(16, 1): "≥ 1,000", (16, 100): "≥ 10,000"}
PROOFS = 500
KILLS = 5

_WRITER = """
import random, sys, time
from sample import entry
from mohist.ledger.postgres import Address, Inbox
inbox = Inbox(Address(sys.argv[1]))
first, size, time_s = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
chance, taken = random.Random(first), []
print("ready", flush=True)
sys.stdin.readline()
end = time.perf_counter() + time_s
while (begin := time.perf_counter()) < end:
    inbox.write([entry(first + number, chance) for number in range(size)])
    taken.append(time.perf_counter() - begin)
    first += size
taken.sort()
print(len(taken) * size, taken[len(taken) * 99 // 100], flush=True)
"""
_LEADER = """
import sys, time
from mohist.ledger.postgres import Address, Sequencer
sequencer = Sequencer(Address(sys.argv[1]))
while not sequencer.leads:
    time.sleep(0.01)
print("leads", flush=True)
sys.stdin.readline()
sequencer.close()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--folder", default="/tmp", help="on the disk that counts")
    parser.add_argument("--database", metavar="URL", help="an empty database; default: a server that is started for it")
    asked = parser.parse_args()
    print(_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="ledger-bench-", dir=asked.folder) as name, _database(asked) as url:
        _measure(Path(name), Address(url), 1 if asked.quick else 3, 2.0 if asked.quick else 6.0)
    return 0


@contextmanager
def _database(asked: argparse.Namespace) -> Iterator[str]:
    if asked.database:
        yield asked.database
        return
    server = Postgres(asked.folder, durable=True)
    try:
        yield server.url(server.new_database())
    finally:
        server.remove()


def _measure(home: Path, address: Address, rounds: int, time_s: float) -> None:
    PostgresLog(address, ORIGIN).close()
    found: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    flushes: list[float] = []
    first = 0
    leader = _process(_LEADER, address.url)
    _said(leader)
    for number in range(rounds):
        for writers, size in SHAPES:
            flushes += _flushes(home)
            log = Log(home / f"{number}-{writers}-{size}.db", ORIGIN)
            found.setdefault(("SQLite", writers, size), []).append(_threads(log, writers, size, time_s))
            flushes += _flushes(home)
            found.setdefault(("PostgreSQL", writers, size), []).append(
                _processes(address, first, writers, size, time_s)
            )
            first += 100_000_000
    _done(leader)
    rows = [("a flush of 4 KiB to this disk, median / p99", _ms(flushes), "")]
    for writers, size in SHAPES:
        for name in ("SQLite", "PostgreSQL"):
            rates = found[name, writers, size]
            what = f"{writers} {'writer' if writers == 1 else 'writers'}" + (f", {size} at once" if size > 1 else "")
            said = (
                f"{median(rate for rate, _ in rates):,.0f} a second, p99 {median(p99 for _, p99 in rates) * 1e3:.0f} ms"
            )
            rows.append((f"{what}, {name}", said, GOALS.get((writers, size), "") if name == "PostgreSQL" else ""))
    _show(["entries acknowledged", "", "goal"], rows)
    _show(["", "", "goal"], [*_kept(address), _taken_over(address)])


def _threads(log: Log, writers: int, size: int, time_s: float) -> tuple[float, float]:
    """Acknowledged a second, and the p99 of waiting in seconds."""
    writer = Writer(log)
    taken: list[list[float]] = [[] for _ in range(writers)]
    end = time.perf_counter() + time_s

    def work(number: int) -> None:
        chance, count = random.Random(number), number * 1_000_000
        while (begin := time.perf_counter()) < end:
            writer.enter([entry(count + one, chance) for one in range(size)]).result()
            taken[number].append(time.perf_counter() - begin)
            count += size

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    every = sorted(one for each in taken for one in each)
    return len(every) * size / time_s, every[len(every) * 99 // 100]


def _processes(address: Address, first: int, writers: int, size: int, time_s: float) -> tuple[float, float]:
    """Same, each writer in a process of its own; the p99 is the median writer's."""
    made = [_process(_WRITER, address.url, first + number * 1_000_000, size, time_s) for number in range(writers)]
    for one in made:
        _said(one)
    for one in made:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [_said(one).split() for one in made]
    for one in made:
        _done(one)
    return sum(int(count) for count, _ in said) / time_s, median(float(p99) for _, p99 in said)


def _kept(address: Address) -> list[tuple[str, str, str]]:
    """How much room entries take, and what a proof costs."""
    log, chance = PostgresLog(address, read_only=True), random.Random(1)
    with log.db.cursor() as cursor:
        cursor.execute("VACUUM entry")
        cursor.execute(
            "SELECT sum(pg_total_relation_size(name)) FROM unnest(ARRAY['entry', 'stream', 'tile']::regclass[]) name"
        )
        (size_bytes,) = cursor.fetchone() or (0,)
        cursor.execute("SELECT pg_total_relation_size('payload') / greatest((SELECT count(*) FROM payload), 1)")
        (content_bytes,) = cursor.fetchone() or (0,)
    leaf_bytes = sum(len(leaf) for leaf in log.leaves(0, 10_000)) / min(log.size, 10_000)
    proofs = _proofs(log, chance)
    begin = time.perf_counter()
    log.scrub()
    scrub_s = time.perf_counter() - begin
    rows = [
        ("entries", f"{log.size:,}", ""),
        ("bytes of an entry itself, mean", f"{leaf_bytes:.0f}", ""),
        ("bytes an entry, database, without contents", f"{int(size_bytes) / log.size:.0f}", "≤ 700"),
        ("bytes of what is kept of a content that is only committed to", f"{int(content_bytes)}", ""),
        ("inclusion proof, median / p99", _ms(proofs), "p99 ≤ 10 ms"),
        ("hashing all of it again", f"{scrub_s:.1f} s", ""),
    ]
    log.close()
    return rows


def _proofs(log: Store, chance: random.Random) -> list[float]:
    taken = []
    for _ in range(PROOFS):
        index = chance.randrange(log.size)
        begin = time.perf_counter()
        log.inclusion(index, log.size)
        taken.append(time.perf_counter() - begin)
    return taken


def _taken_over(address: Address) -> tuple[str, str, str]:
    """Seconds from the killing of whoever leads to the next answer, where another one is there."""
    inbox, chance = Inbox(address), random.Random(2)
    leader, taken = _process(_LEADER, address.url), []
    _said(leader)
    for number in range(KILLS):
        other = _process(_LEADER, address.url)
        inbox.write([entry(2_000_000_000 + 2 * number, chance)])
        leader.kill()
        begin = time.perf_counter()
        inbox.write([entry(2_000_000_001 + 2 * number, chance)])
        taken.append(time.perf_counter() - begin)
        _said(other)
        leader.communicate()
        leader = other
    _done(leader)
    inbox.close()
    return (
        "the leader is killed: until the next answer, median / worst",
        f"{median(taken):.2f} / {max(taken):.2f} s",
        "",
    )


def _process(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=Path(__file__).parent
    )


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process of the benchmark ended")
    return line


def _done(process: subprocess.Popen[str]) -> None:
    process.communicate("\n")


if __name__ == "__main__":
    sys.exit(main())
