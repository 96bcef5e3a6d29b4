"""Measures the ledger beside a bare hash chain and pymerkle, and against its goals.

    python benchmarks/ledger/run.py [--entries 1000000] [--quick] [--folder DIR] [--pymerkle PREFIX | --alone] [--only PART]

Parts: append (1, 64 and 1,024 writers, in turns, at equal durability), million (a log of so many entries: its size, proofs,
export, offline audit), gateway (what the ledger adds to a call at 50 calls a second). The disk's own flush is measured beside each,
since appends can't be better than that. pymerkle (GPL) is installed into a temporary folder and measured only, never part of Mohist.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sample import ORIGIN, START_US, Chain, Pymerkle, Store, entry

from mohist.ledger import note
from mohist.ledger.export import export
from mohist.ledger.log import Log
from mohist.ledger.proof import CANDIDATES, Proof, best
from mohist.ledger.writer import Writer

PYMERKLE = "pymerkle==7.0.0"
WRITERS = (1, 64, 1024)
FLUSHES = 200
BATCH = 1024
PROOFS = 2000
WITNESS = "witness.example/w1"
SIGNED_EACH = 1000
"""Entries between two checkpoints: 50 calls a second, signed every ten seconds."""
CALLS = 300
CALLS_A_SECOND = 50
MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""
ARCHIVE_LEVEL = 12
"""Of zstd: one that an export may wait for."""
Row = tuple[str, str, str]
"""What, how much, the goal."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large log")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and 50,000 entries")
    parser.add_argument("--folder", type=Path, help="on the disk that counts; default: the temporary one")
    parser.add_argument("--pymerkle", type=Path, metavar="PREFIX", help=f"a folder that has {PYMERKLE}")
    parser.add_argument("--alone", action="store_true", help="without pymerkle")
    parser.add_argument("--only", choices=["append", "million", "gateway"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-bench-", dir=asked.folder) as name:
        home = Path(name)
        print(_machine(), flush=True)
        if asked.only in (None, "append"):
            if not asked.alone:
                sys.path.append(str(asked.pymerkle or _installed(home / "pymerkle")))
            _show(*appends(home, 1 if asked.quick else 3, 1.0 if asked.quick else 4.0, alone=asked.alone))
        if asked.only in (None, "million"):
            _show(["", "", "goal"], large(home, 50_000 if asked.quick else asked.entries))
        if asked.only in (None, "gateway"):
            _show(["", "", "goal"], asyncio.run(gateway(home, 50 if asked.quick else CALLS)))
    return 0


def appends(home: Path, rounds: int, time_s: float, *, alone: bool) -> tuple[list[str], list[Row]]:
    """Acknowledged a second; each row's stores take turns."""
    makers: dict[str, Callable[[Path], Store]] = {"Mohist": lambda path: Log(path, ORIGIN), "chain": Chain}
    if not alone:
        makers["pymerkle"] = Pymerkle
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    flushes: list[float] = []
    for number in range(rounds):
        for writers in WRITERS:
            for name, make in makers.items():
                flushes += _flushes(home)
                found.setdefault((name, writers), []).append(
                    _rate(make(home / f"{name}-{number}-{writers}.db"), writers, time_s)
                )
    rows = [("a flush of 4 KiB to this disk, median / p99", _ms(flushes), "")]
    for writers in WRITERS:
        for name in makers:
            rates = [rate for rate, _ in found[name, writers]]
            late = median(p99 for _, p99 in found[name, writers])
            goal = "5,000 a second" if (name, writers) == ("Mohist", 64) else ""
            what = f"{writers:,} {'writer' if writers == 1 else 'writers'}, {name}"
            rows.append((what, f"{median(rates):,.0f} a second, p99 {late * 1e3:.1f} ms", goal))
    for name in [name for name in makers if name != "Mohist"]:
        ratio = median(rate for rate, _ in found["Mohist", 1024]) / median(rate for rate, _ in found[name, 1024])
        rows.append((f"Mohist / {name}, 1,024 writers", f"{ratio:.2f}", "≥ 0.5" if name == "chain" else ""))
    return ["appends", "", "goal"], rows


def _rate(store: Store, writers: int, time_s: float) -> tuple[float, float]:
    """Acknowledged a second and the p99 of waiting, in seconds, with so many callers that each wait for their entry."""
    writer = Writer(store)  # type: ignore[arg-type]
    taken: list[list[float]] = [[] for _ in range(writers)]
    stop, start = threading.Event(), threading.Barrier(writers + 1)

    def work(number: int) -> None:
        chance = random.Random(number)
        start.wait()
        count = number * 1_000_000
        while not stop.is_set():
            ready = entry(count, chance)
            begin = time.perf_counter()
            writer.enter([ready]).result()
            taken[number].append(time.perf_counter() - begin)
            count += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    stop.wait(time_s)
    stop.set()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - begin
    writer.close()
    every = sorted(one for each in taken for one in each)
    return len(every) / spent, every[int(len(every) * 0.99)]


def large(home: Path, count: int) -> list[Row]:
    """One large log: its size on disk, proofs, export, audit."""
    log, chance = Log(home / "large.db", ORIGIN), random.Random(1)
    begin = time.perf_counter()
    for first in range(0, count, BATCH):
        log.write([entry(number, chance) for number in range(first, min(first + BATCH, count))])
    built_s = time.perf_counter() - begin
    log.close()
    size_bytes = (home / "large.db").stat().st_size
    begin = time.perf_counter()
    log = Log(home / "large.db", read_only=True)
    log.root(log.size)
    opened_s = time.perf_counter() - begin
    leaf_bytes = sum(len(leaf) for leaf in log.leaves(0, 10_000)) / min(count, 10_000)
    proofs, roots = [], []
    for _ in range(PROOFS):
        index, old = chance.randrange(count), chance.randrange(1, count)
        begin = time.perf_counter()
        path = log.inclusion(index, count)
        proofs.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        log.consistency(old, count)
        roots.append(time.perf_counter() - begin)
    key, witness = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    plain = note.Checkpoint(ORIGIN, count, log.root(count))
    cosigned = note.cosign(plain, WITNESS, witness, (START_US + count * 1000) // 1_000_000 + 60)
    signed = note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, key), cosigned))
    late_bytes = len(str(Proof(index, tuple(path), signed)).encode())
    proof_bytes = sorted(_proof_bytes(log, key, witness, count, chance) for _ in range(PROOFS))
    begin = time.perf_counter()
    export(log, home / "bundle", signed)
    exported_s = time.perf_counter() - begin
    log.close()
    audited_s, audit_mb = _audit(home / "bundle", str(note.VerifierKey(ORIGIN, 1, key.public_key().public_bytes_raw())))
    return [
        (f"entries, in batches of {BATCH:,}", f"{count:,} in {built_s:.0f} s", ""),
        ("bytes of an entry itself, mean", f"{leaf_bytes:.0f}", ""),
        ("bytes an entry, database", f"{size_bytes / count:.0f}", "≤ 700"),
        ("bytes an entry, archived (zstd)", f"{_archived(home / 'bundle') / count:.0f}", "≤ 180"),
        ("opened, with its root", f"{opened_s * 1e3:.1f} ms", ""),
        ("inclusion proof, median / p99", _ms(proofs), "p99 ≤ 10 ms"),
        ("consistency proof, median / p99", _ms(roots), "p99 ≤ 10 ms"),
        (
            "proof file with one cosignature, median / p99 / largest",
            f"{median(proof_bytes):,.0f} / {proof_bytes[len(proof_bytes) * 99 // 100]:,} / {proof_bytes[-1]:,} bytes",
            "≤ 1,200",
        ),
        ("the same against the newest checkpoint", f"{late_bytes:,} bytes", ""),
        ("export", f"{exported_s:.1f} s", ""),
        ("offline audit of all of it", f"{audited_s:.1f} s", "≤ 15 s"),
        ("memory of the audit", f"{audit_mb:.0f} MB", "≤ 64 MB"),
    ]


def _proof_bytes(
    log: Log, key: Ed25519PrivateKey, witness: Ed25519PrivateKey, count: int, chance: random.Random
) -> int:
    """Of one entry's proof, in a log that was signed and cosigned each `SIGNED_EACH` entries."""
    index = chance.randrange(count)
    checkpoints = []
    for number in range(CANDIDATES):
        size = min((index // SIGNED_EACH + 1 + number) * SIGNED_EACH, count)
        plain = note.Checkpoint(ORIGIN, size, bytes(32))
        checkpoints.append(
            note.SignedCheckpoint(
                plain, (note.sign(plain, ORIGIN, key), note.cosign(plain, WITNESS, witness, 1_790_000_000))
            )
        )
    made = best(index, checkpoints, log.inclusion)
    assert made is not None
    return len(str(made).encode())


def _audit(bundle: Path, key: str) -> tuple[float, float]:
    """Seconds and MB of the bundle's own verifier in a process of its own."""
    command = [sys.executable, "-I", "verify.py", ".", "--key", key, "--json"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=bundle, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    said = json.loads(process.stdout.read())
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    if not said["holds"]:
        raise SystemExit(f"the bundle does not hold: {said['where']}: {said['why']}")
    return time.perf_counter() - begin, used.ru_maxrss / 1024


def _archived(bundle: Path) -> int:
    """Bytes of all entries and tiles, compressed in one go."""
    count = 0

    class Counted:
        def write(self, data: bytes) -> int:
            nonlocal count
            count += len(data)
            return len(data)

    with zstandard.ZstdCompressor(level=ARCHIVE_LEVEL).stream_writer(Counted(), closefd=False) as writer:
        # The entries' own hashes can be made from the entries; tiles above the lowest from those.
        for path in sorted(bundle.glob("tile/entries/**/*")):
            if path.is_file():
                writer.write(path.read_bytes())
    return count


async def gateway(home: Path, calls: int) -> list[Row]:
    """Milliseconds of a call through gateways with the ledger, with it where there is no disk, and without it, in turns."""
    sys.path.append(str(Path(__file__).parent.parent / "gateway"))
    import load
    import peer

    upstream = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop yet
        [sys.executable, Path(__file__).parent.parent / "gateway" / "upstream.py"], stdout=subprocess.PIPE, text=True
    )
    running: dict[str, Any] = {}
    rooms: dict[str, Path] = {}
    rows: list[Row] = []
    try:
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline())
        keys = {}
        rooms = {name: home / f"gateway-{name}" for name in ("on", "off")}
        if os.path.isdir(MEMORY):  # noqa: PTH112, ASYNC240 - nothing else runs in this loop yet
            # What the ledger costs beside the waiting for a flush, which is the disk's and the machine's.
            rooms["memory"] = Path(tempfile.mkdtemp(prefix="ledger-bench-", dir=MEMORY)) / "gateway"
        for name, room in rooms.items():
            served = peer.Mohist(settings=f"[ledger]\non = {'false' if name == 'off' else 'true'}\n")
            running[name] = served.start(room, port)
            keys[name] = served.key
        ports = {name: one.port for name, one in running.items()}
        for what, call in (("small", load.small()), ("200 kB", load.agent())):
            requests = {name: call.request(keys[name]) for name in ports}
            taken = await load.pace(ports, requests, calls, 1 / CALLS_A_SECOND / len(ports))
            on, off = (sorted(taken[name]) for name in ("on", "off"))
            memory = median(taken.get("memory", [])) - median(off) if "memory" in taken else None
            rows += [
                (f"{what} call, ledger on / off, median", f"{median(on):.2f} / {median(off):.2f} ms", ""),
                (f"the ledger adds to a {what} call, median", f"{median(on) - median(off):.2f} ms", "≤ 1 ms"),
                *(
                    [(f"of it without the disk, median, {what} call", f"{memory:.2f} ms", "")]
                    if memory is not None
                    else []
                ),
                (
                    f"{what} call, ledger on / off, p99",
                    f"{on[len(on) * 99 // 100]:.1f} / {off[len(off) * 99 // 100]:.1f} ms",
                    "",
                ),
            ]
        rows.append(("a flush of 4 KiB to this disk, median / p99", _ms(_flushes(home)), ""))
    finally:
        for one in running.values():
            one.stop()
        if "memory" in rooms:
            shutil.rmtree(rooms["memory"].parent, ignore_errors=True)
        upstream.kill()
        upstream.wait()
    return rows


def _flushes(home: Path) -> list[float]:
    """Seconds of appending a page and flushing it."""
    taken = []
    with open(home / "probe", "ab", buffering=0) as file:
        for _ in range(FLUSHES):
            begin = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begin)
    return taken


def _installed(folder: Path) -> Path:
    print(f"installing {PYMERKLE} into a folder of its own; --pymerkle PREFIX saves that", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), PYMERKLE]
    subprocess.run(pip, check=True, stdin=subprocess.DEVNULL)
    return folder


def _ms(taken: list[float]) -> str:
    every = sorted(taken)
    return f"{median(every) * 1e3:.2f} / {every[len(every) * 99 // 100] * 1e3:.2f} ms"


def _show(head: list[str], rows: list[Row]) -> None:
    print(f"\n| {' | '.join(head)} |\n|---|---:|---:|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def _machine() -> str:
    load_1min = os.getloadavg()[0]
    python = platform.python_version()
    return f"{platform.system()}, {os.cpu_count()} processors, Python {python}, load {load_1min:.1f} at the beginning"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    sys.exit(main())
