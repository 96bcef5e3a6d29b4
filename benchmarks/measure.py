"""What is measured, one function each; every one lets all clients take turns in every round."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import trial
from trial import Trial

from client import Client, Step, line

SMALL_FILES = 200
SEARCHED_FILES = 2000
EDITED_LINES = (1_000, 5_000, 20_000)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: what each client took."""

    name: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)
    """By client, one per round (or per turn)."""
    goal: float | None = None
    """What Mohist should stay at or below; None: there is no goal."""

    def middle(self, client: str) -> float | None:
        """The median; None: not measured with this client."""
        found = self.values.get(client)
        return median(found) if found else None


class Bench:
    """The folders and repositories that all measurements share.

    Args:
        room: an empty folder.
        clients: in the order in which they take turns.
        rounds: how often each takes its turn.
    """

    def __init__(self, room: Path, clients: Sequence[Client], rounds: int) -> None:
        self.room = room
        self.clients = clients
        self.rounds = rounds
        self._names = iter(range(1_000_000))

    def start(self) -> list[Figure]:
        """From the start of the command to its first request and to its exit, after one answer."""
        repository = self._repository("start", _small())
        figures = {
            "warm": (Figure("first request, warm", "s", goal=0.5), Figure("exit, warm", "s")),
            "cold": (Figure("first request, cold", "s", goal=1.2), Figure("exit, cold", "s")),
            "first ever": (Figure("first request, nothing compiled", "s"), Figure("exit, nothing compiled", "s")),
        }
        settled = Figure("first request, warm, with a mohist.toml", "s", goal=0.5)
        kept = {client.name: self._folder() for client in self.clients}
        with_file = self._folder()
        (with_file / "state").mkdir(parents=True)
        (with_file / "state" / "mohist.toml").write_text("max_turns = 90\n", encoding="utf-8")
        for client in self.clients:  # so that warm is warm
            trial.run(client, [Step("end")], repository, kept[client.name])
        for state, (first, last) in figures.items():
            for client in self._turns():
                fresh = self._folder()
                if state != "warm":
                    trial.forget(client.roots)
                done = trial.run(
                    client,
                    [Step("end")],
                    repository,
                    kept[client.name] if state == "warm" else fresh,
                    no_bytecode=fresh / "bytecode" if state == "first ever" else None,
                )
                _note(first, client, done.first_request_s)
                _note(last, client, done.exit_s)
                if state == "warm" and client is self.clients[0]:
                    done = trial.run(client, [Step("end")], repository, with_file)
                    _note(settled, client, done.first_request_s)
        return [*figures["warm"], settled, *figures["cold"], *figures["first ever"]]

    def turns(self, count: int) -> list[Figure]:
        """A client's own time per turn, over `count` turns that read a file or run a command that does nothing."""
        repository = self._repository("turns", _small())
        figures = []
        for kind, what, goal in (("read", "a file is read", 20.0), ("nothing", "`true` is run", None)):
            rows = (
                Figure(f"own time per turn, {what}", "ms", goal=goal),
                Figure(f"  at turn 10 ({what})", "ms"),
                Figure(f"  at turn {count} ({what})", "ms", goal=goal),
                Figure(f"  turn {count} over turn 10 ({what})", "x"),
            )
            for client in self._turns():
                steps = [Step(kind, f"folder{n % 10}/file{n % SMALL_FILES}.py", n) for n in range(count)]
                done = trial.run(client, [*steps, Step("end")], repository, self._folder())
                own_ms = _own_ms(done, _bare_s(client, kind))
                early, late = median(own_ms[5:15]), median(own_ms[-10:])
                for row, value in zip(rows, (median(own_ms), early, late, late / early), strict=True):
                    _note(row, client, value)
            figures += rows
        return figures

    def memory(self, count: int) -> list[Figure]:
        """The most resident memory, after one turn and over `count` turns."""
        repository = self._repository("memory", _small())
        figures = []
        for turns in (1, count):
            alone = Figure(f"most memory, {turns} turns, one process", "MB", goal=120.0)
            tree = Figure(f"most memory, {turns} turns, all processes", "MB", goal=120.0)
            for client in self.clients:
                steps = [Step("nothing", number=n) if n % 2 else _read(n) for n in range(turns - 1)]
                done = trial.run(client, [*steps, Step("end")], repository, self._folder(), sample=True)
                _note(alone, client, done.peak_bytes / 1e6)
                _note(tree, client, max(done.tree_bytes, done.peak_bytes) / 1e6)
            figures += [alone, tree]
        return figures

    def size(self) -> list[Figure]:
        """What the first request weighs."""
        repository = self._repository("size", _small())
        whole = Figure("first request", "bytes")
        prefix = Figure("system prompt and tools, tokens (bytes/4)", "tokens", goal=4000)
        for client in self.clients:
            done = trial.run(client, [Step("end")], repository, self._folder())
            _note(whole, client, done.first_bytes)
            _note(prefix, client, prefix_bytes(done.first_body) / 4)
        return [whole, prefix]

    def edits(self, count: int) -> list[Figure]:
        """Time of a turn that changes one line in the middle of a file: the edit tool, and `sed -i`."""
        figures = []
        for lines in EDITED_LINES:
            row = Figure(f"a turn that edits a file of {lines:,} lines", "ms")
            for client in self._turns():
                content = "\n".join(line(number) for number in range(lines)) + "\n"
                repository = self._repository("edit", {"edited.py": content})
                places = [lines // 2 + number for number in range(count)]
                steps = [Step("read", "edited.py"), *(Step("edit", "edited.py", place) for place in places)]
                done = trial.run(client, [*steps, Step("end")], repository, self._folder())
                changed = (repository / "edited.py").read_text(encoding="utf-8").count("changed")
                if changed != count:
                    raise RuntimeError(f"{client.name} made {changed} of {count} edits")
                _note(row, client, median(done.gaps_s[1:]) * 1000)
            figures.append(row)
        return figures

    def searches(self, count: int) -> list[Figure]:
        """Time of a turn that searches a tree, beside the bare time of `rg` on it."""
        repository = self._repository("search", _large())
        words = [f"needle_{number:04d}" for number in range(count)]
        row = Figure(f"a turn that searches {SEARCHED_FILES:,} files", "ms")
        for client in self._turns():
            steps = [Step("search", text=word) for word in words]
            done = trial.run(client, [*steps, Step("end")], repository, self._folder())
            _note(row, client, median(done.gaps_s) * 1000)
        plain: list[float] = []
        for word in words:
            started_s = time.monotonic()
            environment = self.clients[0].environment("", self.room)
            subprocess.run(["rg", "-n", "-e", word], cwd=repository, env=environment, capture_output=True, check=True)
            plain.append((time.monotonic() - started_s) * 1000)
        row.values["plain rg"] = plain
        return [row]

    def _turns(self) -> Iterator[Client]:
        for _ in range(self.rounds):
            yield from self.clients

    def _folder(self) -> Path:
        return self.room / f"home{next(self._names)}"

    def _repository(self, name: str, files: dict[str, str]) -> Path:
        folder = self.room / name
        shutil.rmtree(folder, ignore_errors=True)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
        who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "Start"]):
            subprocess.run(
                ["git", *command], cwd=folder, check=True, env=os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null"}
            )
        return folder


def prefix_bytes(body: dict[str, Any]) -> int:
    """System prompt and tools of a request, as JSON."""
    system = [m["content"] for m in body["messages"] if m["role"] in ("system", "developer")]
    return sum(len(json.dumps(part, ensure_ascii=False).encode()) for part in (*system, body.get("tools", [])))


def _own_ms(done: Trial, command_s: float) -> list[float]:
    return [max(gap - command_s, 0.0) * 1000 for gap in done.gaps_s]


def _bare_s(client: Client, kind: str) -> float:
    """What the command itself takes, without any client: the same shell, no sandbox."""
    command = client.answer(Step("nothing") if kind == "nothing" else _read(0)).arguments.get("command")
    if command is None:  # done inside the client
        return 0.0
    times = []
    for _ in range(20):
        started_s = time.monotonic()
        subprocess.run(["/bin/sh", "-c", "true"], check=True, capture_output=True)
        times.append(time.monotonic() - started_s)
    return median(times)


def _note(figure: Figure, client: Client, value: float) -> None:
    figure.values.setdefault(client.name, []).append(value)


def _read(number: int) -> Step:
    return Step("read", f"folder{number % 10}/file{number % SMALL_FILES}.py", number)


def _small() -> dict[str, str]:
    return {
        f"folder{n % 10}/file{n}.py": "".join(f"def name_{n}_{k}():\n    return {k}\n\n\n" for k in range(12))
        for n in range(SMALL_FILES)
    }


def _large() -> dict[str, str]:
    return {
        f"folder{n % 40}/file{n}.py": "".join(
            f"value_{n}_{k} = 'needle_{n:04d}'\n" if k == 50 else f"value_{n}_{k} = {k}\n" for k in range(100)
        )
        for n in range(SEARCHED_FILES)
    }
