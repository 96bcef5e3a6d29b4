"""For each run: a scripted vendor, a real gateway in front of it, and a desk with an empty home and a repository."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket
from coding_client import Desk
from line_tap import LineTap
from name_server import NameServer
from running_gateway import DIALECTS, PATIENCE_S, PREFIX, Gateway

from fakes.vendor import Vendor


@pytest.fixture(scope="session")
def names() -> Iterator[NameServer]:
    """Answers every question for a name with "there is none", and keeps the questions."""
    pytest_socket.enable_socket()
    with NameServer() as server:
        yield server


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor("vendor-key-" + secrets.token_hex(16)) as running:
        yield running


@pytest.fixture
def gateway(vendor: Vendor, tmp_path: Path) -> Iterator[Gateway]:
    home = tmp_path / "gateway"
    home.mkdir()
    routes = [
        f"""
[[routes]]
model = "{dialect}-model"
[[routes.upstreams]]
name = "{dialect}"
dialect = "{dialect}"
url = "{vendor.url}/v1"
key_env = "VENDOR_KEY"
model = "vendor-model"
[routes.upstreams.can]
leave_out = ["web_search"]  # Codex declares OpenAI's own search, which no other vendor has
"""
        for dialect in DIALECTS
    ]
    (home / "routes.toml").write_text("".join(routes), encoding="utf-8")
    running = Gateway(home, tmp_path / "gateway.log", vendor.key)
    with (
        open(running.log, "wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "mohist", "serve", "--port", "0"],
            env=running.env | {"VENDOR_KEY": vendor.key},
            stdout=subprocess.PIPE,
            stderr=log,
        ) as child,
    ):
        try:
            assert child.stdout is not None
            running.url = child.stdout.readline().decode().strip()
            assert running.url.startswith("http://"), running.log.read_text("utf-8")
            yield running
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                raise


@pytest.fixture
def line(gateway: Gateway) -> Iterator[LineTap]:
    with LineTap(int(gateway.url.rpartition(":")[2])) as tap:
        yield tap


@pytest.fixture
def desk(line: LineTap, tmp_path: Path) -> Desk:
    """An empty home and a repository with three files."""
    home, work, temp = (tmp_path / name for name in ("ann", "shop", "tmp"))
    for folder in (home, work, temp):
        folder.mkdir()
    for name in ("one.txt", "two.txt", "three.txt"):
        (work / name).write_text(f"The word is {secrets.token_hex(6)}.\n", encoding="utf-8")
    (work / "greeting.txt").write_text("hello\n", encoding="utf-8")
    git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *command], cwd=work, env={"PATH": os.environ["PATH"], "HOME": str(home)}, check=True)
    return Desk(home, work, temp, Path(PREFIX), line.url, "", "")
