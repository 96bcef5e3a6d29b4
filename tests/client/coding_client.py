"""Coding clients as a new user runs them: installed from their registries, set up by the README, in an empty home."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "clients.md"
SECTION = "Put your coding clients behind it"
QUIET = "Keep them quiet"
ADDRESS, KEY, MODEL = "http://127.0.0.1:8484", "mhk-…", "MODEL"
"""What the README says where the reader's own values go."""
RUN_TIMEOUT_S = 120.0
"""The slowest client, cold, on a busy machine, takes a quarter of this."""

_BLOCK = re.compile(
    r"(?:^In `(?P<file>~/[^`]+)`[^\n]*\n+)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the README tells the users of one client."""

    files: dict[str, str]
    """Path below the home -> text."""
    shell: str
    """Commands, of which the last one starts the client."""


@dataclass(frozen=True, slots=True)
class Client:
    """One row of versions.toml, and its part of the README."""

    name: str
    title: str
    version: str
    dialect: str
    agent: str
    """How the user agent begins, and so what usage calls the client."""
    session: str
    """The header that names its session; empty when none does."""
    args: tuple[str, ...]
    npm: str
    pypi: str
    settings: Settings

    def folder(self, prefix: Path) -> Path:
        """Where it is installed."""
        return prefix / f"{self.name}-{self.version}"

    def programs(self, prefix: Path) -> Path:
        return self.folder(prefix) / ("node_modules/.bin" if self.npm else "bin")


@dataclass(frozen=True, slots=True)
class Done:
    """A client's run as a person saw it."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out[-6000:]}\n--- stderr\n{self.err[-6000:]}"


@dataclass(slots=True)
class Desk:
    """One person's machine: an empty home, a repository, and where the gateway is."""

    home: Path
    work: Path
    temp: Path
    prefix: Path
    url: str
    key: str
    model: str
    more: dict[str, str] = field(default_factory=dict)
    quiet: Settings | None = None
    """What keeps the client from talking to others; from docs/clients.md."""
    limit_s: float = RUN_TIMEOUT_S
    """After this long a client is killed."""

    def set_up(self, settings: Settings) -> None:
        """Writes the files that are named, or adds to them."""
        for name, text in settings.files.items():
            path = self.home / name.removeprefix("~/")
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(self.own(text))

    def run(self, client: Client, prompt: str, args: Sequence[str] | None = None) -> Done:
        """Runs the README's commands, the last one with the arguments that make it do one task."""
        self.set_up(client.settings)
        if self.quiet:
            self.set_up(self.quiet)
        words = [word.format(prompt=prompt, model=self.model) for word in (client.args if args is None else args)]
        before = self.quiet.shell if self.quiet else ""
        script = before + self.own(client.settings.shell).strip() + " " + shlex.join(words)
        return self.shell(client, script)

    def shell(self, client: Client, script: str) -> Done:
        """Runs `script` with the client on the path; nothing that it started is left when this returns."""
        node = shutil.which("node") or "/usr/bin/node"
        path = [str(client.programs(self.prefix)), str(Path(node).parent), "/usr/local/bin", "/usr/bin", "/bin"]
        env = {"HOME": str(self.home), "PATH": ":".join(path), "LANG": "C.UTF-8", "TERM": "dumb", "TZ": "UTC"}
        env |= {"TMPDIR": str(self.temp), "SHELL": "/bin/bash", "USER": "ann"} | self.more
        child = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.work,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate(timeout=60)
            err += f"\n(killed after {self.limit_s:.0f} s)".encode()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        return Done(child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    def own(self, text: str) -> str:
        """The text with this person's address, key and model."""
        return re.sub(rf"\b{MODEL}\b", self.model, text.replace(ADDRESS, self.url).replace(KEY, self.key))


def clients() -> list[Client]:
    """All that are tried."""
    rows: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "versions.toml").read_text("utf-8"))
    told = section(README.read_text("utf-8"))
    return [
        Client(
            name=name,
            title=row["title"],
            version=row["version"],
            dialect=row["dialect"],
            agent=row["agent"],
            session=row["session"],
            args=tuple(row["args"]),
            npm=row.get("npm", ""),
            pypi=row.get("pypi", ""),
            settings=told[row["title"]],
        )
        for name, row in rows.items()
    ]


def section(text: str, title: str = SECTION) -> dict[str, Settings]:
    """The settings by client, from a section of a document: one `### Title` each."""
    _, _, rest = text.partition(f"## {title}\n")
    body = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    told = {}
    for part in re.split(r"^### ", body, flags=re.MULTILINE)[1:]:
        client, _, words = part.partition("\n")
        blocks = list(_BLOCK.finditer(words))
        files = {block["file"]: block["text"] for block in blocks if block["file"]}
        shell = "".join(block["text"] for block in blocks if block["kind"] == "sh" and not block["file"])
        told[client.strip()] = Settings(files, shell)
    return told
