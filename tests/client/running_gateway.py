"""A gateway as its operator sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = os.environ.get("MOHIST_CLIENT_PREFIX", "")
"""Where the clients are installed; read before the tests' environment is emptied."""
PATIENCE_S = 60.0
DIALECTS = ("openai-chat", "openai-responses", "anthropic-messages")


@dataclass
class Gateway:
    """A running `mohist serve` with one route for each dialect, as its operator sees it."""

    home: Path
    log: Path
    vendor_key: str
    url: str = ""

    @property
    def env(self) -> dict[str, str]:
        shared = {name: os.environ[name] for name in ("XDG_CACHE_HOME",) if name in os.environ}
        return shared | {"MOHIST_HOME": str(self.home), "HOME": str(self.home), "PATH": "/usr/bin:/bin"}

    def mohist(self, *args: str) -> Any:
        """The JSON that a command prints."""
        command = [sys.executable, "-m", "mohist", *args, "--json"]
        return json.loads(subprocess.run(command, env=self.env, capture_output=True, timeout=30, check=True).stdout)

    def new_key(self, *limits: str) -> tuple[str, str]:
        """Id and secret."""
        made = self.mohist("keys", "create", "--user", "ann", *limits)
        return made["key_id"], made["secret"]

    def status(self, key: str) -> int:
        """What the list of models answers to this key."""
        asked = urllib.request.Request(f"{self.url}/v1/models", headers={"authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def usage(self, by: str, calls: int) -> list[dict[str, Any]]:
        """All usage, once it holds `calls` calls."""
        rows: list[dict[str, Any]] = []

        def come() -> bool:
            rows[:] = self.mohist("usage", "--by", by)
            return sum(row["calls"] for row in rows) >= calls

        until(come, lambda: f"{calls} calls in {rows}")
        return rows

    def files(self) -> Iterator[bytes]:
        """Everything it wrote."""
        for path in (*self.home.rglob("*"), self.log):
            if path.is_file():
                yield path.read_bytes()


def until(fact: Callable[[], bool], what: Callable[[], str]) -> None:
    """Looks until `fact` holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline_s, f"waited in vain for {what()}"
        time.sleep(0.05)
