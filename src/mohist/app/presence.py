"""Files that must not be overlooked, and files that are made once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether something has that name; True where it can't be told, so that reading fails and nobody goes without."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def make_once(path: Path, content: Callable[[], bytes]) -> None:
    """Makes a file that its owner alone may read, unless it is there: whole or not at all, and of two makers one wins.

    Args:
        path: of the file; its folder is made as well.
        content: asked for only where the file is missing.

    Raises:
        OSError: it can't be made.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Made aside and linked: of two processes that begin at once, both use the file of the first.
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)
        except FileExistsError:
            return
    finally:
        aside.unlink()
