"""Releases on a host over real SSH: uploads, one link, locks, and what a bad host does."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import asyncssh
import pytest
from deploy_room import NEW, OLD, FolderGround, MemoryBook, delivery, environment
from deployer import Order
from host import Link, Sshd, free_port

from mohist.base import SystemClock
from mohist.delivery.deploy import deploy, take_back
from mohist.delivery.environment import Environment
from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.state import Release
from mohist.delivery.target import ReleaseFacts
from mohist.delivery.target.probe import ProbeSpec
from mohist.delivery.target.ssh import Login, SshTarget

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]

PYTHON = str(Path(sys.executable).resolve())
# What serves holds the lock that it inherits, and its end frees it: a process that is dead keeps its number until its parent
# looks, which for an orphan is the machine's first process, in its own time or never.
RESTART = """
S=$(cd "$(dirname "$0")" && pwd); cd "$S"
exec 8>> lock
[ -f pid ] && kill "$(cat pid)" 2>/dev/null
flock 8
echo "$MOHIST_RELEASE" >> restarts
cd ../current || exit 1
MOHIST_COMMIT=$(cat commit) PORT={port} setsid {python} service.py > "$S/log" 2>&1 < /dev/null &
echo $! > "$S/pid"
"""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("ssh") / "server")
    yield server
    server.stop()


@dataclass
class Host:
    """A host with a service that is restarted in place."""

    folder: Path
    sshd: Sshd
    modes: dict[str, str] = field(default_factory=dict)
    link: Link | None = None
    rows: list[Release] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.folder / "srv"
        (self.root / "shared").mkdir(parents=True)
        port = free_port()
        restart = self.root / "shared" / "restart.sh"
        restart.write_text(RESTART.replace("{port}", str(port)).replace("{python}", PYTHON), encoding="utf-8")
        self.target = SshTarget(
            login=Login(
                "127.0.0.1", self.sshd.port, self.sshd.user, known_hosts=self.sshd.known_hosts, key=self.sshd.key
            ),
            path=str(self.root),
            probing=ProbeSpec(url=f"http://127.0.0.1:{port}/health", version="json:version"),
            restart=f"sh {restart}",
            stop=f"kill $(cat {self.root}/shared/pid)",
            timeout_s=20,
        )
        self.book = MemoryBook()
        self.ground = FolderGround(self.folder / "copies", self._fill)
        self.environment: Environment = environment(
            more="patience_s = 8\nbusy_s = 0",
            probe="successes = 2\ninterval_s = 0.05\nbake_s = 0.3\nwithin_s = 30",
        )

    def _fill(self, folder: Path, commit: str) -> None:
        shutil.copy(Path(__file__).with_name("service.py"), folder)
        (folder / "commit").write_text(commit, encoding="utf-8")
        (folder / "mode").write_text(self.modes.get(commit, "well"), encoding="utf-8")
        (folder / "link").symlink_to("mode")

    async def deploy(self, commit: str, attempt: int = 1) -> Release:
        return await deploy(
            delivery(attempt=attempt),
            self.environment,
            commit,
            self.book,  # type: ignore[arg-type]
            self.ground,  # type: ignore[arg-type]
            self.target,
            SystemClock(),
        )

    async def facts(self, release_id: str, commit: str = NEW) -> ReleaseFacts:
        return ReleaseFacts(release_id, commit, await self.ground.copy(release_id, commit), commit, "staging")

    def current(self) -> str:
        return (self.root / "current").readlink().name

    def left(self) -> set[str]:
        return {path.name for path in self.root.iterdir()} - {"last.log"}

    def restarts(self) -> list[str]:
        return (self.root / "shared" / "restarts").read_text(encoding="utf-8").split()

    def end(self) -> None:
        with suppress(OSError, ValueError):
            os.kill(int((self.root / "shared" / "pid").read_text(encoding="utf-8")), signal.SIGKILL)


@pytest.fixture
async def host(tmp_path: Path, sshd: Sshd) -> AsyncIterator[Host]:
    made = Host(tmp_path, sshd)
    yield made
    made.end()


@pytest.fixture
async def linked(host: Host) -> AsyncIterator[Host]:
    """The host behind a link that can be cut."""
    host.link = Link(host.sshd.port)
    host.target = replace(host.target, login=replace(host.target.login, port=await host.link.listen()))
    yield host
    await host.link.close()


async def _kept(host: Host) -> tuple[str, ...]:
    return (await host.target.status()).kept


async def test_a_release_is_uploaded_linked_restarted_and_asked(host: Host) -> None:
    first = await host.deploy(OLD)
    assert (first.status, first.previous, first.detail) == ("committed", "", first.detail), first
    second = await host.deploy(NEW)
    assert (second.status, second.previous) == ("committed", first.release_id), second
    assert host.current() == second.release_id
    assert host.left() == {"releases", "shared", "current"}
    assert (host.root / "current" / "link").readlink() == Path("mode")
    assert await host.target.status() == replace(
        await host.target.status(), active=second.release_id, kept=tuple(sorted((first.release_id, second.release_id)))
    )


@pytest.mark.parametrize("mode", ["crash"])
async def test_a_sick_release_is_taken_back_and_what_was_before_answers(host: Host, mode: str) -> None:
    first = await host.deploy(OLD)
    host.modes[NEW] = mode
    host.environment = environment(probe="successes = 2\ninterval_s = 0.1\nbake_s = 3\nwithin_s = 6")
    second = await host.deploy(NEW)
    assert second.status == "rolled-back"
    assert host.current() == first.release_id
    assert await _kept(host) == (first.release_id,)
    assert "lock" not in host.left()
    assert (await host.target.probe(await host.facts("rel-asked"))).version == OLD


async def test_every_step_may_be_repeated(host: Host) -> None:
    first = await host.deploy(OLD)
    assert first.status == "committed", first
    facts = await host.facts("rel-x")
    for step in (host.target.prepare, host.target.activate):
        await step(facts)
        await step(facts)
    assert host.current() == "rel-x"
    for _ in range(2):
        await host.target.rollback(facts, first.release_id)
        assert host.current() == first.release_id
    count = len(host.restarts())
    await host.target.prepare(facts)
    await host.target.rollback(facts, first.release_id)
    assert len(host.restarts()) == count, "what was never activated must not disturb what serves"
    again = await host.facts("rel-y")
    await host.target.prepare(again)
    await host.target.activate(again)
    await host.target.commit(again)
    await host.target.commit(again)
    assert host.left() == {"releases", "shared", "current"}


async def test_as_many_releases_are_kept_as_asked(host: Host) -> None:
    host.target = replace(host.target, keep=2, restart="")
    for number in range(4):
        facts = await host.facts(f"rel-{number}")
        await host.target.prepare(facts)
        await host.target.activate(facts)
        await host.target.commit(facts)
    assert await _kept(host) == ("rel-2", "rel-3")


async def test_two_deployers_at_once_are_told_of_each_other(host: Host) -> None:
    first, second = await host.facts("rel-1"), await host.facts("rel-2")
    outcomes: list[str] = []

    async def prepare(facts: ReleaseFacts) -> None:
        try:
            await host.target.prepare(facts)
            outcomes.append(facts.release_id)
        except BusyError:
            outcomes.append("busy")

    async with anyio.create_task_group() as group:
        group.start_soon(prepare, first)
        group.start_soon(prepare, second)
    assert sorted(outcomes)[0] == "busy"
    assert len(set(outcomes)) == 2


async def test_a_host_with_another_key_gets_nothing(host: Host) -> None:
    other = host.folder / "known_hosts"
    other.write_bytes(b"* " + asyncssh.generate_private_key("ssh-ed25519").export_public_key())
    host.target = replace(host.target, login=replace(host.target.login, known_hosts=other))
    with pytest.raises(TargetError, match="is not the one in"):
        await host.target.prepare(await host.facts("rel-1"))
    assert not (host.root / "releases").exists()


async def test_a_key_that_the_host_does_not_know_is_refused(host: Host) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(host.folder / "other"))
    host.target = replace(host.target, login=replace(host.target.login, key=host.folder / "other"))
    with pytest.raises(TargetError, match="does not accept the key"):
        await host.target.status()


async def test_a_host_that_is_away_for_a_while_is_waited_for(linked: Host) -> None:
    assert linked.link is not None
    await linked.deploy(OLD)
    linked.link.cut()
    with pytest.raises(UnreachableError):
        await linked.target.status()

    async def mend_later() -> None:
        assert linked.link is not None
        for _ in range(3):
            await linked.link.turned_away.acquire()
        linked.link.mend()

    async with anyio.create_task_group() as group:
        group.start_soon(mend_later)
        row = await linked.deploy(NEW)
    assert row.status == "committed"


async def test_a_connection_lost_in_the_middle_of_the_restart_is_made_again(linked: Host) -> None:
    assert linked.link is not None
    await linked.deploy(OLD)
    began = linked.folder / "began"
    slow = f"if [ ! -e {began} ]; then touch {began}; sleep 2; fi; {linked.target.restart}"
    linked.target = replace(linked.target, restart=slow)

    async def cut_in_the_middle() -> None:
        assert linked.link is not None
        with anyio.fail_after(60):
            while not began.exists():  # noqa: ASYNC110 - written by a process on the host
                await anyio.sleep(0.02)
        linked.link.cut()
        linked.link.mend()

    async with anyio.create_task_group() as group:
        group.start_soon(cut_in_the_middle)
        row = await linked.deploy(NEW)
    assert row.status == "committed", row
    assert linked.current() == row.release_id


async def test_a_host_that_stays_away_in_the_middle_alarms_and_can_be_taken_back_later(linked: Host) -> None:
    assert linked.link is not None
    first = await linked.deploy(OLD)
    linked.environment = environment(more="patience_s = 0", probe="within_s = 10\ninterval_s = 0.1")
    target = linked.target
    linked.target = CutAtActivation(target, linked.link)  # type: ignore[assignment]
    row = await linked.deploy(NEW)
    assert (row.status, linked.book.told[-1].kind) == ("failed", "alarm")
    linked.link.mend()
    back = await take_back(
        delivery(),
        linked.environment,
        row,
        linked.book,
        target,
        SystemClock(),
        "the host is back",  # type: ignore[arg-type]
    )
    assert back.status == "rolled-back"
    assert linked.current() == first.release_id
    assert linked.left() == {"releases", "shared", "current", "incoming"}


class CutAtActivation:
    """The target, but the link to it goes as soon as a release is to be activated."""

    strategies = SshTarget.strategies

    def __init__(self, target: SshTarget, link: Link) -> None:
        self._target, self._link = target, link

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:
        self._link.cut()
        await self._target.activate(release, weight)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Host]:
    """A host whose server may be killed."""
    server = Sshd(tmp_path / "server")
    made = Host(tmp_path, server)
    yield made
    made.end()
    server.stop()


async def _killed_in_the_middle(host: Host, then: Callable[[], None]) -> None:
    """Kills the server once the restart of the next release is under way."""
    began = host.folder / "began"
    slow = f"if [ ! -e {began} ]; then touch {began}; sleep 30; fi; {host.target.restart}"
    host.target = replace(host.target, restart=slow, timeout_s=5)

    async def kill() -> None:
        with anyio.fail_after(60):
            while not began.exists():  # noqa: ASYNC110 - written by a process on the host
                await anyio.sleep(0.02)
        await anyio.to_thread.run_sync(host.sshd.kill)
        await anyio.to_thread.run_sync(then)

    async with anyio.create_task_group() as group:
        group.start_soon(kill)
        host.rows = [await host.deploy(NEW)]


async def test_a_server_killed_in_the_middle_that_comes_back_is_gone_on_with(own: Host) -> None:
    first = await own.deploy(OLD)
    own.environment = environment(
        more="patience_s = 60\nbusy_s = 0", probe="successes = 2\ninterval_s = 0.05\nbake_s = 0.3\nwithin_s = 60"
    )
    await _killed_in_the_middle(own, own.sshd.start)
    (row,) = own.rows
    assert (row.status, row.previous, own.current()) == ("committed", first.release_id, row.release_id), row
    assert (await own.target.probe(await own.facts("rel-asked"))).version == NEW
    assert not own.left() & {"lock", "touched"}


async def test_a_server_killed_in_the_middle_that_never_comes_back_ends_in_a_state_that_says_so(own: Host) -> None:
    first = await own.deploy(OLD)
    own.environment = environment(
        more="patience_s = 1\nbusy_s = 0", probe="successes = 2\ninterval_s = 0.05\nbake_s = 0.3\nwithin_s = 3"
    )
    await _killed_in_the_middle(own, lambda: None)
    (row,) = own.rows
    assert row.status == "failed"
    assert "And the rollback failed" in row.detail
    assert [note.kind for note in own.book.told][-1] == "alarm"
    own.sshd.start()
    back = await take_back(
        delivery(),
        own.environment,
        row,
        own.book,
        own.target,
        SystemClock(),
        "ann",  # type: ignore[arg-type]
    )
    assert (back.status, own.current()) == ("rolled-back", first.release_id)
    assert not own.left() & {"lock", "touched"}


@pytest.mark.parametrize("dies_at", ["prepared", "activating", "rolling-back"])
async def test_another_deployer_goes_on_where_one_was_killed_by_the_system(host: Host, dies_at: str) -> None:
    first = await host.deploy(OLD)
    host.modes[NEW] = "later" if dies_at == "rolling-back" else "well"
    host.environment = environment(probe="successes = 2\ninterval_s = 0.1\nbake_s = 1.5\nwithin_s = 30")
    (host.folder / "book").write_bytes(pickle.dumps((host.book.rows, {})))
    order = Order(host.target, host.environment, NEW, host.ground.root, host.folder / "book", dies_at=dies_at)
    await host.ground.copy(f"del-1/1/artefact/{NEW}", NEW)
    await order.carry_out_killed()
    row = await order.carry_out()
    if dies_at == "rolling-back":
        assert (row.status, host.current()) == ("rolled-back", first.release_id), row
    else:
        assert (row.status, row.previous, host.current()) == ("committed", first.release_id, row.release_id), row
    assert not host.left() & {"lock", "touched"}


async def test_what_a_killed_deployer_began_on_the_host_ends_before_it_is_begun_again(host: Host) -> None:
    """A restart goes on when the connection is gone: the next one may not meet it."""
    trace = host.folder / "trace"
    host.target = replace(host.target, restart=f"echo in >> {trace}; sleep 1; echo out >> {trace}")
    facts = await host.facts("rel-1")
    await host.target.prepare(facts)
    async with anyio.create_task_group() as group:
        group.start_soon(host.target.activate, facts)
        with anyio.fail_after(60):
            while not trace.exists():  # noqa: ASYNC110 - written by a process on the host
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    await host.target.activate(facts)
    assert trace.read_text(encoding="utf-8").split() == ["in", "out", "in", "out"]


async def test_a_full_disk_leaves_what_serves_and_no_remains(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=2m tmpfs {small} && mkdir -p {small}/srv && exec "$@"'
    if (await anyio.run_process(["unshare", "-m", "true"], check=False)).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    server = Sshd(tmp_path / "server", before=("unshare", "-m", "sh", "-c", mount, "sh"))
    try:
        host = Host(tmp_path, server)
        target = replace(host.target, path=f"{small}/srv", restart="", probing=ProbeSpec(command="cat mode"))
        facts = await host.facts("rel-1")
        await target.prepare(facts)
        await target.activate(facts)
        await target.commit(facts)
        big = await host.facts("rel-2")
        (big.folder / "big").write_bytes(os.urandom(3 * 1024**2))
        with pytest.raises(TargetError, match="ended with"):
            await target.prepare(big)
        await target.rollback(big, "rel-1")
        standing = await target.status()
        assert (standing.active, standing.kept) == ("rel-1", ("rel-1",))
        assert (await target.probe(facts)).ok
        (big.folder / "big").unlink()
        await target.prepare(big)
    finally:
        server.stop()
