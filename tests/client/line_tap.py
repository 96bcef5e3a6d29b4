"""A line between a client and the gateway that keeps what passes, byte for byte, and changes nothing."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import NamedTuple, Self

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Request(NamedTuple):
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes


@dataclass
class _Talk:
    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)


class LineTap:
    """Listens on a port of its own and passes everything on.

    Args:
        port: the gateway's.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._talks: list[_Talk] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._ending = False
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        with contextlib.suppress(OSError), socket.create_connection(self._listener.getsockname()):
            pass  # wakes the listener
        self._threads[0].join(60)
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(60)
        for end in self._ends:
            end.close()

    @property
    def requests(self) -> list[Request]:
        """What the client sent so far."""
        return [request for talk in self._talks for request in _requests(bytes(talk.up))]

    @property
    def statuses(self) -> list[int]:
        """What it was answered with."""
        return [int(found) for talk in self._talks for found in _STATUS.findall(bytes(talk.down))]

    @property
    def answers(self) -> bytes:
        """All bytes that came down."""
        return b"".join(bytes(talk.down) for talk in self._talks)

    def _listen(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._ending:
                client.close()
                return
            gateway = socket.create_connection(("127.0.0.1", self._port))
            talk = _Talk()
            self._talks.append(talk)
            self._ends += [client, gateway]
            for whence, whither, kept in ((client, gateway, talk.up), (gateway, client, talk.down)):
                thread = threading.Thread(target=_pass_on, args=(whence, whither, kept), daemon=True)
                self._threads.append(thread)
                thread.start()


def _pass_on(whence: socket.socket, whither: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := whence.recv(65536):
            kept += data
            whither.sendall(data)
    with contextlib.suppress(OSError):
        whither.shutdown(socket.SHUT_WR)


def _requests(data: bytes) -> list[Request]:
    found = []
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body, data = _unchunked(data)
        else:
            size = int(headers.get("content-length", 0))
            body, data = data[:size], data[size:]
        found.append(Request(method, path, headers, body))
    return found


def _unchunked(data: bytes) -> tuple[bytes, bytes]:
    """The body, and what comes after it."""
    body = b""
    while data:
        size_text, _, data = data.partition(b"\r\n")
        size = int(size_text, 16)
        body += data[:size]
        data = data[size + 2 :]
        if size == 0:
            break
    return body, data
