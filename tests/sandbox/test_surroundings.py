"""Other networks, other file systems, other hosts: it works there, or it says clearly why not."""

# ruff: noqa: ASYNC221, ASYNC240 - tests look at the disk and start plain processes between awaits

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_room import PYTHON, TOOLCHAIN

import mohist
from mohist.sandbox import Bubblewrap, Profile, RefusedError, run
from mohist.sandbox.binary import find_bubblewrap
from mohist.sandbox.stage import _make_user_namespace

_CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print('reached')"


@pytest.mark.enable_socket
@pytest.mark.parametrize(("network", "reached"), [("full", True), ("none", False)])
async def test_the_network_is_there_only_when_asked_for(
    sandbox: Bubblewrap, workspace: Path, network: str, reached: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        profile = Profile(workspace, extra_readable=TOOLCHAIN, network=network)
        argv = [PYTHON, "-I", "-S", "-c", _CONNECT, str(service.getsockname()[1])]
        done = await run(sandbox, argv, cwd=workspace, profile=profile)
    assert (b"reached" in done.output) == reached, done.output


async def test_inside_a_sandbox_there_is_no_second_one_and_nothing_runs_unconfined(
    sandbox: Bubblewrap, workspace: Path
) -> None:
    code = """
import anyio, sys
from pathlib import Path
from mohist.sandbox import Bubblewrap, NoSandboxError, Profile, run
async def main():
    folder = Path.cwd() / "inner"
    folder.mkdir()
    try:
        await run(Bubblewrap(), ["touch", "ran"], cwd=folder, profile=Profile(folder))
    except NoSandboxError as error:
        print("refused:", error)
    print("ran" if (folder / "ran").exists() else "not run")
anyio.run(main)
"""
    shown = (*TOOLCHAIN, Path(sys.prefix).resolve(), Path(mohist.__file__).resolve().parents[1])
    done = await run(
        sandbox, [str(Path(sys.prefix, "bin", "python")), "-c", code], cwd=workspace,
        profile=Profile(workspace, extra_readable=shown),
    )  # fmt: skip
    text = done.output.decode()
    assert "refused:" in text, text
    assert "namespaces" in text
    assert "not run" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts, and only root needs owners shifted")
async def test_a_file_system_that_can_not_shift_owners_is_a_clear_error(sandbox: Bubblewrap, tmp_path: Path) -> None:
    folder = tmp_path / "ramfs"
    folder.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "none", folder], check=True)
    try:
        with pytest.raises(RefusedError, match="can't be shifted"):
            await run(sandbox, ["true"], cwd=folder, profile=Profile(folder))
        shown = await run(sandbox, ["ls", "."], cwd=folder, profile=Profile(folder, writable=False))
        assert (shown.exit.code, shown.output) == (0, b"")
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root shifts owners")
def test_nothing_stays_behind_in_a_namespace_that_shifts_owners() -> None:
    fd = _make_user_namespace(find_bubblewrap().path, "0 4321 1\n", "0 4321 1\n")
    try:
        wanted = os.fstat(fd).st_ino
        inside = []
        for folder in Path("/proc").glob("[0-9]*/ns/user"):
            with contextlib.suppress(OSError):
                zombie = "State:\tZ" in (folder.parents[1] / "status").read_text(encoding="utf-8")
                if folder.stat().st_ino == wanted and not zombie:
                    inside.append(folder)
        assert inside == []
    finally:
        os.close(fd)
