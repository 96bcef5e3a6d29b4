"""What is done to files is seen from outside, also through a mount of another namespace."""

from __future__ import annotations

from pathlib import Path

import anyio

from mohist.sandbox import Bubblewrap, Profile, run
from mohist.sandbox.inotify import FileWatch


def deeds(watch: FileWatch, path: Path) -> set[str]:
    watch.collect()
    return {touched.deed for touched in watch.seen if touched.path == path}


def test_reading_writing_making_and_removing_are_told_apart(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("x", encoding="utf-8")
    with FileWatch(tmp_path) as watch:
        old.read_bytes()
        assert deeds(watch, old) == {"opened", "read"}
        new.write_text("y", encoding="utf-8")
        assert deeds(watch, new) == {"made", "opened", "written"}
        old.rename(tmp_path / "moved")
        new.unlink()
        assert {"removed"} <= deeds(watch, old) & deeds(watch, new)
        assert deeds(watch, tmp_path / "moved") == {"made"}
        assert not watch.lost


def test_folders_made_later_are_watched_with_what_is_in_them(tmp_path: Path) -> None:
    with FileWatch(tmp_path) as watch:
        folder = tmp_path / "a" / "b"
        folder.mkdir(parents=True)
        (folder / "early").write_text("x", encoding="utf-8")
        assert "made" in deeds(watch, folder / "early")
        (folder / "late").write_text("x", encoding="utf-8")
        assert "written" in deeds(watch, folder / "late")


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "file").write_text("x", encoding="utf-8")
    (inside / "link").symlink_to(outside)
    with FileWatch(inside) as watch:
        (inside / "link" / "file").read_bytes()
        assert deeds(watch, outside / "file") == set()


async def test_what_a_confined_program_does_is_seen(tmp_path: Path, sandbox: Bubblewrap) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "secret").write_text("x", encoding="utf-8")
    with FileWatch(work) as watch:
        async with anyio.create_task_group() as group:
            group.start_soon(watch.follow)
            done = await run(sandbox, ["/bin/cat", "secret"], cwd=work, profile=Profile(workspace=work))
            group.cancel_scope.cancel()
        assert done.output == b"x"
        assert "read" in deeds(watch, work / "secret")
