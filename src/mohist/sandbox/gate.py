"""The two gates before a command.

bwrap waits at the first one until its set-up may end, and takes the end of that pipe for the sign to go on. So a second
one stands inside, which only a line from a living Mohist opens, and by then the whole tree is bound to die with Mohist.
"""

from __future__ import annotations

import math
import os
import re
import select
import signal
from collections.abc import Mapping
from contextlib import suppress
from fcntl import fcntl, ioctl
from pathlib import Path
from termios import FIONREAD

import anyio

_GATE_BYTES = 4096
_F_SETPIPE_SZ = 1031  # include/uapi/linux/fcntl.h; the fcntl module has the name on Linux alone
_POLL_S = 0.0002
_FILTER_S = 2.0
# `read` fails at the end of the pipe, and then the shell ends; the command gets the sandbox's own /dev/null instead.
_GATEKEEPER = ("/bin/sh", "-c", 'IFS= read -r _gate && exec "$@" 0<>/dev/null', "sh")
# At a terminal: a session of its own, whose controlling terminal it becomes; bwrap's own errors go another way.
_AT_TERMINAL = ("/bin/sh", "-c", 'IFS= read -r _gate && exec setsid -c "$@" 0<&1 2>&1', "sh")
_ENV = "/usr/bin/env"
_OF_TERMINALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def gated(environment: Mapping[str, str], *, terminal: bool = False) -> list[str]:
    """What stands before the command. Some shells drop variables that they could not name, so `env` sets those."""
    foreign = [f"{name}={value}" for name, value in environment.items() if not _SHELL_NAME.fullmatch(name)]
    if terminal and (ignored := _ignored()):
        foreign = [f"--default-signal={','.join(ignored)}", *foreign]
    return [*(_AT_TERMINAL if terminal else _GATEKEEPER), *([_ENV, *foreign] if foreign else [])]


def _ignored() -> list[str]:
    """What a terminal sends and this process ignores (started by nohup, or in the background): no shell inside could undo it."""
    return [number.name for number in _OF_TERMINALS if signal.getsignal(number) is signal.SIG_IGN]


async def ready(fd: int, event: int, monitor_fd: int) -> bool:
    """Waits until `fd` is ready; False when it is not and bwrap has ended."""
    with select.epoll() as both:
        both.register(fd, event)
        both.register(monitor_fd, select.EPOLLIN)
        await anyio.wait_readable(both.fileno())
        return any(found == fd for found, _ in both.poll(0))


async def open_gate(fd: int, monitor_fd: int) -> bool:
    """Lets bwrap start the command; True when it took the byte, which it does after all of its set-up.

    The pipe is kept full: it becomes writable only when a page of it was read or every reader has gone.
    """
    os.set_blocking(fd, False)
    size = fcntl(fd, _F_SETPIPE_SZ, _GATE_BYTES)
    filled = os.write(fd, bytes(size))
    if not await ready(fd, select.EPOLLOUT, monitor_fd):
        return False
    left = bytearray(4)
    ioctl(fd, FIONREAD, left)
    return int.from_bytes(left, "little") < filled


async def bound(init_pid: int, before: list[str], monitor_fd: int, *, proven: bool) -> bool:
    """Waits until the tree's first process dies with bwrap; False when bwrap has ended.

    It asks for that signal (PR_SET_PDEATHSIG) right before it takes the filter, and of the two only the filter shows.

    Args:
        init_pid: the first process.
        before: what `filters` told of it before bwrap's gate was opened.
        monitor_fd: pidfd of bwrap.
        proven: the self-test held, so the filter must come and is waited for as long as a start may take. Within the
            self-test one that does not come is let pass after a while: finding that out is what its probes are for.
    """
    if not before or before == ["Seccomp:\t2"]:
        return True  # nothing to tell by: a hidden process, or a filter already there on a kernel older than 5.9
    limit_s = math.inf if proven else _FILTER_S
    with anyio.move_on_after(limit_s), select.epoll() as end:
        end.register(monitor_fd, select.EPOLLIN)
        while filters(init_pid) == before:
            if end.poll(0):
                return False
            await anyio.sleep(_POLL_S)
    return True


def filters(pid: int) -> list[str]:
    """What the kernel tells of a process's system call filters; empty when it can't be seen."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        return [line for line in status.splitlines() if line.startswith("Seccomp")]
    return []
