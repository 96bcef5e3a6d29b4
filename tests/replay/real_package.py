"""A checkout of a real package with a bug in it, a recorded run that fixes it, and Mohist as its user starts it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.upstream import Reply, chat_wire

DATA = Path(__file__).parents[1] / "data" / "pycparser"
ARCHIVE = DATA / "pycparser-3.12.tar.gz"
RECORDING = DATA / "turns.jsonl"
TASK = (DATA / "task.txt").read_text("utf-8").strip()
CHECK = "python3 -m unittest"
LIMIT_S = 60

_AUTHOR = {"NAME": "maintainer", "EMAIL": "maintainer@localhost", "DATE": "2027-01-04T09:00:00+0000"}


def published() -> dict[str, bytes]:
    """The files of the package, by path, as its authors published them."""
    files = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            source = archive.extractfile(member)
            if source is not None:
                files[member.name.partition("/")[2]] = source.read()
    return files


def checkout(room: Path) -> Path:
    """A git repository in `room` that holds the package with the patches of its data folder, in one commit."""
    folder = room / "pycparser"
    for name, content in published().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "apply", str(DATA / "no_preprocessor.patch"), str(DATA / "bug.patch"))
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "-q", "-m", "Import pycparser 3.12")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """What git says to a user without settings."""
    env = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _AUTHOR.items()}
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], cwd=folder, env=bare | env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fingerprints(folder: Path) -> dict[str, str]:
    """sha256 of every file below `folder`, those of `.git` too. Not of the index: it also caches what files looked
    like when git last saw them, so that `git diff` alone writes it anew.
    """
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / ".git" / "index"
    }


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Files that are not the same in both."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with the checkout, a state folder of their own, and this Python as `python3`."""

    repo: Path
    state: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        virtual = {"VIRTUAL_ENV": sys.prefix} if sys.prefix != sys.base_prefix else {}
        return kept | virtual | {"PATH": path, "MOHIST_HOME": str(self.state), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts `mohist WORDS` as a process of its own."""
        command = [sys.executable, "-m", "mohist", *words]
        return subprocess.Popen(
            command,
            cwd=self.repo,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def mohist(self, *words: str) -> Said:
        """Runs `mohist WORDS` to its end."""
        return ended(self.start(*words))

    def log(self) -> Path:
        """The log of the only run there is."""
        (log,) = self.state.glob("runs/*/log.jsonl")
        return log

    def records(self) -> list[dict[str, Any]]:
        """What its log holds in whole lines."""
        if not list(self.state.glob("runs/*/log.jsonl")):
            return []
        data = self.log().read_bytes()
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def ended(child: subprocess.Popen[str]) -> Said:
    """Waits for the end of a command."""
    out, err = child.communicate(timeout=LIMIT_S)
    said = Said(child.returncode, out, err)
    assert "Traceback (most recent" not in err, said
    return said


def run_words(model: str) -> tuple[str, ...]:
    """The command line of the recorded run, with another model."""
    return ("run", "--model", model, "--check", CHECK, "--output", "json", TASK)


def recorded_answers(recording: Path) -> list[Reply]:
    """The answers of a recording, turn by turn, as a model sends them."""
    replies = []
    for line in recording.read_text("utf-8").splitlines()[1:]:
        answer = json.loads(line)["answer"]
        calls = [part["call"] for part in answer if "call" in part]
        text = "".join(part.get("text", "") for part in answer)
        used = answer[-1]["done"]["usage"]
        told = {"prompt_tokens": used["input_tokens"], "completion_tokens": used["output_tokens"]}
        asked = [(call["id"], call["name"], call["arguments"]) for call in calls]
        replies.append(Reply(chat_wire(text, asked, usage=told)))
    return replies
