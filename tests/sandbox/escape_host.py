"""A host with what an agent must not reach."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from escape_attempts import ATTEMPTS


@contextmanager
def host(room: Path) -> Iterator[dict[str, Any]]:
    """Files, memory, processes, sockets, services, a variable and an open descriptor, for as long as the context is open."""
    token = secrets.token_hex()
    for name in ("secret", "secret2", "outside/secret"):
        (room / name).parent.mkdir(exist_ok=True)
        (room / name).write_text(token, encoding="utf-8")
    libc = ctypes.CDLL(None)
    key = int.from_bytes(secrets.token_bytes(3), "big") + 1
    segment = libc.shmget(key, 4096, 0o1666)
    shared = Path(f"/dev/shm/{secrets.token_hex(8)}")
    shared.write_text(token, encoding="utf-8")
    name = secrets.token_hex(8)
    short = Path(f"/tmp/{name}")  # a socket's path has 107 bytes at most
    with ExitStack() as ends:
        ends.callback(libc.shmctl, segment, 0, 0)
        ends.callback(shared.unlink)
        bystander = subprocess.Popen(["sleep", "600"])
        ends.callback(bystander.wait)
        ends.callback(bystander.kill)
        services = {
            "abstract": _listen(ends, socket.AF_UNIX, "\0" + name),
            "path": _listen(ends, socket.AF_UNIX, str(short)),
            "port": _listen(ends, socket.AF_INET, ("127.0.0.1", 0)),
        }
        ends.callback(short.unlink, missing_ok=True)
        port6 = 0
        with suppress(OSError):  # a host without IPv6
            port6 = _listen(ends, socket.AF_INET6, ("::1", 0)).getsockname()[1]
        opened = os.open(room / "secret", os.O_RDONLY)
        os.set_inheritable(opened, True)
        ends.callback(os.close, opened)
        os.environ["SOME_PASSWORD"] = token
        ends.callback(os.environ.pop, "SOME_PASSWORD", None)
        yield {
            "secret": str(room / "secret"), "token": token, "variable": "SOME_PASSWORD", "pid": bystander.pid,
            "abstract": name, "socket": str(short), "port": services["port"].getsockname()[1], "port6": port6,
            "datagrams": _echo(ends), "shm": key, "shm_file": str(shared),
            "attempts": {attempt.name: attempt.code for attempt in ATTEMPTS}, "folders": [],
        }  # fmt: skip


def _listen(ends: ExitStack, family: int, address: Any) -> socket.socket:
    made = ends.enter_context(socket.socket(family))
    made.bind(address)
    made.listen()
    return made


def _echo(ends: ExitStack) -> int:
    """The port of a service that answers datagrams, as a resolver would."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            message, sender = made.recvfrom(64)
            if message == b"end":
                made.close()
                return
            made.sendto(message, sender)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    address = made.getsockname()

    def end() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", address)
        thread.join(60)

    ends.callback(end)
    return int(address[1])
