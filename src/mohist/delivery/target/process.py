"""A service on this host: releases side by side as confined processes, one switch before them, no failed request.

What is kept lies in one folder: `releases/ID` (copies of artefacts), `data` (the service's own, shared by releases),
`log`, and what the keeper needs. The keeper is started when it is not there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import anyio
from anyio import to_thread
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.target.contract import Answer, ReleaseFacts, Standing, Strategy
from mohist.delivery.target.probe import ProbeSpec, ask
from mohist.sandbox import start_detached

_START_S = 30.0
_ORDER_S = 90.0
_LINE_BYTES = 1024**2
_FACTS = "RELEASE.json"


@dataclass(frozen=True, slots=True)
class ProcessTarget:
    """Fills `Target`. `previous` is started again from its folder where it no longer runs."""

    home: Path
    command: str
    """Started by `sh -c` in the release's folder, confined, with `PORT`, `MOHIST_DATA` and the release's facts."""
    listen: str
    """Address of the switch, `127.0.0.1:8080`."""
    probing: ProbeSpec
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    readable: tuple[Path, ...] = ()
    backend: str = "bubblewrap"
    drain_s: float = 10.0
    keep: int = 3
    host_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """PATH and the like for the keeper itself."""
    path: str = ""
    """For a probe beside: path and query of the probe's address. Empty: the probe's own."""

    kind: ClassVar[str] = "process"
    strategies: ClassVar[frozenset[Strategy]] = frozenset({"blue-green", "canary"})

    def plan(self, release: ReleaseFacts) -> Sequence[str]:
        return [
            f"copy the artefact to {self.home / 'releases' / release.release_id}",
            f"start `{self.command}` beside what serves, on a free port",
            f"turn the switch at {self.listen} to it",
            "end what served before once its connections are silent",
        ]

    async def prepare(self, release: ReleaseFacts) -> None:
        await self._order({"do": "claim", "owner": release.release_id})
        await to_thread.run_sync(self._place, release)
        await self._start(release.release_id)

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:
        standing = await self._order({"do": "status"})
        others = [(name, share) for name, share in standing["shares"] if name != release.release_id and share > 0]
        shares = [(release.release_id, weight)]
        if weight < 100 and others:
            shares.append((others[0][0], 100 - weight))
        await self._order({"do": "turn", "owner": release.release_id, "shares": shares})

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:
        if not beside:
            return await ask(self.probing)
        try:
            standing = await self._order({"do": "status"})
        except TargetError as error:
            return Answer(ok=False, error=error.what)
        service = standing["services"].get(release.release_id)
        if service is None:
            return Answer(ok=False, error="it does not run")
        answer = await ask(self.probing, url=f"http://127.0.0.1:{service['port']}{self._path()}")
        if not answer.ok and service["last"]:
            return Answer(ok=False, error=f"{answer.error}; it ended with {service['last']}")
        return answer

    async def commit(self, release: ReleaseFacts) -> None:
        await self._order({"do": "claim", "owner": release.release_id})
        await self._settle()
        await self._order({"do": "free", "owner": release.release_id})
        await to_thread.run_sync(self._tidy, release.release_id)

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        standing = await self._order({"do": "claim", "owner": release.release_id})
        serving = {name for name, share in standing["shares"] if share > 0}
        if release.release_id in serving or not serving:
            if previous and previous not in standing["services"]:
                await self._start(previous, owner=release.release_id)
            shares = [(previous, 100)] if previous else []
            await self._order({"do": "turn", "owner": release.release_id, "shares": shares})
        await self._settle()
        await self._order({"do": "free", "owner": release.release_id})
        if not previous:
            # Nothing was here before, so nothing stays; unless somebody else came meanwhile, which the keeper knows.
            with contextlib.suppress(UnreachableError):
                await self._order({"do": "end", "idle": True})

    async def status(self) -> Standing:
        standing = await self._order({"do": "status"})
        serving = [name for name, share in standing["shares"] if share > 0]
        folder = self.home / "releases"
        kept = tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()
        # Of two in a canary the one that was there first is the active one: the other owns the switch.
        settled = [name for name in serving if name != standing["owner"]] or serving
        return Standing(settled[0] if settled else "", kept, f"serving: {', '.join(serving) or 'nothing'}")

    async def end(self) -> None:
        """Stops everything: service, switch, keeper. For who takes the environment down."""
        address = self._address()
        if address is not None and self._kept():
            await self._say(address, {"do": "end"})

    async def _settle(self) -> None:
        """Ends what does not serve."""
        standing = await self._order({"do": "status"})
        serving = {name for name, share in standing["shares"] if share > 0}
        for name in standing["services"]:
            if name not in serving:
                await self._order({"do": "stop", "release_id": name, "drain_s": self.drain_s})

    async def _start(self, release_id: str, owner: str = "") -> None:
        folder = self.home / "releases" / release_id
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TargetError(
                f"Release {release_id!r} is not kept on this host any more.", "Deploy its commit again."
            ) from None
        data = self.home / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        await self._order(
            {
                "do": "start",
                "owner": owner or release_id,
                "listen": self.listen,
                "release_id": release_id,
                "command": self.command,
                "folder": str(folder),
                "port": 0,
                "env": {**self.env, **facts, "MOHIST_DATA": str(data)},
                "readable": [str(path) for path in self.readable],
                "writable": [str(data)],
            }
        )

    def _place(self, release: ReleaseFacts) -> None:
        place = self.home / "releases" / release.release_id
        if (place / _FACTS).exists():
            return
        fresh = self.home / "incoming" / release.release_id
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(release.folder, fresh, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            facts = {**release.env(), "MOHIST_ARTEFACT": str(place)}
            (fresh / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
            place.parent.mkdir(exist_ok=True)
            fresh.replace(place)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(fresh, ignore_errors=True)
            why = error.strerror if isinstance(error, OSError) and error.strerror else "a file could not be copied"
            raise TargetError(f"The artefact can't be copied to {place.parent}: {why}.") from None

    def _tidy(self, active: str) -> None:
        folder = self.home / "releases"
        os.utime(folder / active)
        by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        others = [path for path in by_age if path.name != active]
        for path in others[max(1, self.keep - 1) :]:
            shutil.rmtree(path, ignore_errors=True)

    def _path(self) -> str:
        if self.path:
            return self.path
        rest = self.probing.url.partition("://")[2]
        return f"/{rest.partition('/')[2]}"

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        address = await self._reach()
        try:
            answer = await self._say(address, order)
        except ConnectionRefusedError:
            # A keeper that has just begun holds the lock a moment before it takes the last one's address away.
            address = await self._reach(gone=address)
            try:
                answer = await self._say(address, order)
            except ConnectionRefusedError:
                raise self._silent() from None
        if "busy" in answer:
            raise _busy(answer["busy"])
        if "error" in answer:
            raise TargetError(f"The keeper of {self.home} refused to {order['do']}: {answer['error']}.")
        return answer

    async def _say(self, address: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
        """Raises ConnectionRefusedError, too: nobody listens there, so that nothing was said."""
        try:
            with anyio.fail_after(_ORDER_S):
                async with await _connected(address["port"]) as stream:
                    await stream.send(json.dumps({**order, "token": address["token"]}).encode() + b"\n")
                    line = await BufferedByteReceiveStream(stream).receive_until(b"\n", _LINE_BYTES)
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        except ConnectionRefusedError:
            raise
        except (OSError, TimeoutError, ValueError, anyio.IncompleteRead, anyio.BrokenResourceError):
            raise self._silent() from None

    def _silent(self) -> UnreachableError:
        return UnreachableError(f"The keeper of {self.home} does not answer.", f"See {self.home / 'keeper.log'}.")

    def _address(self) -> dict[str, Any] | None:
        try:
            address: dict[str, Any] = json.loads((self.home / "address.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return address

    def _kept(self) -> bool:
        """Whether a keeper lives: it holds the lock, and an address beside a lock that is held is the holder's."""
        try:
            with (self.home / "keeper.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    async def _reach(self, gone: dict[str, Any] | None = None) -> dict[str, Any]:
        """The keeper's address, which is not that of one who is gone; it is started where there is none."""
        address = self._address()
        if address is not None and address != gone and self._kept():
            return address
        for name in ("", "log", "incoming", "releases"):
            (self.home / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        env = {name: self.host_env[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in self.host_env}
        # A second one that is started at the same time finds the first one's lock and ends.
        start_detached(
            "mohist.delivery.target.keeper", [str(self.home), self.backend], env=env, log=self.home / "keeper.log"
        )
        with anyio.move_on_after(_START_S):
            while True:
                await anyio.sleep(0.02)
                fresh = self._address()
                if fresh is not None and fresh != gone and self._kept():
                    return fresh
        raise UnreachableError(f"The keeper of {self.home} did not start.", f"See {self.home / 'keeper.log'}.")


async def _connected(port: int) -> SocketStream:
    try:
        return await anyio.connect_tcp("127.0.0.1", port)
    except OSError as error:
        if isinstance(error.__cause__, ConnectionRefusedError):
            raise ConnectionRefusedError(*error.__cause__.args) from None
        raise


def _busy(owner: str) -> BusyError:
    return BusyError(
        f"Release {owner!r} is under way here.", "Wait for it, or cancel its delivery: that takes it back."
    )
