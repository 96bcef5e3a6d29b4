"""A name server that knows no name and remembers who was looked for."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class NameServer:
    """On port 53 of loopback; for a network namespace of one's own."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._socket.settimeout(0.2)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(60)
        self._socket.close()

    def _serve(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                question, whence = self._socket.recvfrom(4096)
                name = _name(question)
                if name:
                    self.asked.append(name)
                # RFC 1035 section 4.1.1: a response (QR), recursion available, name error (RCODE 3).
                self._socket.sendto(
                    question[:2] + b"\x81\x83" + question[4:6] + b"\0\0\0\0\0\0" + _asked(question), whence
                )


def _name(question: bytes) -> str:
    labels, at = [], 12
    while at < len(question) and (size := question[at]):
        labels.append(question[at + 1 : at + 1 + size].decode("ascii", "replace"))
        at += 1 + size
    return ".".join(labels)


def _asked(question: bytes) -> bytes:
    """The question alone, without what follows it (EDNS)."""
    end = question.find(b"\0", 12)
    return question[12 : end + 5]
