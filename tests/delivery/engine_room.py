"""Workers that tests start, kill and look at, and the outside world they have effects on."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIMIT_S = 60.0


class Shop:
    """Counts what is ordered by POST, by name; tells by GET whether it was."""

    def __init__(self) -> None:
        self.orders: Counter[str] = Counter()
        guard = threading.Lock()
        orders = self.orders

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with guard:
                    orders[self.path[1:]] += 1
                self._answer(201)

            def do_GET(self) -> None:
                with guard:
                    self._answer(200 if self.path[1:] in orders else 404)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LIMIT_S)


class Foreman:
    """Starts workers through a program such as `engine_child.py`; `folder` is where they leave their marks."""

    def __init__(self, program: str = "engine_child.py") -> None:
        self.folder = Path()
        searched = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, HERE / program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": searched, "PYTHONDONTWRITEBYTECODE": "1"},
            text=True,
            bufsize=1,
        )
        self._made: queue.Queue[int] = queue.Queue()
        self._pids: list[int] = []
        self._codes: dict[int, int] = {}
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def start(self, **order: Any) -> int:
        """A worker; its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"folder": str(self.folder), **order}) + "\n")
        pid = self._made.get(timeout=LIMIT_S)
        self._pids.append(pid)
        return pid

    def wait(self, pid: int, limit_s: float = LIMIT_S) -> int:
        """Its exit code, once it has ended; of a signal, the negative number."""
        with self._changed:
            assert self._changed.wait_for(lambda: pid in self._codes, limit_s), f"worker {pid} does not end"
            return self._codes[pid]

    def kill_all(self) -> None:
        """Ends those that live, and waits for it."""
        for pid in self._pids:
            self.kill(pid)
        for pid in self._pids:
            self.wait(pid)
        self._pids.clear()

    def running(self, pid: int) -> bool:
        with self._changed:
            return pid not in self._codes

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        if self.running(pid):
            os.kill(pid, number)

    def close(self) -> None:
        """Ends them all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(LIMIT_S)
        self._thread.join(LIMIT_S)
        self._process.stdout.close()

    def told(self) -> dict[str, list[Any]]:
        """State, result and error by key, as the last worker saw them."""
        return json.loads((self.folder / "told").read_text(encoding="utf-8"))

    def lines(self, name: str) -> Sequence[str]:
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def until(self, pattern: str) -> list[Path]:
        """Waits for files of a name."""
        end_s = time.monotonic() + LIMIT_S
        found = list(self.folder.glob(pattern))
        while not found:
            assert time.monotonic() < end_s, f"no {pattern!r}"
            time.sleep(0.01)
            found = list(self.folder.glob(pattern))
        return found

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pid, *code = map(int, line.split())
            if code:
                with self._changed:
                    self._codes[pid] = code[0]
                    self._changed.notify_all()
            else:
                self._made.put(pid)
