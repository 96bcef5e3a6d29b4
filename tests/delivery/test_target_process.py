"""Releases side by side on one host: real processes in the sandbox, a real switch, a prober that counts what users see."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from deploy_room import NEW, OLD, environment
from deployer import Order
from process_room import Host, Seen, opened, users

from mohist.delivery.errors import BusyError, TargetError
from mohist.delivery.target.process import ProcessTarget

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with opened(tmp_path) as made:
        yield made


async def test_users_see_no_failed_request_while_a_good_release_comes(host: Host) -> None:
    first = await host.deploy(OLD)
    assert (first.status, first.previous) == ("committed", "")
    seen = Seen()
    async with anyio.create_task_group() as group:
        group.start_soon(users, host, seen)
        second = await host.deploy(NEW)
        group.cancel_scope.cancel()
    assert (second.status, second.previous) == ("committed", first.release_id)
    assert seen.failures == []
    assert seen.versions[0] == OLD
    assert seen.versions[-1] == NEW
    assert (await host.target.status()).active == second.release_id


@pytest.mark.parametrize("mode", ["broken", "crash"])
async def test_users_see_no_failed_request_while_a_broken_release_comes(host: Host, mode: str) -> None:
    host.modes[NEW] = mode
    host.environment = environment(
        target=f'kind = "process"\ncommand = "serve"\nlisten = "{host.target.listen}"',
        probe="successes = 2\ninterval_s = 0.05\nbake_s = 0.3\nwithin_s = 2",
    )
    first = await host.deploy(OLD)
    seen = Seen()
    async with anyio.create_task_group() as group:
        group.start_soon(users, host, seen)
        second = await host.deploy(NEW)
        group.cancel_scope.cancel()
    assert second.status == "rolled-back"
    assert seen.failures == []
    assert set(seen.versions) == {OLD}
    standing = await host.target.status()
    assert (standing.active, standing.detail) == (first.release_id, f"serving: {first.release_id}")


@pytest.mark.parametrize("dies_at", ["prepared", "activating", "baking", "rolling-back"])
async def test_a_deployer_killed_by_the_system_leaves_users_what_they_have_and_another_goes_on(
    host: Host, dies_at: str
) -> None:
    first = await host.deploy(OLD)
    host.modes[NEW] = "later" if dies_at == "rolling-back" else "well"
    host.environment = environment(
        target=f'kind = "process"\ncommand = "serve"\nlisten = "{host.target.listen}"',
        probe="successes = 2\ninterval_s = 0.1\nbake_s = 1.5\nwithin_s = 40",
    )
    (host.folder / "book").write_bytes(pickle.dumps((host.book.rows, {})))
    order = Order(host.target, host.environment, NEW, host.ground.root, host.folder / "book", dies_at=dies_at)
    await host.ground.copy(f"del-1/1/artefact/{NEW}", NEW)
    seen = Seen()
    async with anyio.create_task_group() as group:
        group.start_soon(users, host, seen)
        await order.carry_out_killed()
        row = await order.carry_out()
        group.cancel_scope.cancel()
    standing = await host.target.status()
    if dies_at == "rolling-back":
        assert (row.status, standing.active) == ("rolled-back", first.release_id), row
        assert set(seen.failures) <= {"500"}
    else:
        assert (row.status, row.previous, standing.active) == ("committed", first.release_id, row.release_id), row
        assert seen.failures == []
    assert standing.detail == f"serving: {standing.active}"


async def test_a_killed_keeper_comes_back_with_what_it_kept(host: Host) -> None:
    first = await host.deploy(OLD)
    os.kill(int(json.loads((host.target.home / "address.json").read_text(encoding="utf-8"))["pid"]), signal.SIGKILL)
    with anyio.fail_after(60):
        while host.target._kept():  # noqa: ASYNC110 - another process's end
            await anyio.sleep(0.02)
        assert (await host.target.status()).active == first.release_id
        facts = await host.facts(first.release_id, OLD)
        while not (answer := await host.target.probe(facts)).ok:  # noqa: ASYNC110 - another process's start
            await anyio.sleep(0.05)  # the service's own start
    assert answer.version == OLD


async def test_the_address_of_a_dead_keeper_is_not_taken_for_that_of_one_that_begins(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await host.deploy(OLD)
    os.kill(int(json.loads((host.target.home / "address.json").read_text(encoding="utf-8"))["pid"]), signal.SIGKILL)
    with anyio.fail_after(60):
        while host.target._kept():  # noqa: ASYNC110 - another process's end
            await anyio.sleep(0.02)
    say, said = ProcessTarget._say, []
    with (host.target.home / "keeper.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        async def late(target: ProcessTarget, address: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
            # As one that begins: it held the lock, and had not yet taken the address away.
            fcntl.flock(lock, fcntl.LOCK_UN)
            said.append(address["pid"])
            return await say(target, address, order)

        with monkeypatch.context() as patched:
            patched.setattr(ProcessTarget, "_say", late)
            assert (await host.target.status()).active == first.release_id
    assert len(set(said)) == 2


async def test_two_deployers_at_once_are_told_of_each_other(host: Host) -> None:
    first, second = await host.facts("rel-1", OLD), await host.facts("rel-2", NEW)
    await host.target.prepare(first)
    with pytest.raises(BusyError, match="rel-1"):
        await host.target.prepare(second)
    await host.target.activate(first)
    await host.target.commit(first)
    await host.target.prepare(second)
    with pytest.raises(BusyError, match="rel-2"):
        await host.target.rollback(first, "")
    await host.target.rollback(second, "rel-1")
    assert (await host.target.status()).active == "rel-1"


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def test_nothing_stays_where_nothing_was_before(host: Host) -> None:
    first = await host.facts("rel-1", OLD)
    for _ in range(2):
        await host.target.prepare(first)
        await host.target.activate(first)
        await host.target.rollback(first, "")
        with anyio.fail_after(60), (host.target.home / "keeper.lock").open("ab") as lock:
            while not _taken(lock.fileno()):  # noqa: ASYNC110 - another process lets go of it, and tells nobody
                await anyio.sleep(0.02)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(host.target.listen.rpartition(":")[2])), timeout=5)


async def test_an_earlier_release_is_started_again_from_what_is_kept(host: Host) -> None:
    first = await host.deploy(OLD)
    second = await host.deploy(NEW)
    facts = await host.facts(second.release_id, NEW)
    for _ in range(2):
        await host.target.rollback(facts, first.release_id)
        assert (await host.target.status()).detail == f"serving: {first.release_id}"
    with pytest.raises(TargetError, match="not kept"):
        await host.target.rollback(await host.facts(first.release_id, OLD), "rel-gone")


async def test_orders_without_the_token_are_not_obeyed(host: Host) -> None:
    await host.deploy(OLD)
    address = json.loads((host.target.home / "address.json").read_text(encoding="utf-8"))
    assert (host.target.home / "address.json").stat().st_mode & 0o077 == 0
    answer = await host.target._say({**address, "token": "guessed"}, {"do": "end"})
    assert answer == {"error": "wrong token"}
    assert host.target._kept()
