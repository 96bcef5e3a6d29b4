"""Reads and writes on descriptors of somebody else's, terminals, pipes and files alike, without holding up the loop.

They are never made non-blocking: that would change them for whoever else has them, such as the shell.
"""

from __future__ import annotations

import os
import select

import anyio

_CHUNK_BYTES = 65_536
_AT_ONCE_BYTES = 4096
"""What fits where `poll` says that there is room: PIPE_BUF on Linux, and what a terminal's line takes."""


async def take(fd: int) -> bytes:
    """The next chunk; empty at the end, or where it can't be read."""
    try:
        await _ready(fd, select.POLLIN)
        return os.read(fd, _CHUNK_BYTES)
    except BlockingIOError:
        return await take(fd)
    except OSError:  # EIO: nobody has a pseudo-terminal's other end any more
        return b""


async def give(fd: int, data: bytes) -> bool:
    """Writes all of it; False where nobody reads any more."""
    left = memoryview(data)
    try:
        while left:
            await _ready(fd, select.POLLOUT)
            try:
                left = left[os.write(fd, left[:_AT_ONCE_BYTES]) :]
            except BlockingIOError:
                continue
    except OSError:
        return False
    return True


async def _ready(fd: int, event: int) -> None:
    """Waits; what can't be waited for, such as a file, is always ready."""
    try:
        await (anyio.wait_readable if event == select.POLLIN else anyio.wait_writable)(fd)
    except PermissionError:  # epoll takes no files
        return
