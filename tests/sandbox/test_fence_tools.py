"""Real pip, npm and git work through the fence where they may, and get nothing where they may not."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import h11
import pytest
from anyio.abc import ByteStream
from fence_room import Origin, codes, inside, origin, resolver, to_port, trusting
from sandbox_room import PYTHON, host_git

from mohist.sandbox import Attempt, Authority, Bubblewrap, Completed, Fence, Rule, Rules

pytestmark = pytest.mark.enable_socket

HOST = "packages.example"
Answer = tuple[int, str, bytes]
App = Callable[[str, str, str, bytes], Answer]


@dataclass
class Shop(Origin):
    """A server with bodies: method, path, query and body in, status, type and body out."""

    app: App = lambda method, path, query, body: (404, "text/plain", b"")

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        side = h11.Connection(h11.SERVER)
        async with stream:
            while side.our_state is h11.IDLE:
                request, body = None, b""
                while not isinstance(event := side.next_event(), h11.EndOfMessage):
                    if event is h11.NEED_DATA:
                        try:
                            side.receive_data(await stream.receive())
                        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
                            side.receive_data(b"")
                    elif isinstance(event, h11.Request):
                        request = event
                    elif isinstance(event, h11.Data):
                        body += event.data
                    else:
                        return
                assert request is not None
                self.requests.append(request.target)
                path, _, query = request.target.decode().partition("?")
                if dict(request.headers).get(b"content-encoding") == b"gzip":
                    import gzip

                    body = gzip.decompress(body)
                status, kind, answer = await anyio.to_thread.run_sync(
                    self.app, request.method.decode(), path, query, body
                )
                headers = [("Content-Type", kind), ("Content-Length", str(len(answer)))]
                data = side.send(h11.Response(status_code=status, headers=headers))
                data += side.send(h11.Data(data=answer)) if request.method != b"HEAD" else b""
                await stream.send(data + side.send(h11.EndOfMessage()))
                if side.our_state is h11.DONE and side.their_state is h11.DONE:
                    side.start_next_cycle()


def wheel() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("thing.py", "value = 'from the wheel'\n")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "thing.py,,\nthing-1.0.dist-info/RECORD,,\n")
    return made.getvalue()


def python_index(method: str, path: str, query: str, body: bytes) -> Answer:
    name = "thing-1.0-py3-none-any.whl"
    if path == "/simple/thing/":
        digest = hashlib.sha256(WHEEL).hexdigest()
        return 200, "text/html", f'<a href="/files/{name}#sha256={digest}">{name}</a>'.encode()
    return (200, "application/zip", WHEEL) if path == f"/files/{name}" else (404, "text/plain", b"")


def tarball() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in (
            ("package.json", '{"name": "thing", "version": "1.0.0"}'),
            ("index.js", "module.exports = 'packed'"),
        ):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


WHEEL, TARBALL = wheel(), tarball()


def node_registry(method: str, path: str, query: str, body: bytes) -> Answer:
    if path == "/thing":
        digest = "sha512-" + base64.b64encode(hashlib.sha512(TARBALL).digest()).decode()
        dist = {"tarball": f"https://{HOST}/thing/-/thing-1.0.0.tgz", "integrity": digest}
        version = {"name": "thing", "version": "1.0.0", "dist": dist}
        listing = {"name": "thing", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        return 200, "application/json", json.dumps(listing).encode()
    return (200, "application/octet-stream", TARBALL) if path.endswith(".tgz") else (404, "application/json", b"{}")


def git_server(folder: Path) -> App:
    """git's own CGI program."""

    def answer(method: str, path: str, query: str, body: bytes) -> Answer:
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": method, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder),
            "CONTENT_TYPE": f"application/x-{path.rpartition('/')[2]}-request", "CONTENT_LENGTH": str(len(body)),
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, timeout=30)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
        status = int(lines.get(b"Status", b"200").split()[0])
        return status, lines.get(b"Content-Type", b"text/plain").decode(), content

    return answer


@asynccontextmanager
async def shop(
    app: App, *, allowed: bool, inspect: bool
) -> AsyncIterator[tuple[Shop, Fence, list[Attempt], Authority]]:
    outside = Authority()
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST if allowed else "another.example", private=True, inspect=inspect)])
    async with (
        origin(outside.context(HOST), Shop(app=app)) as server,
        Fence(
            to_port(rules, server.port), attempts.append, resolve=resolver({HOST: ["127.0.0.1"]}),
            authority=Authority() if inspect else None, trust=trusting(outside),
        ) as fence,
    ):  # fmt: skip
        yield server, fence, attempts, outside


PIP = [
    PYTHON, "-I", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--retries", "1",
    "--target", "got", "--index-url", f"https://{HOST}/simple", "thing",
]  # fmt: skip
NPM = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", f"--registry=https://{HOST}", "thing"]
CLONE = ["git", "clone", "--quiet", f"https://{HOST}/repository", "got"]


async def attempt(
    sandbox: Bubblewrap, workspace: Path, fence: Fence, outside: Authority, argv: list[str], inspect: bool
) -> Completed:
    """Where TLS passes unread, the program itself must trust the server."""
    shutil.rmtree(workspace / "got", ignore_errors=True)
    (workspace / "outside.pem").write_bytes(outside.pem)
    trusted = str(workspace / "outside.pem")
    env = {} if inspect else dict.fromkeys(("REQUESTS_CA_BUNDLE", "npm_config_cafile", "GIT_SSL_CAINFO"), trusted)
    return await inside(sandbox, workspace, fence, argv, env=env, timeout_s=90)


@pytest.mark.parametrize("inspect", [False, True], ids=["unread", "looked into"])
@pytest.mark.parametrize("proxied", [True, False], ids=["by the proxy", "without"])
async def test_pip_installs(sandbox: Bubblewrap, workspace: Path, inspect: bool, proxied: bool) -> None:
    async with shop(python_index, allowed=True, inspect=inspect) as (server, fence, attempts, outside):
        argv = (
            PIP
            if proxied
            else ["env", "-u", "HTTPS_PROXY", "-u", "https_proxy", "-u", "ALL_PROXY", "-u", "all_proxy", *PIP]
        )
        done = await attempt(sandbox, workspace, fence, outside, argv, inspect)
    assert done.exit.code == 0, done.output
    assert (workspace / "got" / "thing.py").read_text(encoding="utf-8") == "value = 'from the wheel'\n"
    assert server.requests == [b"/simple/thing/", b"/files/thing-1.0-py3-none-any.whl"]
    assert {each.asked.carrier for each in attempts} == ({"connect"} if proxied else {"name", "direct"})
    assert {each.outcome for each in attempts} <= {"through", "served"}


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
@pytest.mark.parametrize("inspect", [False, True], ids=["unread", "looked into"])
async def test_npm_installs(sandbox: Bubblewrap, workspace: Path, inspect: bool) -> None:
    async with shop(node_registry, allowed=True, inspect=inspect) as (server, fence, attempts, outside):
        done = await attempt(sandbox, workspace, fence, outside, NPM, inspect)
    assert done.exit.code == 0, done.output
    assert (workspace / "node_modules/thing/index.js").read_text(encoding="utf-8") == "module.exports = 'packed'"
    assert b"/thing" in server.requests
    assert {(each.asked.carrier, each.asked.host, each.outcome) for each in attempts} == {("connect", HOST, "through")}


@pytest.mark.parametrize("inspect", [False, True], ids=["unread", "looked into"])
async def test_git_clones_and_fetches(
    sandbox: Bubblewrap, workspace: Path, repository: Path, tmp_path: Path, inspect: bool
) -> None:
    served = tmp_path / "served" / "repository"
    shutil.copytree(repository, served)
    async with shop(git_server(served.parent), allowed=True, inspect=inspect) as (_, fence, attempts, outside):
        done = await attempt(sandbox, workspace, fence, outside, CLONE, inspect)
        assert done.exit.code == 0, done.output
        (served / "a.txt").write_text("two\n", encoding="utf-8")
        host_git(served, "commit", "--quiet", "--all", "-m", "second")
        argv = ["git", "-C", "got", "fetch", "--quiet"]
        (workspace / "outside.pem").write_bytes(outside.pem)
        env = {} if inspect else {"GIT_SSL_CAINFO": str(workspace / "outside.pem")}
        done = await inside(sandbox, workspace, fence, argv, env=env)
        assert done.exit.code == 0, done.output
    assert host_git(workspace / "got", "show", "origin/main:a.txt") == "two\n"
    assert {(each.asked.host, each.outcome) for each in attempts} == {(HOST, "through")}


@pytest.mark.parametrize(
    "argv",
    [PIP, pytest.param(NPM, marks=pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")), CLONE],
    ids=["pip", "npm", "git"],
)
async def test_nothing_comes_from_a_host_that_is_not_allowed(
    sandbox: Bubblewrap, workspace: Path, argv: list[str]
) -> None:
    async with shop(python_index, allowed=False, inspect=False) as (server, fence, attempts, outside):
        done = await attempt(sandbox, workspace, fence, outside, argv, inspect=False)
    assert done.exit.code != 0
    assert b"403" in done.output
    assert (server.requests, server.connections) == ([], 0)
    assert set(codes(attempts)) == {"not-listed"}
    assert {each.asked.host for each in attempts} == {HOST}


async def test_without_a_fence_there_is_no_way_at_all(sandbox: Bubblewrap, workspace: Path) -> None:
    from sandbox_room import TOOLCHAIN

    from mohist.sandbox import Profile, run

    async with origin() as server:
        argv = ["curl", "-sS", "--noproxy", "*", f"http://127.0.0.1:{server.port}/"]
        done = await run(sandbox, argv, cwd=workspace, profile=Profile(workspace, extra_readable=TOOLCHAIN))
        assert done.exit.code == 7
        unconfined = await anyio.run_process(argv)
        assert unconfined.stdout.startswith(b"origin")
    assert server.connections == 1
