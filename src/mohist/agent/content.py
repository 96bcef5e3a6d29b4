"""What a file of the workspace holds now, looked at without trusting the tree it lies in.

No symlink is followed, nothing but a regular file is opened, and no more is held in memory than asked for.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mohist.agent.tool.disk import opened
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.place import Place

NOT_A_FILE = "not a regular file"
"""In the place of a sha256 for a folder, link, FIFO or device: equals no content's."""

TOO_LARGE = "too large"
"""In the place of a sha256 that was not worth its time."""

_PIECE_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Content:
    """A file as it is."""

    sha256: str
    mode: int
    data: bytes | None
    """None: larger than was asked for, or not a file."""


def place_of(root: Path, path: Path) -> Place:
    """`path` as a place below `root`, or below the file system's root when it lies elsewhere."""
    return Place(root if path.is_relative_to(root) else Path(path.anchor), path, path.name)


def look(root: Path, path: Path, keep_bytes: int, *, larger: bool = True) -> Content | None:
    """What `path` (absolute, without `..`) holds; None when it is absent. Blocks; reads all of it once.

    Args:
        keep_bytes: most that is held in memory.
        larger: whether a larger file is read for its digest; if not its digest is `TOO_LARGE`.
    """
    try:
        with opened(place_of(root, path)) as (descriptor, state):
            if not larger and state.st_size > keep_bytes:
                return Content(TOO_LARGE, stat.S_IMODE(state.st_mode), None)
            digest = hashlib.sha256()
            kept: list[bytes] | None = [] if state.st_size <= keep_bytes else None
            size = 0
            while piece := os.read(descriptor, _PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
                if kept is not None:
                    kept.append(piece)
                    # It may grow while it is read.
                    kept = kept if size <= keep_bytes else None
            data = b"".join(kept) if kept is not None else None
            return Content(digest.hexdigest(), stat.S_IMODE(state.st_mode), data)
    except FileNotFoundError:
        return None
    except (ToolError, OSError):
        return Content(NOT_A_FILE, 0, None)
