"""Four processes write one ledger and are killed again and again: is anything that was acknowledged lost, or entered twice?

The second half of scripts/test-ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.ledger import note, tree
from mohist.ledger.export import export
from mohist.ledger.log import Log
from mohist.ledger.signer import Signer
from mohist.ledger.vault import Vault
from mohist.ledger.verify import verify

ORIGIN = "log.example/kills"
ROOT_KEY = bytes(range(32))
"""Of a ledger that is thrown away."""
SLOTS = 4
WORKER = """
import sys
from collections import deque
from pathlib import Path
from mohist.ledger import Content, Draft
from mohist.ledger.log import Log
from mohist.ledger.share import SharedLedger
from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer

home, slot, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ledger = SharedLedger(home, lambda: Writer(Log(home / "log.db", sys.argv[4]), Vault(home / "keys.db", bytes(range(32)))))
waiting = deque()
while not (home / "stop").exists() or waiting:
    while len(waiting) < 8 and not (home / "stop").exists():
        contents = (Content("note", "text/plain", f"{slot}/{number}".encode(), subject="person:" + slot),) if number % 10 == 0 else ()
        draft = Draft("tool.result", "run:" + slot, "model:m", data={"number": number}, contents=contents, key=f"{slot}/{number}")
        waiting.append((number, ledger.submit(draft)))
        number += 1
    if waiting:
        done, future = waiting.popleft()
        receipt = future.result()
        print(done, receipt.index, receipt.leaf.hex(), int(ledger.writes), flush=True)
ledger.close()
"""


@dataclass(slots=True)
class Slot:
    """One of the four, in its lives one after another."""

    name: str
    home: Path
    told: dict[int, tuple[int, str]] = field(default_factory=dict)
    """What was acknowledged: number -> (index, leaf hash)."""
    wrong: list[str] = field(default_factory=list)
    writes: bool = False
    fresh: int = 0
    """Acknowledged in this life."""
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None

    def start(self) -> None:
        self.writes, self.fresh = False, 0
        next_number = max(self.told, default=-1) + 1
        command = [sys.executable, "-c", WORKER, str(self.home), self.name, str(next_number), ORIGIN]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.reader = threading.Thread(target=self._read, args=(self.process,))
        self.reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.endswith("\n"):
                break
            number, index, leaf, writes = line.split()
            said = (int(index), leaf)
            if self.told.setdefault(int(number), said) != said:
                self.wrong.append(f"{self.name}/{number} was acknowledged as {self.told[int(number)]} and as {said}")
            self.writes = writes == "1"
            self.fresh += 1
        process.stdout.close()

    def kill(self) -> None:
        assert self.process is not None
        assert self.reader is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.reader.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=10_000, help="at least so many, whatever that takes")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home = Path(tempfile.mkdtemp(prefix="ledger-kills-"))
    chance, begun_s = random.Random(options.seed), time.monotonic()
    slots = [Slot(str(number), home) for number in range(SLOTS)]
    kills: Counter[str] = Counter()
    wrong: list[str] = []
    try:
        for slot in slots:
            slot.start()
        for _ in range(options.kills):
            # One is killed again and again; now and then it is whoever writes, wherever that is.
            writer = next((slot for slot in slots if slot.writes), slots[0])
            victim = writer if chance.random() < 0.5 else slots[0]
            if not waited(victim):
                wrong.append(f"{victim.name} is told nothing any more, or ended by itself")
                break
            time.sleep(chance.expovariate(1 / 0.05))
            kills["of whoever wrote" if victim.writes else "of one that handed over"] += 1
            victim.kill()
            victim.start()
        while not wrong and sum(len(slot.told) for slot in slots) < options.entries:
            if not all(waited(slot) for slot in slots):
                wrong.append("not all go on once nobody kills any more")
            time.sleep(0.1)
        (home / "stop").touch()
        for slot in slots:
            assert slot.process is not None
            assert slot.reader is not None
            if (code := slot.process.wait(60)) != 0:
                wrong.append(f"{slot.name} ended with {code}")
            slot.reader.join()
        wrong += [one for slot in slots for one in slot.wrong]
        size, more = judged(home, slots)
        wrong += more
    finally:
        for slot in slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.kill()
        if wrong:
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)
    how = ", ".join(f"{count} {what}" for what, count in sorted(kills.items()))
    told = sum(len(slot.told) for slot in slots)
    print(f"{sum(kills.values())} kills ({how}), {told} acknowledged, {size} entered: {len(wrong)} lost, doubled or false; "
          f"{time.monotonic() - begun_s:.0f} s")  # fmt: skip
    for one in wrong[:20]:
        print(one)
    return 1 if wrong else 0


def waited(slot: Slot, most_s: float = 60.0) -> bool:
    """Until something was acknowledged in this life."""
    end_s = time.monotonic() + most_s
    while not slot.fresh and time.monotonic() < end_s:
        if slot.process is None or slot.process.poll() is not None:
            return False
        time.sleep(0.002)
    return bool(slot.fresh)


def judged(home: Path, slots: list[Slot]) -> tuple[int, list[str]]:
    """How much is entered, and what is wrong with it."""
    wrong = []
    log, vault = Log(home / "log.db"), Vault(home / "keys.db", ROOT_KEY)
    log.recompute()
    log.scrub()
    entries = [(tree.leaf_hash(leaf).hex(), json.loads(leaf)) for leaf in log.leaves(0, log.size)]
    for slot in slots:
        numbers = [value["data"]["number"] for _, value in entries if value["stream"] == f"run:{slot.name}"]
        if numbers != list(range(len(numbers))):
            wrong.append(f"{slot.name}: its numbers are not 0 to {len(numbers) - 1} in order, each once")
        for number, (index, leaf) in slot.told.items():
            if index >= len(entries) or entries[index][0] != leaf or entries[index][1]["data"]["number"] != number:
                wrong.append(f"{slot.name}/{number} was acknowledged as entry {index} and is not there")
    for _, value in entries:
        for sealed in value.get("payload", ()):
            kept = log.payload(sealed["digest"])
            said = f"{value['stream'].removeprefix('run:')}/{value['data']['number']}".encode()
            if kept is None or kept[2] is None or vault.open(kept[0], kept[1], kept[2], sealed["commitment"]) != said:
                wrong.append(f"the content of {said.decode()} is not there")
    key = Ed25519PrivateKey.generate()
    plain = note.Checkpoint(ORIGIN, log.size, log.root(log.size))
    signer = Signer(ORIGIN, key, home / "memory")
    export(log, home / "bundle", note.SignedCheckpoint(plain, (signer.sign(plain, 0, []),)))
    verdict = verify(home / "bundle", str(signer.verifier_key))
    if not verdict.holds:
        wrong.append(f"verify: {verdict.step}: {verdict.where}: {verdict.why}")
    vault.close()
    log.close()
    return len(entries), wrong


if __name__ == "__main__":
    os.environ.pop("PYTHONWARNINGS", None)
    sys.exit(main())
