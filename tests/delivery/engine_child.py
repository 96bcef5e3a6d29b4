"""A program that runs workers which die where they are told to. Read in once, then it forks: a worker starts at once.

On its input one order a line, as JSON; on its output `pid` of each worker made, and `pid code` of each that ended.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from mohist.base import MohistError, SystemClock
from mohist.delivery.engine.contract import ENDED, Body, Engine, StepRunner, parted
from mohist.delivery.engine.dbos import DbosEngine
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.plain import PlainEngine
from mohist.delivery.store import Store
from mohist.gateway.address import Address, file_address, home_address

WAIT_S = 60.0


class Points:
    """Counts the boundaries that a segment passes, and ends the process at one of them by the surest way there is."""

    def __init__(self, folder: Path, key: str, kill_at: int) -> None:
        self._log = folder / "points"
        self._key = key
        self._left = kill_at
        self._guard = threading.Lock()

    def __call__(self, name: str) -> None:
        if self._key not in name:
            return
        with self._guard:
            self._left -= 1
            if self._left == 0:
                with self._log.open("a", encoding="utf-8") as log:
                    log.write(f"{name}\n")
                os.kill(os.getpid(), signal.SIGKILL)


def address_of(text: str) -> Address:
    return file_address(Path(text)) if text.startswith("/") else home_address(Path("/"), {}, text)


def walked(folder: Path, port: int, point: Callable[[str], None]) -> Body:
    """A segment with every kind of step: plain, with an effect on a file, two side by side, one of them with a request."""

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> dict[str, Any]:
        def inside(name: str) -> None:
            point(f"inside:{steps.key}:{name}")

        def read() -> list[int]:
            inside("read")
            return [1, 2]

        async def append(begun: bool) -> dict[str, Any]:
            log = folder / "effects"
            line = f"{delivery_id}\n"
            if not (begun and log.exists() and line in log.read_text(encoding="utf-8").splitlines(keepends=True)):
                inside("file, before")
                with log.open("ab", buffering=0) as file:
                    file.write(line.encode())
                inside("file, after")
            return {"line": line}

        async def request(begun: bool) -> dict[str, Any]:
            if not (begun and await to_thread.run_sync(asked, port, "GET", delivery_id) == 200):
                inside("request, before")
                await to_thread.run_sync(asked, port, "POST", delivery_id)
                inside("request, after")
            return {}

        numbers = await steps("read", read)
        line = await steps("file", lambda: steps.effect(f"{delivery_id}/1/file", "file", append))
        found: dict[str, int] = {}

        async def side(name: str) -> None:
            if name == "left":
                await steps("left", lambda: steps.effect(f"{delivery_id}/1/request", "request", request))
            found[name] = await steps(f"{name} count", lambda: len(name))

        async with anyio.create_task_group() as group:
            group.start_soon(side, "left")
            group.start_soon(side, "right")
        return {"sum": sum(numbers) + found["left"] + found["right"], "line": line["line"], "turn": turn}

    return body


def held(folder: Path) -> Body:
    """A segment whose first step waits until a file is there, and whose second has an effect."""

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> str:
        async def wait() -> str:
            (folder / f"waiting-{steps.key.replace('/', '-')}-{os.getpid()}").touch()
            marks = [folder / "go", folder / f"go-{steps.key.replace('/', '-')}"]
            while not any(mark.exists() for mark in marks):  # noqa: ASYNC110 - a file sends no event
                await anyio.sleep(0.01)
            return "gone on"

        async def append(begun: bool) -> dict[str, Any]:
            log = folder / "effects"
            if not (begun and log.exists() and f"{delivery_id}\n" in log.read_text(encoding="utf-8")):
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"{delivery_id}\n")
            return {}

        said = await steps("wait", wait)
        await steps("file", lambda: steps.effect(f"{delivery_id}/{turn}/file", "file", append))
        return said

    return body


def asked(port: int, method: str, name: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request(method, f"/{name}")
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def work(order: dict[str, Any]) -> int:
    """One worker's life: it starts what nobody knows, and ends when everything is over or it is told to."""
    folder = Path(order["folder"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    point = Points(folder, order.get("kill_key", "none"), order.get("kill_at", 0))
    book = Store(address_of(order["book"]), SystemClock())
    segments = {"spec": walked(folder, order.get("port", 0), point), "build": held(folder)}

    def stopped(key: str) -> None:
        with (folder / "stopped").open("a", encoding="utf-8") as log:
            log.write(f"{os.getpid()} {key}\n")

    engine: Engine
    where = address_of(order["engine"])
    if order["adapter"] == "plain":
        engine = PlainEngine(segments, Journal(where, SystemClock()), book, at=point, stopped=stopped, watch_s=0.1)
    elif order["adapter"] == "temporal":
        from mohist.delivery.engine.temporal import TemporalEngine  # After the fork: its threads would not survive one.

        engine = TemporalEngine(
            *(order["target"], segments, Journal(where, SystemClock()), book),
            namespace=order["space"],
            at=point,
            stopped=stopped,
            watch_s=0.1,
            heartbeat_s=0.5,
        )
    else:
        engine = DbosEngine(
            *(where, segments, book, SystemClock()),
            slot=order.get("slot", 0),
            version=order.get("version", "1"),
            older=order.get("older", ()),
            at=point,
            stopped=stopped,
            tick_s=order.get("tick_s", 0.1),
            patience_s=order.get("patience_s", 0.2),
            poll_s=order.get("poll_s", 0.02),
        )
    (folder / f"ready-{os.getpid()}").touch()
    if "recover" in order:
        engine.recover(order["recover"])
    for step in order["keys"]:
        statuses = engine.status(step)
        for key in step:
            if statuses[key].state == "unknown":
                engine.start(*parted(key))
        while any(status.state not in ENDED for status in statuses.values()) and not stop.wait(0.02):
            # As a worker does: a round that fails is followed by another.
            with suppress(MohistError):
                statuses = engine.status(step)
        told = {key: [status.state, status.result, status.error] for key, status in statuses.items()}
        # A name of its own: two workers may see the end of the same work at the same moment.
        fresh = folder / f"told.{os.getpid()}"
        fresh.write_text(json.dumps(told), encoding="utf-8")
        fresh.rename(folder / "told")
    if order.get("sweeps"):
        sweep(engine, folder, stop)
    elif order.get("stays"):
        stop.wait()
    engine.close(order.get("grace_s", 5.0))
    book.close()
    return 0


def sweep(engine: Engine, folder: Path, stop: threading.Event) -> None:
    """Starts whatever a file asks for and nobody knows, and writes down what ended, until it is told to stop."""
    over: set[str] = set()
    for path in folder.glob("over-*"):
        over |= {line.rpartition(" ")[0] for line in path.read_text(encoding="utf-8").splitlines()}
    while not stop.wait(0.05):
        lines = (folder / "todo").read_text(encoding="utf-8").splitlines()
        # A database that is away comes back.
        with suppress(MohistError):
            for key, status in engine.status([key for key in lines if key not in over]).items():
                if status.state == "unknown":
                    engine.start(*parted(key))
                elif status.state in ENDED:
                    over.add(key)
                    with (folder / f"over-{os.getpid()}").open("a", encoding="utf-8") as log:
                        log.write(f"{key} {status.state}\n")


def main(work: Callable[[dict[str, Any]], int]) -> None:
    """Takes orders; `work` is one worker's life."""
    pids: set[int] = set()
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    orders = selectors.DefaultSelector()
    orders.register(0, selectors.EVENT_READ)
    orders.register(wake, selectors.EVENT_READ)
    pending = b""
    while True:
        for ready, _ in orders.select():
            if ready.fd == wake:
                os.read(wake, 4096)
                for pid in list(pids):
                    done, status = os.waitpid(pid, os.WNOHANG)
                    if done:
                        pids.discard(pid)
                        print(pid, os.waitstatus_to_exitcode(status), flush=True)
                continue
            read = os.read(0, 65536)
            if not read:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                return
            pending += read
            *lines, pending = pending.split(b"\n")
            for line in lines:
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os.close(0)
                    code = 1
                    try:
                        code = work(json.loads(line))
                    except MohistError as error:
                        print(f"worker {os.getpid()}: {error}", file=sys.stderr, flush=True)
                    except BaseException:
                        traceback.print_exc()
                    finally:
                        os._exit(code)
                pids.add(pid)
                print(pid, flush=True)


if __name__ == "__main__":
    main(work)
