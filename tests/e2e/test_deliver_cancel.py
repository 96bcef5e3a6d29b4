"""`mohist deliver cancel` through the real command line: no process, request, branch, worktree or half deploy stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx2
import pytest
from delivering import REQUIREMENT, SHOP, Open, Shop, environment, free_port, shop
from developer import until

from fakes.forge import KINDS, PROJECT, TOKEN, FakeForge, Kind

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]


class Forged:
    """A shop whose changes go through a forge; its server is a bare repository, by its path."""

    def __init__(self, one: Shop, kind: Kind) -> None:
        self.shop, self.dev = one, one.dev
        bare = one.dev.room / "shop.git"
        one.dev.git("clone", "-q", "--bare", ".", str(bare))
        self.fake = FakeForge(kind, bare)
        self.fake.new_checks = {"build": "pending"}
        (one.dev.room / "token").write_text(TOKEN, encoding="utf-8")
        one.dev.home.mkdir(exist_ok=True)
        (one.dev.home / "deliver.toml").write_text(
            f"""
[[remote]]
repository = "{one.dev.repo}"
url = "{bare}"
[remote.forge]
kind = "{kind}"
api = "{self.fake.api}"
project = "{PROJECT}"
token_file = "{one.dev.room / "token"}"
""",
            encoding="utf-8",
        )

    def asked(self) -> str:
        """Delivers until the request waits for its checks; its branch."""
        words = ["deliver", "--model", self.shop.endpoint.model, "--yes", "--json", REQUIREMENT]
        said = self.dev.mohist(*words)
        assert said.code == 6, said.err
        branch = str(said.json["branch"])
        assert self.fake.git("rev-parse", "--verify", branch) == said.json["commit"]
        return branch

    def is_clean(self, branch: str) -> bool:
        return (
            self.fake.pulls[0].state == "closed"
            and not self.fake.git("rev-parse", "--verify", branch)
            and not self.shop.leftovers()
        )


@pytest.fixture(params=KINDS)
def forged(request: pytest.FixtureRequest, opened: Open) -> Iterator[Forged]:
    made = Forged(opened(), request.param)
    yield made
    made.fake.close()
    assert made.fake.faults == []


def test_cancel_closes_the_request_and_removes_its_branch(forged: Forged) -> None:
    branch = forged.asked()
    said = forged.dev.mohist("deliver", "cancel", "last", "--because", "not wanted")
    assert said.code == 0, said.err
    assert forged.is_clean(branch)
    assert "not wanted" in forged.fake.pulls[0].comments[0]
    assert forged.fake.git("show", "main:shop.py") == SHOP["shop.py"].strip()
    assert f"taken back: {branch} is removed" in said.err
    assert forged.dev.mohist("deliver", "cancel", "last").code == 0
    assert len(forged.fake.pulls[0].comments) == 1


def test_what_a_forge_that_was_down_left_over_a_worker_does(opened: Open) -> None:
    forged = Forged(opened(), "github")
    try:
        branch = forged.asked()
        forged.fake.down = [(503, {}, b"")]
        said = forged.dev.mohist("deliver", "cancel", "last")
        assert said.code == 6, said.err
        assert "tried again later" in said.err
        assert forged.fake.pulls[0].state == "open"
        worker = forged.dev.start("deliver", "work")
        until(lambda: forged.is_clean(branch), "the worker to clear it")
        until(lambda: "owed" not in forged.shop.show()["options"], "its record")
        worker.send_signal(signal.SIGTERM)
        forged.dev.ended(worker)
    finally:
        forged.fake.close()


def test_a_cancel_that_was_killed_is_gone_on_with(opened: Open) -> None:
    forged = Forged(opened(), "gitea")
    try:
        branch = forged.asked()
        child = forged.dev.start("deliver", "cancel", "last")
        until(lambda: forged.fake.pulls[0].comments, "its comment")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert forged.dev.mohist("deliver", "cancel", "last").code == 0
        assert forged.is_clean(branch)
        assert len(forged.fake.pulls[0].comments) == 1
    finally:
        forged.fake.close()


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
def test_cancel_in_the_middle_of_a_deploy_brings_back_what_served(opened: Open, killed: bool) -> None:
    port = free_port()
    one = opened(shop(), environment(port))
    dev = one.dev
    first = dev.mohist(*one.deliver("--yes", "--json"))
    assert first.code == 0, first.err
    answer = httpx2.get(f"http://127.0.0.1:{port}/").json()
    # The next one bakes for a minute, in which it is cancelled.
    dev.git("checkout", "-q", "release")
    dev.write(".mohist/deliver.toml", environment(port).replace("bake_s = 0.2", "bake_s = 60"))
    dev.write("shop.py", SHOP["shop.py"])
    dev.git("add", "-A")
    dev.git("commit", "-q", "-m", "Bake for longer")
    dev.git("checkout", "-q", "main")
    child = dev.start(*one.deliver("--yes"))
    until(lambda: [r["status"] for r in one.show()["releases"]] == ["baking"], "the release to bake")
    assert httpx2.get(f"http://127.0.0.1:{port}/").json()["version"] != answer["version"]
    if killed:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    said = dev.mohist("deliver", "cancel", "last", "--because", "not today")
    assert said.code == 0, said.err
    assert "was taken back" in said.err
    assert "release holds the change already" not in said.err
    if not killed:
        assert dev.ended(child).code == 130
    assert httpx2.get(f"http://127.0.0.1:{port}/").json() == answer
    told = one.show()
    assert [row["status"] for row in told["releases"]] == ["rolled-back"]
    assert (told["status"], told["merged"]) == ("cancelled", dev.git("rev-parse", "release").strip())
    assert not [path for path in one.leftovers() if told["delivery_id"] in path]
