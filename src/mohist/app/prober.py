"""A user of a service on loopback: asks again and again, and counts what failed."""

from __future__ import annotations

import threading
from http.client import HTTPConnection, HTTPException
from typing import Self

PAUSE_S = 0.02
LIMIT_S = 5.0


class Prober:
    """Asks from a thread of its own while it is entered; each request has a connection of its own.

    Args:
        port: on 127.0.0.1.
        target: path and query.
    """

    def __init__(self, port: int, target: str) -> None:
        self._port, self._target = port, target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self.asked = 0
        self.failed = 0
        self.trouble = ""
        """How the first one failed."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S * 2)

    def _ask_on(self) -> None:
        while not self._stop.is_set():
            trouble = self._ask()
            self.asked += 1
            if trouble:
                self.failed += 1
                self.trouble = self.trouble or trouble
            self._stop.wait(PAUSE_S)

    def _ask(self) -> str:
        """What went wrong; empty: nothing."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=LIMIT_S)
        try:
            connection.request("GET", self._target)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        return "" if answer.status == 200 else f"status {answer.status}"
