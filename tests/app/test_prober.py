"""The demo's user of a service: what fails is counted, however it fails."""

from __future__ import annotations

import socket
import threading

import pytest

from mohist.app.prober import Prober

pytestmark = pytest.mark.enable_socket
LIMIT_S = 60.0


def asked_of(answer: bytes, times: int = 3) -> Prober:
    """A prober after so many answers, byte for byte; empty: the connection is closed."""
    enough = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(times):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
            enough.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Prober(server.getsockname()[1], "/price") as prober:
            assert enough.wait(LIMIT_S)
            server.close()
        thread.join(LIMIT_S)
    return prober


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", "status 500"), (b"", "RemoteDisconnected")],
)
def test_errors_and_cut_connections_are_failed_requests(answer: bytes, trouble: str) -> None:
    prober = asked_of(answer)
    assert prober.failed >= 3
    assert prober.failed == prober.asked
    assert prober.trouble.startswith(trouble)


def test_an_answer_is_none() -> None:
    prober = asked_of(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    assert prober.asked >= 3
    assert prober.asked - prober.failed == 3
