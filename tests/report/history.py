"""Random histories of a repository in which runs and people write, and whose true authors are known by what the lines say."""

from __future__ import annotations

import os
import random
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from mohist.agent.attribution import blob_id, encoded, trace_record, written_lines
from mohist.ledger import Content, Draft
from mohist.ledger.writer import Writer

AUTHOR = re.compile(r"by_(run\d+|person)_\d+")
SHARED = "shared_helper_of_everybody = make()"
"""A telling line that several write, each in a file of its own."""
FILLER = ("", "    else:", "}", "    return None", "    pass")
ENV = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "p",
    "GIT_AUTHOR_EMAIL": "p@example.org",
    "GIT_COMMITTER_NAME": "p",
    "GIT_COMMITTER_EMAIL": "p@example.org",
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
}


@dataclass
class History:
    """A repository that grows by chance."""

    root: Path
    writer: Writer
    chance: random.Random
    tag: int = 0
    count: int = 0
    lines: int = 0
    base: str = ""
    """The commit that the run at work began from."""
    done: list[str] = field(default_factory=list)

    def git(self, *words: str, ok: bool = True) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=ENV, capture_output=True, text=True, encoding="utf-8", check=False
        )
        if ok and done.returncode:
            raise AssertionError(f"git {words}: {done.stderr}\nafter {self.done}")
        return done.stdout if done.returncode == 0 else ""

    def begin(self) -> None:
        self.root.mkdir()
        self.git("init", "-q", "-b", "main")
        for name in ("a.py", "pkg/b.py"):
            (self.root / name).parent.mkdir(exist_ok=True)
            (self.root / name).write_text("".join(self._line("person") for _ in range(12)), encoding="utf-8")
        self.commit("begin")

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def edit(self, author: str, name: str) -> None:
        """One write to a file: lines put in, lines changed, lines taken out; entered if it is a run's."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        lines = before.decode().splitlines(keepends=True) if before else []
        at = self.chance.randint(0, len(lines))
        fresh = [
            self._line(author) if self.chance.random() < 0.75 else self.chance.choice(FILLER) + "\n"
            for _ in range(self.chance.randint(2, 7))
        ]
        fresh[0] = self._line(author)
        lines[at : at + self.chance.randint(0, 2)] = fresh
        after = "".join(lines).encode()
        path.write_bytes(after)
        if author != "person":
            self.enter(author, name, before, after)

    def enter(self, run: str, name: str, before: bytes | None, after: bytes) -> None:
        written = written_lines(before, after)
        blobs = (blob_id(before) if before is not None else "", blob_id(after))
        trace = trace_record(
            name,
            written,
            model="m",
            tool="edit",
            conversation="urn:x",
            at="2026-01-01T00:00:00Z",
            base_commit=self.base,
            blobs=blobs,
        )
        self.count += 1
        self.writer.append(
            Draft(
                "attribution",
                f"run:{run}-{self.tag}",
                "model:m",
                about={"run": f"{run}-{self.tag}"},
                data={
                    "path": name,
                    "model": "m",
                    "tool": "edit",
                    "before": blobs[0],
                    "after": blobs[1],
                    "whole": written.whole,
                },
                contents=(Content("trace", "application/json", encoded(trace), "repository"),),
            )
        )

    def work(self, run: str, branch: str) -> None:
        """A run on a branch of its own, committed in one to three steps, a person's edits between."""
        self.git("checkout", "-q", "-b", branch, "main")
        self.base = self.git("rev-parse", "HEAD").strip()
        names = self.chance.sample(["a.py", "pkg/b.py", f"{run}.py"], self.chance.randint(1, 3))
        for step in range(self.chance.randint(1, 3)):
            for name in names:
                self.edit(run, name)
            if self.chance.random() < 0.3:
                self.edit("person", self.chance.choice(names))
            self.commit(f"{run} {step}")
        if self.chance.random() < 0.25:
            # Another run on the same branch, which a squash makes one commit with the first.
            self.edit(f"run{int(run[3:]) + 5}", self.chance.choice(names))
            self.commit("another")
        if f"{run}.py" in names:
            path = self.root / f"{run}.py"
            before = path.read_bytes()
            path.write_bytes(before + f"{SHARED}\n".encode())
            self.enter(run, f"{run}.py", before, path.read_bytes())
            self.commit(f"{run} shared")

    def advance(self) -> None:
        """Others go on with main meanwhile."""
        self.git("checkout", "-q", "main")
        self.edit("person", self.chance.choice(["a.py", "c.py"]))
        self.commit("others")

    def land(self, branch: str) -> None:
        """The branch comes to main by one of the ways that there are."""
        way = self.chance.choice(["rebase", "squash", "cherry-pick", "amend", "merge", "am", "reset", "fixup"])
        self.done.append(f"{way} {branch}")
        commits = self.git("rev-list", "--reverse", f"main..{branch}").split()
        ours = ("-X", "theirs") if way != "merge" else ("-X", "ours")
        if way == "rebase":
            self.git("checkout", "-q", branch)
            self.git("rebase", "-q", *ours, "main", ok=False) or self._clean("rebase")
            self.git("checkout", "-q", "main")
            self.git("merge", "-q", "--no-edit", *ours, branch, ok=False) or self._clean("merge")
        elif way == "squash":
            self.git("merge", "-q", "--squash", *ours, branch, ok=False)
            self.commit("squashed")
        elif way == "cherry-pick":
            for commit in commits:
                self.git("cherry-pick", "--allow-empty", "--keep-redundant-commits", *ours, commit, ok=False)
                self._clean("cherry-pick")
        elif way == "amend":
            self.git("merge", "-q", "--no-edit", *ours, branch, ok=False) or self._clean("merge")
            self.edit("person", "a.py")
            self.git("add", "-A")
            self.git("commit", "-q", "--amend", "--no-edit", "--allow-empty")
        elif way == "am":
            patches = self.git("format-patch", "--stdout", f"main..{branch}")
            (self.root.parent / "patches").write_text(patches, encoding="utf-8")
            self.git("am", "-q", "--3way", str(self.root.parent / "patches"), ok=False)
            self._clean("am")
        elif way in ("reset", "fixup"):
            self.git("checkout", "-q", branch)
            base = self.git("merge-base", "main", branch).strip()
            if way == "reset":
                self.git("reset", "-q", "--soft", base)
                self.commit("all in one")
            else:
                self.git("commit", "-q", "--allow-empty", "--fixup", "HEAD")
                self.git("rebase", "-q", "-i", "--autosquash", base, ok=False)
                self._clean("rebase")
            self.git("checkout", "-q", "main")
            self.git("merge", "-q", "--no-edit", *ours, branch, ok=False) or self._clean("merge")
        else:
            self.git("merge", "-q", "--no-ff", "--no-edit", *ours, branch, ok=False) or self._clean("merge")

    def format(self) -> None:
        """A formatter goes over a file: it moves blanks, changes quotes, breaks calls, or joins them."""
        path = self.root / self.chance.choice(["a.py", "pkg/b.py"])
        text = path.read_text(encoding="utf-8")
        way = self.chance.choice(["indent", "quote", "break", "join"])
        if way == "indent":
            text = "".join(f"{'    ' + line.lstrip() if line.strip() else ''}\n" for line in text.splitlines())
        elif way == "quote":
            text = text.replace("'", '"')
        elif way == "break":
            text = re.sub(
                r"^( *)(\w+ = \w+)\(([^,()\n]+), ([^,()\n]+)\)$", r"\1\2(\n\1    \3,\n\1    \4,\n\1)", text, flags=re.M
            )
        else:
            text = re.sub(r"\(\n\s*([^,()\n]+),\n\s*([^,()\n]+),?\n\s*\)", r"(\1, \2)", text)
        path.write_text(text, encoding="utf-8")
        self.commit("format")
        self.done.append("format")

    def play(self) -> None:
        """A whole history."""
        self.begin()
        for number in range(self.chance.randint(2, 3)):
            self.work(f"run{number}", f"work{number}")
            if self.chance.random() < 0.7:
                self.advance()
            self.git("checkout", "-q", "main")
            self.land(f"work{number}")
            if self.chance.random() < 0.4:
                self.format()
            if self.chance.random() < 0.2:
                self.git("mv", "pkg/b.py", "b.py", ok=False)
                self.git("commit", "-q", "--allow-empty", "-m", "move")
                (self.root / "pkg").mkdir(exist_ok=True)
                if not (self.root / "pkg/b.py").exists():
                    (self.root / "b.py").replace(self.root / "pkg/b.py")
                    self.commit("move back")

    def _clean(self, what: str) -> None:
        """Gives up what can't be done without a person."""
        if (self.root / ".git" / "MERGE_HEAD").exists() or (self.root / ".git" / "CHERRY_PICK_HEAD").exists() or (
            self.root / ".git" / "rebase-merge").exists() or (self.root / ".git" / "rebase-apply").exists():  # fmt: skip
            self.git(what, "--abort", ok=False) or self.git("reset", "-q", "--hard", ok=False)

    def _line(self, author: str) -> str:
        self.lines += 1
        name, number = f"value_by_{author}_{self.lines}", self.chance.randint(0, 9)
        match self.chance.randint(0, 7):
            case 0:
                return f"{name} = compute({number}, width)\n"
            case 1:
                return f"{name} = compute(\n    {number},\n    width,\n)\n"
            case 2:
                return f"{name} = find('{number}')\n"
        return f"{name} = compute({number})\n"


def author_of(text: str) -> str | None:
    """Who truly wrote a line; None: it does not say."""
    found = AUTHOR.search(text)
    return found[1] if found else None


def begun(folder: Path, writer: Writer) -> History:
    history = History(folder / "repository", writer, random.Random(1), tag=1)
    history.begin()
    history.base = history.git("rev-parse", "HEAD").strip()
    return history


def wrote(history: History, run: str, name: str, text: str) -> None:
    path = history.root / name
    before = path.read_bytes() if path.exists() else None
    path.write_text(text, encoding="utf-8")
    history.enter(run, name, before, text.encode())
