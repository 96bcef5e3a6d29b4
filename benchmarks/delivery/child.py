"""One measurement of run.py, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
from engine_child import address_of

from mohist.app.office import Office
from mohist.app.work import work
from mohist.base import SystemClock
from mohist.delivery.engine import Engine, StepRunner
from mohist.delivery.engine.contract import ENDED
from mohist.delivery.engine.dbos import DbosEngine
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.plain import PlainEngine
from mohist.delivery.machine import advance
from mohist.delivery.state import Delivery, Gate
from mohist.delivery.store import Store


def opened(order: dict[str, Any], segments: dict[str, Any]) -> tuple[Engine, Store]:
    book = Store(address_of(order["book"]), SystemClock())
    where = address_of(order["engine"])
    if order["arrangement"] == "plain":
        return PlainEngine(segments, Journal(where, SystemClock()), book), book
    return DbosEngine(where, segments, book, SystemClock()), book


def steps(order: dict[str, Any]) -> None:
    """What a step costs, and how many segments go through."""
    count, many = order["steps"], order["segments"]
    taken_s: list[float] = []

    async def long(step: StepRunner | Callable[..., Any], *_: object) -> None:
        async def nothing() -> int:
            return 1

        begun_s = time.perf_counter()
        for number in range(count):
            await step(f"step {number}", nothing)
        taken_s.append(time.perf_counter() - begun_s)

    async def short(step: StepRunner, *_: object) -> int:
        return await step("one", lambda: 1)

    async def direct(_: str, fn: Callable[[], Any]) -> Any:
        return await fn()

    if order["arrangement"] == "no engine":
        anyio.run(partial(long, direct))
        print(json.dumps({"step_ms": 1000 * taken_s[0] / count}))
        return
    engine, book = opened(order, {"spec": long, "build": short})
    wait(engine, [engine.start("build", "warm", 1)])
    wait(engine, [engine.start("spec", "d", 1)])
    begun_s = time.perf_counter()
    keys = [engine.start("build", f"d-{number}", 1) for number in range(many)]
    started_s = time.perf_counter() - begun_s
    wait(engine, keys)
    ended_s = time.perf_counter() - begun_s
    engine.close()
    book.close()
    figures = {"step_ms": 1000 * taken_s[0] / count, "segments_s": many / ended_s, "starts_s": many / started_s}
    print(json.dumps(figures))


def idle(order: dict[str, Any]) -> None:
    """`mohist deliver work`, where all deliveries wait for people."""
    office = Office(order["env"])
    for number in range(order["waiting"]):
        name = f"w-{number}"
        words = (name, "/repository", "Say hello.", "text", "mo", "a" * 40, "main", f"mohist/{name}")
        office.book.create(Delivery(*words, "working", "clarify", 1, 1, 1, options={"yes": order["yes"]}))
        gate = Gate("", "merge", "clarify", "the change", "0" * 64, (("bob",),), False)
        office.book.move(name, lambda facts, gate=gate: advance(facts, office.clock.now_ms(), {"clarify": [gate]}))
    assert len(office.book.list("waiting")) == order["waiting"]
    anyio.run(work, office, lambda _: print("ready", flush=True))
    office.close()


def wait(engine: Engine, keys: list[str]) -> None:
    while any(status.state not in ENDED for status in engine.status(keys).values()):
        time.sleep(0.05)


if __name__ == "__main__":
    {"steps": steps, "idle": idle}[sys.argv[1]](json.loads(sys.argv[2]))
