"""A process that deploys and is killed: `python deployer.py ORDER`, with a pickled order beside its book."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from deploy_room import FolderGround, MemoryBook, delivery

from mohist.base import SystemClock
from mohist.delivery.deploy import deploy
from mohist.delivery.state import Release


@dataclass
class FileBook(MemoryBook):
    """A book that outlives its process; at `dies_at`, the first time a row has that status, the process is killed."""

    path: Path = field(default_factory=Path)
    dies_at: str = ""

    def __post_init__(self) -> None:
        if self.path.is_file():
            self.rows, self.effects = pickle.loads(self.path.read_bytes())

    def put_release(
        self, delivery_id: str, release: Release, notes: Sequence[tuple[str, str, dict[str, Any]]] = ()
    ) -> None:
        super().put_release(delivery_id, release, notes)
        self._save()
        if release.status == self.dies_at:
            # Not at once: the step that the row announces is under way then.
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def done(self, key: str, result: dict[str, Any]) -> None:
        super().done(key, result)
        self._save()

    def _save(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(pickle.dumps((self.rows, self.effects)))
        fresh.replace(self.path)


@dataclass
class Order:
    """What is deployed where; the same for the process that is killed and the one that goes on."""

    target: Any
    environment: Any
    commit: str
    copies: Path
    book: Path
    turn: int = 0
    dies_at: str = ""

    async def carry_out(self, dies_at: str = "") -> Release:
        book: Any = FileBook(path=self.book, dies_at=dies_at)
        ground: Any = FolderGround(self.copies)
        return await deploy(
            delivery(), self.environment, self.commit, book, ground, self.target, SystemClock(), turn=self.turn
        )

    async def carry_out_killed(self) -> None:
        """In a process of its own, which is killed at `dies_at`."""
        file = self.book.with_suffix(".order")
        file.write_bytes(pickle.dumps(self))
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        argv = [sys.executable, __file__, str(file)]
        async with await anyio.open_process(argv, stdout=None, stderr=None, env=env) as process:
            with anyio.fail_after(60):
                code = await process.wait()
        assert code == -signal.SIGKILL, code


async def main() -> None:
    order = pickle.loads(await anyio.Path(sys.argv[1]).read_bytes())
    await order.carry_out(order.dies_at)


if __name__ == "__main__":
    # Pickled as the class of the module that the tests import, not as __main__'s.
    sys.modules["deployer"] = sys.modules["__main__"]
    anyio.run(main)
