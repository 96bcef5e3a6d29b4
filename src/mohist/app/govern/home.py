"""The HOME of a governed client: a fresh one that goes with the run, or one that is kept under a name."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mohist.app.errors import ConfigError

FRESH: Final = "fresh"
FOLDER: Final = "govern/homes"
"""Below the state folder."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PASSING: Final = ".passing"
"""Below that folder: the fresh ones."""


@contextmanager
def open_home(chosen: str, state: Path, run_id: str) -> Iterator[Path]:
    """The folder that becomes HOME, mode 700.

    Args:
        chosen: `fresh`, a name, or the path of a folder below the kept homes.
        state: Mohist's state folder.
        run_id: of this run.

    Raises:
        ConfigError: the name is none, or it lies elsewhere.
    """
    base = state / FOLDER
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if chosen != FRESH:
            yield _kept(chosen, base)
            return
        passing = base / _PASSING
        passing.mkdir(mode=0o700, exist_ok=True)
        _sweep(passing)
        lock = os.open(passing / f"{run_id}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = passing / run_id
            folder.mkdir(mode=0o700)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise ConfigError(f"No home can be made in {str(base)!r}: {error.strerror}.") from error
    try:
        yield folder
    finally:
        _remove(folder)
        with suppress(OSError):
            (passing / f"{run_id}.lock").unlink()
        os.close(lock)


def _kept(chosen: str, base: Path) -> Path:
    name = chosen
    if "/" in chosen:
        path = Path(chosen)
        name = path.name if path.is_absolute() and path.parent.resolve() == base.resolve() else ""
    if not _NAME.fullmatch(name) or name == FRESH:
        raise ConfigError(
            f"{chosen!r} is no home for a client.",
            f"Say a name; it is kept in {str(base)!r} and seen by clients alone.",
        )
    folder = base / name
    if folder.is_symlink():
        raise ConfigError(f"The home {str(folder)!r} is a link.", "Put a folder there, or choose another name.")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _sweep(passing: Path) -> None:
    """Removes what killed runs left: nobody holds its lock any more."""
    for lock in passing.glob("*.lock"):
        with suppress(OSError):
            handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(passing / lock.stem)
                lock.unlink()
            finally:
                os.close(handle)


def _remove(folder: Path) -> None:
    """Also what its owner made unreadable; what can't be removed is tried again by the next run."""
    for root, names, _ in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
