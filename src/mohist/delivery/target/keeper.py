"""Keeps the releases of one single-host environment running, and owns the switch before them: a process of its own.

    python -m mohist.delivery.target.keeper FOLDER

It outlives whoever deploys, so that a killed deploy leaves users what they had. What it should run stands in
`FOLDER/state.json`; killed itself and started again it goes on from there. Orders come as one JSON line each over
loopback, with a token that only the owner of FOLDER can read. Each is idempotent.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketStream, TaskGroup, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from mohist.delivery.target.switch import Switch
from mohist.sandbox import Bubblewrap, Landlock, Limits, Profile, Sandbox, SandboxError

_LINE_BYTES = 256 * 1024
_LOG_BYTES = 8 * 1024**2
_RESTART_S = (0.2, 1.0, 5.0, 15.0)

logger = logging.getLogger("mohist.delivery.keeper")


@dataclass(frozen=True, slots=True)
class Service:
    """One release as it should run."""

    release_id: str
    command: str
    folder: str
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    memory_bytes: int = 4 * 1024**3


@dataclass(slots=True)
class _Running:
    scope: anyio.CancelScope
    ended: anyio.Event
    up: bool = False
    starts: int = 0
    last: str = ""


class Keeper:
    """The process's state, and what it does at an order."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self._switch = Switch()
        self._services: dict[str, Service] = {}
        self._shares: tuple[tuple[str, int], ...] = ()
        self._owner = ""
        self._listen = ""
        self._running: dict[str, _Running] = {}
        self._group: TaskGroup | None = None
        self._keeping = anyio.Lock()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Takes orders until cancelled; then everything it keeps is stopped."""
        token = secrets.token_hex(32)
        async with anyio.create_task_group() as group:
            self._group = group
            await self._resume()
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            port = int(listener.extra(SocketAttribute.local_port))  # noqa: S610 - not Django's
            _write(self._folder / "address.json", {"port": port, "token": token, "pid": os.getpid()})
            task_status.started()

            async def handle(stream: SocketStream) -> None:
                async with stream:
                    with anyio.move_on_after(120):
                        await self._answer(stream, token)

            try:
                await listener.serve(handle)
            finally:
                await self._switch.close()
                group.cancel_scope.cancel()

    async def _resume(self) -> None:
        try:
            state = json.loads((self._folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        self._owner = state["owner"]
        self._shares = tuple((name, weight) for name, weight in state["shares"])
        for item in state["services"]:
            service = Service(**{**item, "readable": tuple(item["readable"]), "writable": tuple(item["writable"])})
            self._services[service.release_id] = service
            await self._start(service)
        if state["listen"]:
            await self._open(state["listen"])
        self._turn()

    async def _keep(self) -> None:
        """Writes down what is so now. In a thread: a busy disk takes seconds, and users' bytes pass through this loop."""
        async with self._keeping:
            state = {
                "listen": self._listen,
                "owner": self._owner,
                "shares": self._shares,
                "services": [asdict(service) for service in self._services.values()],
            }
            await to_thread.run_sync(_write, self._folder / "state.json", state)

    async def _open(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        await self._switch.listen(host.strip("[]"), int(port))
        self._listen = listen

    def _turn(self) -> None:
        known = self._services
        self._switch.turn(tuple((name, known[name].port, weight) for name, weight in self._shares if name in known))

    async def _answer(self, stream: SocketStream, token: str) -> None:
        try:
            line = await BufferedByteReceiveStream(stream).receive_until(b"\n", _LINE_BYTES)
            order = json.loads(line)
            if not hmac.compare_digest(str(order.pop("token", "")), token):
                answer: dict[str, Any] = {"error": "wrong token"}
            else:
                answer = await self._obey(order)
        except (ValueError, KeyError, TypeError, anyio.IncompleteRead, anyio.DelimiterNotFound):
            answer = {"error": "not understood"}
        except OSError as error:
            answer = {"error": error.strerror or str(error)}
        with suppress(anyio.BrokenResourceError):
            await stream.send(json.dumps(answer).encode() + b"\n")

    async def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order.pop("do"):
            case "status":
                return self._status()
            case "claim":
                return await self._claim(str(order["owner"]))
            case "start":
                owner, listen = str(order.pop("owner")), str(order.pop("listen"))
                return await self._begin(owner, listen, Service(**order))
            case "turn":
                shares = tuple((str(name), int(share)) for name, share in order["shares"])
                return await self._turn_to(order["owner"], shares)
            case "stop":
                return await self._stop(order["release_id"], float(order["drain_s"]))
            case "free":
                if self._owner == order["owner"]:
                    self._owner = ""
                    await self._keep()
                return self._status()
            case "end" if order.get("idle") and (self._owner or self._running or self._shares):
                return self._status()
            case "end":
                os.kill(os.getpid(), signal.SIGTERM)
                return {}
            case _:
                return {"error": "not understood"}

    def _status(self) -> dict[str, Any]:
        running = self._running
        return {
            "shares": self._shares,
            "owner": self._owner,
            "listen": self._listen,
            "services": {
                name: {
                    "port": service.port,
                    "up": name in running and running[name].up,
                    "starts": running[name].starts if name in running else 0,
                    "last": running[name].last if name in running else "",
                }
                for name, service in self._services.items()
            },
        }

    async def _claim(self, owner: str) -> dict[str, Any]:
        if self._owner not in ("", owner):
            return {"busy": self._owner}
        self._owner = owner
        await self._keep()
        return self._status()

    async def _begin(self, owner: str, listen: str, service: Service) -> dict[str, Any]:
        if not self._listen:
            await self._open(listen)
        elif listen != self._listen:
            return {"error": f"it listens on {self._listen} already"}
        claimed = await self._claim(owner)
        if "busy" in claimed:
            return claimed
        if service.release_id not in self._services:
            asked = {**asdict(service), "port": _free_port()}
            self._services[service.release_id] = Service(**asked)
            await self._keep()
            await self._start(self._services[service.release_id])
        return self._status()

    async def _turn_to(self, owner: str, shares: tuple[tuple[str, int], ...]) -> dict[str, Any]:
        if self._owner != owner:
            return {"busy": self._owner or "nobody"}
        missing = [name for name, _ in shares if name not in self._services]
        if missing:
            return {"error": f"{missing[0]} does not run"}
        self._shares = shares
        await self._keep()
        self._turn()
        return self._status()

    async def _stop(self, release_id: str, drain_s: float) -> dict[str, Any]:
        if self._serves(release_id):
            return {"error": f"{release_id} still serves"}
        cut = await self._switch.drain(release_id, drain_s)
        if cut:
            logger.warning("%s did not answer %d requests within %g s", release_id, cut, drain_s)
        if self._serves(release_id):
            return {"error": f"{release_id} serves again"}
        self._services.pop(release_id, None)
        await self._keep()
        running = self._running.pop(release_id, None)
        if running is not None:
            running.scope.cancel()
            await running.ended.wait()
        return self._status()

    def _serves(self, release_id: str) -> bool:
        return any(name == release_id and weight > 0 for name, weight in self._shares)

    async def _start(self, service: Service) -> None:
        assert self._group is not None
        running = _Running(anyio.CancelScope(), anyio.Event())
        self._running[service.release_id] = running
        self._group.start_soon(self._run, service, running)

    async def _run(self, service: Service, running: _Running) -> None:
        """Starts it again as often as it ends, more slowly each time; a release that crashes is the probe's to judge."""
        try:
            with running.scope:
                while True:
                    running.starts += 1
                    try:
                        running.last = await self._once(service, running)
                    except (SandboxError, OSError) as error:
                        running.last = str(error)
                    running.up = False
                    logger.warning("%s ended: %s", service.release_id, running.last)
                    await anyio.sleep(_RESTART_S[min(running.starts - 1, len(_RESTART_S) - 1)])
        finally:
            running.up = False
            running.ended.set()

    async def _once(self, service: Service, running: _Running) -> str:
        profile = Profile(
            workspace=Path(service.folder),
            extra_readable=tuple(Path(path) for path in service.readable),
            extra_writable=tuple(Path(path) for path in service.writable),
            network="full",
            env={**service.env, "PORT": str(service.port)},
            limits=Limits(memory_bytes=service.memory_bytes, cpu_s=0),
        )
        process = await self._sandbox.launch(["sh", "-c", service.command], cwd=profile.workspace, profile=profile)
        try:
            running.up = True
            with (self._folder / "log" / f"{service.release_id}.log").open("ab") as log:
                async for chunk in process.output():
                    if log.tell() > _LOG_BYTES:
                        log.truncate(0)
                    log.write(chunk)
                    log.flush()
            return f"exit code {(await process.wait()).code}"
        finally:
            with anyio.CancelScope(shield=True):
                await process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write(path: Path, value: Any) -> None:
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


async def _main(folder: Path, backend: str) -> None:
    sandbox = Landlock(accepted="landlock", state=folder) if backend == "landlock" else Bubblewrap(state=folder)
    try:
        async with anyio.create_task_group() as group:
            await group.start(Keeper(folder, sandbox).serve)
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    break
            group.cancel_scope.cancel()
    finally:
        if isinstance(sandbox, Bubblewrap):
            sandbox.close()


def _locked(descriptor: int) -> bool:
    for _ in range(20):  # who only looks whether a keeper lives holds the lock for a moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def main(arguments: list[str]) -> int:
    """Exit code 0: told to end, or another one keeps this folder already."""
    folder = Path(arguments[0])
    os.chdir("/")
    os.umask(0o077)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    with (folder / "keeper.lock").open("ab") as lock:
        if not _locked(lock.fileno()):
            return 0
        (folder / "address.json").unlink(missing_ok=True)
        anyio.run(_main, folder, arguments[1] if len(arguments) > 1 else "bubblewrap")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
