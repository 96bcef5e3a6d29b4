"""A disk that is full: what was recorded stays and can be read, what can't be done is said, and it goes on once there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ground_room import git, repository

CHILD = """
import json, os, sqlite3, sys
from pathlib import Path
import anyio
from ground_room import AUTHOR, write
from mohist.base import MohistError, SystemClock
from mohist.delivery.errors import BookError
from mohist.delivery.ground import GitGround, Room
from mohist.delivery.report import write as write_report
from mohist.delivery.state import Delivery
from mohist.delivery.store import Store
from mohist.gateway.address import file_address
from mohist.sandbox import GitError

disk, user = Path(sys.argv[1]), Path(sys.argv[2])
said = {}

def fill():
    with open(disk / "filler", "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass

async def tried(name, call, kind):
    try:
        await call()
        said[name] = "done"
    except kind as error:
        said[name] = str(error)

async def main():
    book = Store(file_address(disk / "book.db"), SystemClock())
    ground = await GitGround.open(user, disk / "ground", Room(None), AUTHOR)
    base = await ground.resolve("HEAD")
    book.create(Delivery("d", str(user), "x", "text", "ann", base, "main", "mohist/d", "working", "clarify", 1, 1, 1))
    tree = await ground.worktree("before", base)
    write(tree, {"kept.txt": "kept\\n"})
    kept = await ground.commit(tree, "Kept", {})
    write(tree, {"more.txt": "more\\n"})
    fill()

    async def note():
        for number in range(200):
            book.note("d", "comment", "y" * 1000, {})

    async def commit():
        await ground.commit(tree, "More", {})

    async def copy():
        await ground.copy("copy", kept)

    async def other():
        await ground.worktree("other", kept)

    await tried("note", note, BookError)
    await tried("commit", commit, GitError)
    await tried("copy", copy, GitError)
    await tried("worktree", other, GitError)
    said["read"] = [book.get("d").status, book.notes("d")[0].kind]
    said["head"] = await ground.head(tree) == kept
    (disk / "filler").unlink()
    said["left"] = sorted(path.name for path in (disk / "ground").rglob(".new-*"))
    book.note("d", "comment", "there is room again", {})
    said["numbers"] = [n.number for n in book.notes("d")] == list(range(1, len(book.notes("d")) + 1))
    more = await ground.commit(tree, "More", {})
    said["after"] = [
        (await ground.show(more, "more.txt")).decode(),
        ((await ground.copy("copy", more)) / "kept.txt").read_text(),
        ((await ground.worktree("other", more)) / "more.txt").read_text(),
    ]
    said["left after"] = sorted(path.name for path in (disk / "ground").rglob(".new-*"))
    book.close()
    with sqlite3.connect(disk / "book.db") as db:
        said["database"] = db.execute("PRAGMA integrity_check").fetchone()[0]

anyio.run(main)
print(json.dumps(said))
"""


def test_what_was_recorded_stays_and_it_goes_on_once_there_is_room(tmp_path: Path) -> None:
    user = repository(tmp_path / "user", {f"f{number}.txt": "x" * 20_000 for number in range(30)})
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    here = Path(__file__).parent
    command = f'mount -t tmpfs -o size=4m tmpfs {disk} && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, "sh", sys.executable, "-c", CHILD, str(disk), str(user)],
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "full" in said["note"], said
    for name in ("commit", "copy", "worktree"):
        assert "space" in said[name], (name, said[name])
    assert said["read"] == ["working", "created"]
    assert (said["head"], said["numbers"], said["database"]) == (True, True, "ok")
    assert said["after"] == ["more\n", "kept\n", "more\n"]
    assert said["left after"] == []
    assert git(user, "status", "--porcelain") == ""
