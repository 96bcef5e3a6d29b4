"""The tests' GitLab, judged by a client that others wrote: both ask it for the same by the same calls, and read the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import FakeClock
from fakes.forge import PROJECT, TOKEN, FakeForge
from mohist.delivery.forge.contract import Request
from mohist.delivery.forge.gitlab import GitLab

pytestmark = [pytest.mark.deploy, pytest.mark.enable_socket]


def run_git(folder: Path, *args: str) -> str:
    who = ("-c", "user.name=U", "-c", "user.email=u@example.invalid", "-c", "commit.gpgsign=false")
    # Two repositories that are compared have the same commits, also where a second passes between them.
    when = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    command = ["git", *who, *args]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, **when})
    return done.stdout.strip()


def forge_of(folder: Path) -> FakeForge:
    folder.mkdir()
    run_git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "shop.git")
    bare = folder / "shop.git"
    tree = run_git(bare, "hash-object", "-t", "tree", "-w", "/dev/null")
    base = run_git(bare, "commit-tree", tree, "-m", "base")
    run_git(bare, "update-ref", "refs/heads/main", base)
    run_git(bare, "update-ref", "refs/heads/mohist/d", run_git(bare, "commit-tree", tree, "-p", base, "-m", "change"))
    fake = FakeForge("gitlab", bare)
    fake.issues = {7: ("Say bye", "Why")}
    return fake


class Theirs:
    """python-gitlab's program."""

    def __init__(self, fake: FakeForge, folder: Path) -> None:
        self.config = folder / "gitlab.cfg"
        self.config.write_text(
            f"[global]\ndefault = fake\n[fake]\nurl = {fake.api}\nprivate_token = {TOKEN}\napi_version = 4\n",
            encoding="utf-8",
        )

    def __call__(self, *words: str) -> Any:
        program = Path(sys.executable).parent / "gitlab"
        done = subprocess.run(
            [program, "--skip-login", "-c", self.config, "-o", "json", *words],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.config.parent)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout


def as_request(row: dict[str, Any]) -> tuple[int, str, str]:
    return row["iid"], row["state"].replace("opened", "open"), row["sha"]


def as_told(request: Request) -> tuple[int, str, str]:
    return request.number, request.state, request.head


async def test_another_client_asks_for_the_same_and_reads_the_same(tmp_path: Path) -> None:
    one, other = forge_of(tmp_path / "one"), forge_of(tmp_path / "other")
    theirs, ours = Theirs(one, tmp_path), GitLab.made(f"{other.api}/api/v4", PROJECT, TOKEN, "merge", FakeClock())
    mr = ("--project-id", PROJECT)
    try:
        issue = theirs("project-issue", "get", *mr, "--iid", "7")
        told = await ours.issue(7)
        assert (issue["iid"], issue["title"], issue["description"]) == (told.number, told.title, told.body)
        listed = theirs("project-merge-request", "list", *mr, "--source-branch", "mohist/d", "--state", "all")
        assert listed == []
        made = theirs(
            *("project-merge-request", "create", *mr, "--source-branch", "mohist/d", "--target-branch", "main"),
            *("--title", "Say bye", "--description", "Why"),
        )
        request = await ours.open_request("mohist/d", "main", "Say bye", "Why", "d")
        assert as_request(made) == as_told(request)
        got = theirs("project-merge-request", "get", *mr, "--iid", "1")
        assert as_request(got) == as_told((await ours.request(1)).request)
        theirs("project-merge-request-note", "list", *mr, "--mr-iid", "1")
        theirs("project-merge-request-note", "create", *mr, "--mr-iid", "1", "--body", "Not wanted")
        theirs("project-merge-request", "update", *mr, "--iid", "1", "--state-event", "close")
        assert as_request(theirs("project-merge-request", "get", *mr, "--iid", "1")) == as_told(
            await ours.close(1, "d/closed", "Not wanted")
        )
        for fake in (one, other):
            fake.pulls[0].state = "open"
        theirs("project-merge-request", "merge", *mr, "--iid", "1")
        merged = await ours.merge(1, request.head)
        assert isinstance(merged, Request)
        got = theirs("project-merge-request", "get", *mr, "--iid", "1")
        assert (as_request(got), got["merge_commit_sha"]) == (as_told(merged), one.pulls[0].merged)
        assert one.faults == other.faults == []
        assert set(other.calls) == set(one.calls)
    finally:
        one.close()
        other.close()
