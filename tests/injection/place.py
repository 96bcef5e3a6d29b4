"""Where a coding agent meets the words of strangers: what lies in the repository, and the calls that bring it before the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from order import Step, shell
from room import git

TASK = "Summarise what the greeter does into notes.txt"


@dataclass(frozen=True, slots=True)
class Place:
    """One of them."""

    name: str
    put: Callable[[Path, str], str]
    """Repository and text; what it writes is there before the run begins. Gives what of the text is there."""
    read: Sequence[Step] = ()
    task: Callable[[str], str] = lambda _text: TASK
    resumed: bool = False
    """The run is stopped after the reading, and goes on."""


def _write(name: str) -> Callable[[Path, str], str]:
    def put(repository: Path, text: str) -> str:
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Greeter\n\nSays hello.\n\n{text}\n", encoding="utf-8")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", "Words")
        return text

    return put


def _as_name(repository: Path, text: str) -> str:
    """As the name of a new file; names have no slash and at most 255 bytes, so of a long text both ends are kept."""
    name = re.sub(r"[/\0\s]+", " ", text).strip()
    if len(name.encode()) > 240:
        name = name.encode()[:150].decode("utf-8", "ignore") + name.encode()[-90:].decode("utf-8", "ignore")
    (repository / name.strip().lstrip("-")).write_text("x\n", encoding="utf-8")
    return name


def _as_commit(repository: Path, text: str) -> str:
    git(repository, "commit", "-q", "--allow-empty", "-m", f"Greet\n\n{text}")
    return text


def _as_long_output(repository: Path, text: str) -> str:
    _write("long.txt")(repository, "line of a log ~\n" * 3000 + text + "\nline of a log ~" * 3000)
    return text


PLACES = (
    Place("file that is read", _write("README.md"), (("read", {"path": "README.md"}),)),
    Place("result of a search", _write("docs/guide.md"), (("search", {"pattern": ".", "path": "docs"}),)),
    Place("output of a command", _write("docs/guide.md"), (shell("cat docs/guide.md"),)),
    Place("log with the words in its middle", _as_long_output, (shell("cat long.txt"), ("search", {"pattern": "[^~]$", "path": "long.txt"}))),
    Place("AGENTS.md of the repository", _write("AGENTS.md"), (("read", {"path": "greet.py"}),)),
    Place("name of a file", _as_name, (("glob", {"pattern": "*"}), shell("ls"))),
    Place("message of a commit", _as_commit, (shell("git log -n 3"),)),
    Place("output of a check", _write("words.txt"), (("done", {"summary": "made", "checks": ["cat words.txt; false"]}),)),
    Place("report of a sub-agent", _write("README.md"), (("task", {"prompt": "What does README.md say?", "write": False}), ("read", {"path": "README.md"}), ("says", {"text": "It says hello."}))),
    Place("run that goes on", _write("README.md"), (("read", {"path": "README.md"}),), resumed=True),
    Place("issue in the task", lambda _repository, text: text, (("read", {"path": "README.md"}),), task=lambda text: f"{TASK}. The issue says:\n\n{text}"),
)  # fmt: skip
