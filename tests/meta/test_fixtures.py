"""What tests/conftest.py promises to every test."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
import pytest_socket

from fakes.clock import FakeClock
from fakes.ids import CountingIds

blocked = pytest.mark.filterwarnings("ignore:A test tried to use socket:UserWarning")


@blocked
def test_sockets_are_closed() -> None:
    with pytest.raises(pytest_socket.SocketBlockedError):
        socket.socket(socket.AF_INET)


@pytest.mark.enable_socket
def test_opened_sockets_reach_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass


# 192.0.2.0/24 is for documentation (RFC 5737); the guard refuses before a packet is sent.
@blocked
@pytest.mark.enable_socket
def test_opened_sockets_reach_no_other_machine() -> None:
    with socket.socket() as outside, pytest.raises(pytest_socket.SocketConnectBlockedError):
        outside.connect(("192.0.2.1", 9))


@blocked
@pytest.mark.enable_socket
async def test_opened_sockets_reach_no_other_machine_from_asyncio() -> None:
    with socket.socket() as outside:
        outside.setblocking(False)
        with pytest.raises(pytest_socket.SocketConnectBlockedError):
            await asyncio.get_running_loop().sock_connect(outside, ("192.0.2.1", 9))


def test_the_home_is_empty_and_settings_are_gone(bare_home: Path) -> None:
    assert Path.home() == bare_home
    assert list(bare_home.iterdir()) == []
    assert [name for name in os.environ if name.startswith("MOHIST_") or name.endswith("_API_KEY")] == []


def test_the_fake_clock_moves_only_when_told(clock: FakeClock) -> None:
    before = clock.now_ms(), clock.monotonic_s()
    clock.advance(1.5)
    assert (clock.now_ms() - before[0], clock.monotonic_s() - before[1]) == (1500, 1.5)


def test_the_counting_ids_count_by_kind(ids: CountingIds) -> None:
    assert [ids.new("run"), ids.new("run"), ids.new("call")] == ["run-000001", "run-000002", "call-000001"]
