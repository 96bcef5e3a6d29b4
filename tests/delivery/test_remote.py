"""Pushing to a git server over http, ssh and a path: by lease, with the user's own key or token, once."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_server import TOKEN, GitServer, bare, protect, pushes
from ground_room import git
from host import Sshd
from merge_room import BRANCH, Port, port

from fakes.clock import FakeClock
from mohist.delivery.machine import LOOK
from mohist.delivery.store import Store
from mohist.gateway.address import file_address
from mohist.sandbox import AwayError, BarredError, MovedError, Remote

pytestmark = pytest.mark.enable_socket


@pytest.fixture
async def at(tmp_path: Path) -> Port:
    made = await port(tmp_path)
    bare(made.user, tmp_path / "served" / "shop.git")
    return made


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return tmp_path / "served" / "shop.git"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    made = GitServer(tmp_path / "served")
    yield made
    made.close()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    made = Sshd(tmp_path_factory.mktemp("git-ssh") / "sshd")
    yield made
    made.stop()


@pytest.fixture(params=["http", "ssh", "path"])
def remote(request: pytest.FixtureRequest, served: Path) -> Remote:
    if request.param == "path":
        return Remote(str(served))
    if request.param == "http":
        return Remote(f"{request.getfixturevalue('server').url}/shop.git", TOKEN)
    sshd = request.getfixturevalue("sshd")
    return Remote(f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{served}", key=sshd.key, known_hosts=sshd.known_hosts)


def over_http(server: GitServer, token: str = TOKEN) -> Remote:
    return Remote(f"{server.url}/shop.git", token)


async def test_a_change_is_merged_where_the_base_lives(at: Port, served: Path, remote: Remote) -> None:
    before = at.main
    assert (await at.merge(harbour=at.ground.remote(remote))).status == "done"
    assert git(served, "rev-parse", "main") == at.commit == at.delivery.merged
    assert pushes(served) == [f"refs/heads/main {at.commit}"]
    assert at.main == before


async def test_a_lease_that_is_stale_is_refused(at: Port, served: Path, remote: Remote) -> None:
    store = at.ground.remote(remote)
    tip = await store.tip("main")
    await store.push(at.commit, "main", tip)
    other = git(served, "commit-tree", f"{tip}^{{tree}}", "-p", at.commit, "-m", "somebody else")
    git(served, "update-ref", "refs/heads/main", other)
    folder = await at.ground.worktree("more", at.commit)
    (folder / "more.sh").write_text("echo more\n", encoding="utf-8")
    more = await at.ground.commit(folder, "More", {})
    with pytest.raises(MovedError):
        await store.push(more, "main", at.commit)
    with pytest.raises(MovedError):
        await store.push(more, "fresh", at.commit)
    with pytest.raises(MovedError):
        await store.push(more, "main", "")
    assert git(served, "rev-parse", "main") == other
    assert await store.tip("main") == other
    assert await at.ground.contains(other, at.commit)


async def test_a_protected_branch_is_not_pushed_and_the_servers_words_are_told(
    at: Port, served: Path, remote: Remote
) -> None:
    protect(served)
    ended = await at.merge(harbour=at.ground.remote(remote))
    assert ended.status == "failed"
    assert "refused" in ended.detail
    assert "Protected branch" in ended.detail
    assert pushes(served) == []


async def test_a_wrong_token_is_told_without_it(at: Port, server: GitServer) -> None:
    wrong = "wr" + "ong-token"
    with pytest.raises(BarredError) as caught:
        await at.ground.remote(over_http(server, wrong)).tip("main")
    assert wrong not in str(caught.value)
    assert wrong not in repr(over_http(server, wrong))


async def test_a_host_that_is_not_known_gets_nothing(at: Port, served: Path, sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "nobody").write_text("", encoding="utf-8")
    url = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{served}"
    with pytest.raises(BarredError):
        await at.ground.remote(Remote(url, key=sshd.key, known_hosts=tmp_path / "nobody")).tip("main")


async def test_a_token_is_not_sent_on_by_a_redirect(at: Port, server: GitServer, tmp_path: Path) -> None:
    other = GitServer(tmp_path)
    try:
        server.redirect = other.url
        with pytest.raises((AwayError, BarredError)):
            await at.ground.remote(over_http(server)).tip("main")
        assert other.asked == []
    finally:
        other.close()


async def test_the_repositorys_own_settings_choose_neither_server_nor_key(
    at: Port, server: GitServer, served: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    hook = at.user / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n", encoding="utf-8")
    hook.chmod(0o755)
    for key, value in (
        ("credential.helper", f"!touch {trap}; echo"),
        ("core.sshCommand", f"touch {trap}"),
        (f"url.{tmp_path}/elsewhere/.insteadOf", server.url),
        ("core.hooksPath", str(hook.parent)),
        ("http.proxy", "http://127.0.0.1:1"),
    ):
        git(at.user, "config", key, value)
    assert (await at.merge(harbour=at.ground.remote(over_http(server)))).status == "done"
    assert git(served, "rev-parse", "main") == at.commit
    assert not trap.exists()
    assert {base64.b64decode(named.removeprefix("Basic ")).decode() for named in server.asked} == {f"git:{TOKEN}"}


async def test_a_server_that_is_away_is_waited_for_and_nothing_is_lost(
    at: Port, server: GitServer, served: Path
) -> None:
    server.status = 503
    harbour = at.ground.remote(over_http(server))
    ended = await at.merge(harbour=harbour)
    assert ended.status == "waiting"
    assert (at.delivery.status, at.delivery.segment) == ("waiting", "")
    assert LOOK in at.delivery.options
    server.status = 0
    at.wakes()
    assert (await at.merge(harbour=harbour)).status == "done"
    assert pushes(served) == [f"refs/heads/main {at.commit}"]
    assert LOOK not in at.delivery.options


async def test_a_base_that_went_on_at_the_server_is_noticed(at: Port, server: GitServer, served: Path) -> None:
    tip = at.on_main({"other.sh": "echo more\n"})
    git(at.user, "push", "--quiet", str(served), "main")
    git(at.user, "branch", "--force", "main", at.delivery.base_commit)
    await at.merge(harbour=at.ground.remote(over_http(server)))
    assert (at.delivery.stage, at.delivery.attempt, at.delivery.base_commit) == ("verify", 2, tip)
    assert await at.ground.contains(at.delivery.commit, tip)


async def test_a_base_that_was_rewritten_at_the_server_is_noticed(at: Port, server: GitServer, served: Path) -> None:
    lost = git(served, "commit-tree", "main^{tree}", "-m", "rewritten")
    git(served, "update-ref", "refs/heads/main", lost)
    ended = await at.merge(harbour=at.ground.remote(over_http(server)))
    assert ended.status == "failed"
    assert "was rewritten" in ended.detail
    assert git(served, "rev-parse", "main") == lost


CHILD = """
import os, signal, sys
from pathlib import Path
import anyio
from merge_room import AUTHOR, BRANCH
from mohist.base import SystemClock
from mohist.delivery import landing
from mohist.delivery.ground import GitGround, Room
from mohist.delivery.stage import Context
from mohist.delivery.store import Store
from mohist.gateway.address import file_address
from mohist.sandbox import Remote

class Dying(Store):
    def done(self, key, result):
        os.kill(os.getpid(), signal.SIGKILL)

async def main(folder, url, token):
    folder = Path(folder)
    book = Dying(file_address(folder / "book.db"), SystemClock())
    ground = await GitGround.open(folder / "user", folder / "home", Room(None), AUTHOR)
    context = Context("d", 1, book, None, ground, SystemClock(), folder, None)
    await landing.run(context, ground, ground.remote(Remote(url, token)))

anyio.run(main, *sys.argv[1:])
"""


def child(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": f"{here}:{here.parent}"}
    command = [sys.executable, "-c", CHILD, str(folder), url, TOKEN]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


async def test_killed_between_the_push_and_its_record_it_pushes_once(tmp_path: Path) -> None:

    book = Store(file_address(tmp_path / "book.db"), FakeClock())
    at = await port(tmp_path, book)
    served = bare(at.user, tmp_path / "served" / "shop.git")
    server = GitServer(tmp_path / "served")
    try:
        done = child(tmp_path, f"{server.url}/shop.git")
        assert done.returncode == -9, done.stderr
        assert pushes(served) == [f"refs/heads/main {at.commit}"]
        assert at.delivery.merged == ""
        assert (await at.merge(harbour=at.ground.remote(over_http(server)))).status == "done"
        assert pushes(served) == [f"refs/heads/main {at.commit}"]
        assert at.delivery.merged == at.commit
    finally:
        server.close()
        book.close()


async def test_the_branch_of_a_delivery_is_told_apart_from_its_base(at: Port, remote: Remote) -> None:
    store = at.ground.remote(remote)
    assert await store.tip(BRANCH) == ""
    await store.push(at.commit, BRANCH, "")
    assert await store.tip(BRANCH) == at.commit
    await store.push(at.commit, BRANCH, at.commit)


async def test_a_branch_is_removed_where_it_stands_as_expected_and_nowhere_else(
    at: Port, served: Path, remote: Remote
) -> None:
    store = at.ground.remote(remote)
    await store.remove(BRANCH, at.commit)
    await store.push(at.commit, BRANCH, "")
    theirs = git(served, "commit-tree", f"{at.commit}^{{tree}}", "-p", at.commit, "-m", "theirs")
    git(served, "update-ref", f"refs/heads/{BRANCH}", theirs)
    with pytest.raises(MovedError):
        await store.remove(BRANCH, at.commit)
    assert git(served, "rev-parse", BRANCH) == theirs
    await store.remove(BRANCH, theirs)
    assert await store.tip(BRANCH) == ""
    await store.remove(BRANCH, theirs)
    git(served, "config", "receive.denyDeletes", "true")
    await store.push(at.commit, BRANCH, "")
    with pytest.raises(BarredError):
        await store.remove(BRANCH, at.commit)
    assert await store.tip(BRANCH) == at.commit
