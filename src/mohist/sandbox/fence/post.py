"""The fence's sockets in one tree's network namespace, opened by a process that goes there and comes back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mohist.sandbox.errors import SandboxError
from mohist.sandbox.fence import envoy

_SETUP_S = 20.0
_MOST_SOCKETS = 250
"""SCM_RIGHTS passes 253 at once (SCM_MAX_FD in include/net/scm.h)."""
_MEND = "`mohist doctor` says what this machine lacks."


@dataclass(frozen=True, slots=True)
class Post:
    """All non-blocking; `close` when the tree has ended."""

    proxies: tuple[socket.socket, ...]
    direct: tuple[socket.socket, ...]
    names: tuple[socket.socket, ...]
    name_streams: tuple[socket.socket, ...]
    watch: socket.socket

    def close(self) -> None:
        """Gives the sockets up, and with them the namespace."""
        for each in (*self.proxies, *self.direct, *self.names, *self.name_streams, self.watch):
            each.close()


def open_post(pid: int, proxy_port: int, ports: tuple[int, ...]) -> Post:
    """Opens the sockets in the network namespace of `pid`, which waits meanwhile. Blocks; raises SandboxError."""
    if 2 * (len(ports) + 4) > _MOST_SOCKETS:
        raise SandboxError(f"A fence can listen on {_MOST_SOCKETS // 2 - 4} ports, not {len(ports)}.")
    namespace_fd = _namespace_of(pid)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        try:
            child = subprocess.Popen(
                [
                    Path(sys.executable).resolve(), "-I", "-S", envoy.__file__, str(namespace_fd), str(theirs.fileno()),
                    json.dumps({"proxy_port": proxy_port, "ports": list(ports)}),
                ],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=(namespace_fd, theirs.fileno()), cwd="/", env={}, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(namespace_fd)
            theirs.close()
        try:
            return _receive(ours)
        finally:
            child.kill()
            child.wait()
    finally:
        ours.close()


def _namespace_of(pid: int) -> int:
    try:
        namespace_fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"The tree's network can't be reached: {error.strerror}.", _MEND) from None
    if os.fstat(namespace_fd).st_ino == Path("/proc/self/ns/net").stat().st_ino:
        os.close(namespace_fd)
        raise SandboxError("The tree to be fenced shares the host's network.", "Report this.")
    return namespace_fd


def _receive(channel: socket.socket) -> Post:
    channel.settimeout(_SETUP_S)
    try:
        word, descriptors, _, _ = socket.recv_fds(channel, 65536, _MOST_SOCKETS)
    except OSError as error:
        raise SandboxError(f"The fence could not be put up ({error}).", _MEND) from None
    made = [socket.socket(fileno=fd) for fd in descriptors]
    said = json.loads(word) if word else {"error": "no answer"}
    kinds: dict[str, list[socket.socket]] = {}
    for kind, each in zip(said.get("kinds", ()), made, strict=False):
        each.setblocking(False)
        kinds.setdefault(kind, []).append(each)
    if "error" in said or len(made) != len(said["kinds"]):
        for each in made:
            each.close()
        raise SandboxError(f"The fence could not be put up ({said.get('error', 'sockets are missing')}).", _MEND)
    return Post(
        tuple(kinds["proxy"]), tuple(kinds["direct"]) if "direct" in kinds else (), tuple(kinds["name"]),
        tuple(kinds["name-stream"]), kinds["watch"][0],
    )  # fmt: skip
