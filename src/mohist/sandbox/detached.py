"""Starts a module of Mohist's own as a process that outlives this one: a service's keeper, never something of a repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mohist.sandbox.errors import RefusedError, SandboxError

_OWN = "mohist."
_started: set[int] = set()


def start_detached(module: str, arguments: Sequence[str], *, env: Mapping[str, str], log: Path) -> int:
    """Starts `python -m module` in a session of its own, unconfined, and returns its pid.

    Whoever starts it must be able to find it again by itself (a lock, an address): the pid may be another's by then.

    Args:
        module: one of Mohist's; anything else is refused.
        log: its output is appended there.
    """
    if not module.startswith(_OWN):
        raise RefusedError(f"{module!r} is no module of Mohist's: only those run outside the sandbox.")
    for pid in list(_started):  # those that ended meanwhile
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        _started.discard(pid)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", module, *arguments],
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise SandboxError(f"{module} can't be started: {error.strerror}.") from None
    _started.add(pid)
    return pid
