"""A developer at a command line: a home, a repository, a model endpoint, and `python -m mohist` as a child process."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fakes.upstream import Call, Received, Reply, Upstream, chat_wire

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
"""Bound of every wait; a test that comes near it has failed."""

_ids = itertools.count(1)

Scripted = Reply | Callable[[Received], Reply]


def call(name: str, **arguments: Any) -> Call:
    """A tool call with an id of its own."""
    return f"call_{next(_ids)}", name, json.dumps(arguments)


def says(text: str = "", *calls: Call, **wire: Any) -> Reply:
    """One answer of the model."""
    return Reply(chat_wire(text, calls, **wire))


def shell(command: str, **arguments: Any) -> Reply:
    """An answer that runs one command."""
    return says("", call("shell", command=command, **arguments))


def until(condition: Callable[[], Any], what: str = "the condition", limit_s: float = LIMIT_S) -> Any:
    """Looks until `condition` holds; returns what it gave."""
    deadline_s = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"waited {limit_s} s for {what}"
        time.sleep(0.005)
    return value


def alive(argv: str) -> list[int]:
    """Processes with exactly this command line."""
    wanted = argv.replace(" ", "\0").encode() + b"\0"
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == wanted:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Endpoint:
    """The scripted upstream on a thread of its own, so that a test can wait for child processes meanwhile."""

    def __init__(self, replies: Iterable[Scripted], port: int = 0) -> None:
        self.upstream = Upstream(replies, port)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._stop = asyncio.Event()
        async with self.upstream:
            self._ready.set()
            await self._stop.wait()

    @property
    def model(self) -> str:
        return f"{self.upstream.url}/v1#served-model"

    @property
    def requests(self) -> list[Received]:
        return [request for request in self.upstream.requests if request.method == "POST"]

    def results(self, turn: int = -1) -> list[str]:
        """The tool results that a request carried, in order."""
        return [m["content"] for m in self.requests[turn].json["messages"] if m["role"] == "tool"]

    def words(self, turn: int = -1) -> str:
        """All that a request said, as one text."""
        return "\n".join(str(m.get("content")) for m in self.requests[turn].json["messages"])


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def is_clean(self) -> Self:
        """No stack trace; stdout may hold one, in the output of a command that a log tells of."""
        assert "Traceback (most recent" not in self.err, self.err
        assert "ExceptionGroup" not in self.err, self.err
        return self


@dataclass
class Developer:
    """One person on one machine."""

    room: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.room / "state"
        self.repo = self.room / "repo"
        self.started: list[subprocess.Popen[bytes]] = []
        self.marker = f"{os.getpid()}{next(_ids):05}"
        """A number that no other process has on its command line; `sleep` takes it as a fraction."""
        kept = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "XDG_CACHE_HOME")
            if name in os.environ
        }
        self.env = kept | {"MOHIST_HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"} | self.env

    # The repository

    def make_repo(self, files: dict[str, str] | None = None, *, commit: bool = True) -> Path:
        """A repository with one commit."""
        self.repo.mkdir()
        self.git("init", "-q", "-b", "main")
        for name, text in (files if files is not None else {"greet.py": 'print("hello")\n'}).items():
            self.write(name, text)
        if commit:
            self.git("add", "-A")
            self.git("commit", "-q", "-m", "Start")
        return self.repo

    def git(self, *words: str) -> str:
        """The developer's own git."""
        identity = ("-c", "user.name=dev", "-c", "user.email=dev@localhost", "-c", "commit.gpgsign=false")
        env = self.env | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(["git", *identity, *words], cwd=self.repo, env=env, capture_output=True, check=True)
        return done.stdout.decode()

    def write(self, name: str, text: str) -> Path:
        path = self.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def read(self, name: str) -> str:
        return (self.repo / name).read_text("utf-8")

    # The command line

    def mohist(self, *words: str, stdin: str | None = None, cwd: Path | None = None, **env: str) -> Said:
        """Runs a command to its end."""
        child = self.start(*words, cwd=cwd, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL, **env)
        return self.ended(child, stdin)

    def start(
        self, *words: str, cwd: Path | None = None, stdin: int = subprocess.DEVNULL, **env: str
    ) -> subprocess.Popen[bytes]:
        """Starts a command as a terminal would, in a process group of its own."""
        child = subprocess.Popen(
            [sys.executable, "-m", "mohist", *words],
            cwd=cwd or self.repo,
            env=self.env | env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.started.append(child)
        return child

    def ended(self, child: subprocess.Popen[bytes], stdin: str | None = None) -> Said:
        """Waits for its end."""
        out, err = child.communicate(stdin.encode() if stdin is not None else None, timeout=LIMIT_S)
        return Said(child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")).is_clean()

    def run(self, endpoint: Endpoint, *words: str, task: str = "do it", **env: str) -> Said:
        """`mohist run` against an endpoint."""
        return self.mohist("run", "--model", endpoint.model, *words, task, **env)

    # What is left behind

    def logs(self) -> list[Path]:
        return sorted((self.home / "runs").glob("*/log.jsonl"))

    def records(self, run: int = -1) -> list[dict[str, Any]]:
        """The records of a run; every line must be whole."""
        text = self.logs()[run].read_text("ascii")
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    def kinds(self, run: int = -1) -> list[str]:
        return [record["kind"] for record in self.records(run)]

    def outcomes(self, run: int = -1) -> list[dict[str, Any]]:
        return [record for record in self.records(run) if record["kind"] == "outcome"]

    def sleeper(self) -> str:
        """A command that ends only when it is killed, and can be found by the marker."""
        return f"sleep 8640000.{self.marker}"

    def running(self) -> list[int]:
        """Processes of the sleeper."""
        return alive(self.sleeper())

    def end(self) -> None:
        """Ends what the test left."""
        for child in self.started:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(LIMIT_S)
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
