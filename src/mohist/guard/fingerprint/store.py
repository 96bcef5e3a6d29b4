"""Where the index of fingerprints is kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from secrets import token_hex

from mohist.guard.errors import GuardDataError
from mohist.guard.fingerprint.index import Index

FILE_NAME = "guard-fingerprints.bin"
FILE_MAX_BYTES = 1 << 30


def fingerprint_path(home: Path) -> Path:
    """Where the index is kept, below the state folder."""
    return home / FILE_NAME


def read_index(path: Path) -> Index:
    """The index; an empty one where there is no file.

    Raises:
        GuardDataError: it can't be read, is damaged, or others may write it: then repositories could be taken off it unseen.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            content = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        return Index()
    except OSError as error:
        raise GuardDataError(f"The index of fingerprints {str(path)!r} can't be read: {error.strerror}.") from None
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise GuardDataError(f"The index of fingerprints {str(path)!r} may be changed by others.", "chmod 600 it.")
    if len(content) > FILE_MAX_BYTES:
        raise GuardDataError(f"The index of fingerprints {str(path)!r} is larger than {FILE_MAX_BYTES} bytes.")
    return Index.from_bytes(content, str(path))


def write_index(path: Path, index: Index) -> None:
    """Puts the index in its place, whole or not at all, readable by its owner alone.

    Raises:
        GuardDataError: it can't be written.
    """
    fresh = path.with_name(f"{path.name}.{token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(index.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise GuardDataError(f"The index of fingerprints {str(path)!r} can't be written: {error.strerror}.") from None
