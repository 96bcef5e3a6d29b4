"""Somebody on loopback who would get what leaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Listener:
    """Who would get what leaks: TCP and UDP on one port of loopback."""

    port: int = 0
    got: list[bytes] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Listener]:
    """Records every connection and datagram until it is left."""
    heard = Listener()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        heard.port = server.getsockname()[1]
        datagrams.bind(("127.0.0.1", heard.port))
        for each in (server, datagrams):
            each.settimeout(0.1)
        over = threading.Event()

        def connections() -> None:
            while not over.is_set():
                try:
                    link, _ = server.accept()
                except TimeoutError:
                    continue
                with link:
                    link.settimeout(1)
                    piece, whole = b"(connected)", b""
                    try:
                        while piece and len(whole) < 65536:
                            piece = link.recv(65536)
                            whole += piece
                            if b"\r\n\r\n" in whole:
                                link.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                                break
                    except OSError:
                        pass
                    heard.got.append(whole or b"(connected)")

        def packets() -> None:
            while not over.is_set():
                try:
                    heard.got.append(datagrams.recv(65536) or b"(empty)")
                except TimeoutError:
                    continue

        threads = [threading.Thread(target=each) for each in (connections, packets)]
        for thread in threads:
            thread.start()
        try:
            yield heard
        finally:
            over.set()
            for thread in threads:
                thread.join()
