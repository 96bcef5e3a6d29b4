"""Machines that share a log in PostgreSQL: here, or in processes of their own that may be killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

from mohist.ledger import Draft, decode, tree
from mohist.ledger.postgres import Address, Inbox, PostgresLog, Sequencer
from mohist.ledger.writer import Writer

LIMIT_S = 60.0

# argv: url, name, first number, how many, how: "" as usual; "alone" only hands in; "stops" once in the middle of a transaction;
# "copies" once in the middle of what it writes; "stays" once it has entered.
_PROCESS = """
import sys
from mohist.ledger import Draft
from mohist.ledger.pack import Packing
from mohist.ledger.postgres import Address, Inbox, PostgresLog, Sequencer
from mohist.ledger.writer import Writer

url, name, start, count, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
put, send, pack = PostgresLog._put, Inbox._send, Packing.pack

def stops(log, grown):
    put(log, grown)
    if grown.rows:
        PostgresLog._put = put
        print("middle", flush=True)
        sys.stdin.readline()

def copies(packing, leaf):
    Packing.pack = pack
    print("middle", flush=True)
    sys.stdin.readline()
    return pack(packing, leaf)

def hands_in(inbox, *more):
    send(inbox, *more)
    print("sent", flush=True)

if how == "stops":
    PostgresLog._put = stops
if how == "copies":
    Packing.pack = copies
if how == "alone":
    Inbox._send = hands_in
sequencer = None if how == "alone" else Sequencer(Address(url), idle_s=1.0)
writer = Writer(Inbox(Address(url)))
for number in range(start, start + count):
    writer.append(Draft("tool.result", "run:" + name, "model:m", data={"number": number}, key=f"{name}/{number}"))
    print(number, flush=True)
if how == "stays":
    sys.stdin.readline()
writer.close()
if sequencer is not None:
    sequencer.close()
"""


class Machine:
    """One that enters, and may be elected; a real one is a process."""

    def __init__(self, address: Address, answer_s: float = LIMIT_S) -> None:
        self.sequencer = Sequencer(address, idle_s=5.0, stuck_s=1.5)
        self.inbox = Inbox(address, answer_s)
        self.writer = Writer(self.inbox)

    def close(self) -> None:
        self.writer.close()
        self.sequencer.close()


def process(url: str, name: str, start: int = 0, count: int = 1, how: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROCESS, url, name, str(start), str(count), how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")


def end(machine: subprocess.Popen[str]) -> list[str]:
    """Waits for a process; what it still said."""
    said, _ = machine.communicate(timeout=LIMIT_S)
    return said.split()


def draft(number: int, stream: str = "run:a", key: str = "") -> Draft:
    return Draft("tool.result", stream, "model:m", data={"number": number}, key=key)


def numbers(address: Address, stream: str = "run:a") -> list[int]:
    log = PostgresLog(address, read_only=True)
    try:
        return [decode(leaf)["data"]["number"] for _, leaf in log.stream(stream)]
    finally:
        log.close()


def whole(address: Address) -> int:
    """That the log is what it says it is, entry by entry; how many it has."""
    log = PostgresLog(address, read_only=True)
    try:
        log.recompute()
        log.scrub()
        edge = tree.Edge()
        for leaf in log.leaves(0, log.size):
            edge.append(tree.leaf_hash(leaf))
        assert (edge.size, edge.root()) == (log.size, log.root(log.size))
        return log.size
    finally:
        log.close()


def until(holds: Callable[[], bool]) -> None:
    """Waits for a condition."""
    end_s = time.monotonic() + LIMIT_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < end_s
        pause.wait(0.02)
