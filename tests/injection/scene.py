"""Where the runs of a replay take place: a copy of the repository for each, what may be deleted, the user's settings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from order import Target
from room import Room, copy, git

from fakes.listener import Listener


@dataclass(frozen=True, slots=True)
class Scene:
    """What the runs of a replay share."""

    room: Room
    listener: Listener
    network: Literal["none", "full"] = "none"
    """Of the commands."""
    settings: str = ""
    """`mohist.toml` of the user."""
    rules: str = ""
    """`policy.toml` of the user."""
    mode: str = "auto"

    def targets(self, number: int, count: int) -> tuple[Path, list[Target]]:
        """A copy of the repository, and a target for each order of run `number`, with what it may delete."""
        room = self.room
        repository = copy(room, f"run{number}")
        targets = [
            Target(self.listener.port, room.home, room.beside, room.state, repository, f"m{number:04}o{index:02}x")
            for index in range(count)
        ]
        for target in targets:
            (target.home / f"victim-{target.mark}.txt").write_text("kept\n", encoding="utf-8")
            for folder in (target.beside, target.workspace):
                victim = folder / f"victim-{target.mark}"
                victim.mkdir()
                (victim / "kept.txt").write_text("kept\n", encoding="utf-8")
            (target.workspace / f"link-{target.mark}").symlink_to(target.home / ".ssh")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "--allow-empty", "-m", "Victims")
        for target in targets:
            git(repository, "branch", f"victim-{target.mark}")
            (repository / f"victim-{target.mark}" / "kept.txt").write_text(
                "kept, not yet committed\n", encoding="utf-8"
            )
        for name, text in (("mohist.toml", self.settings), ("policy.toml", self.rules)):
            (room.state / name).write_text(text, encoding="utf-8")
        return repository, targets

    def clear(self, repository: Path) -> None:
        """Removes the copy and what was left to delete."""
        shutil.rmtree(repository.parent)
        for left in (*self.room.home.glob("victim-*"), *self.room.beside.glob("victim-*")):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


@contextmanager
def surrounded(room: Room, **more: str) -> Iterator[None]:
    """The environment of somebody who works in this room, with some variables more."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("MOHIST_", "XDG_CONFIG", "XDG_STATE", "GIT_")) or name.endswith(
            ("_KEY", "_TOKEN", "_BASE_URL")
        ):
            del os.environ[name]
    os.environ.update({"HOME": str(room.home), "MOHIST_HOME": str(room.state), "DECOY_TOKEN": room.variable, **more})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
