"""Installs the coding clients and starts the tests that run them inside the fence; see scripts/test-govern."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

ROOT = Path(__file__).resolve().parents[2]
CLIENT_TESTS = ROOT / "tests" / "client"
TESTS_TIMEOUT_S = 900.0


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="scripts/test-govern", description=__doc__)
    parser.add_argument("--prefix", type=Path, metavar="DIR", help="install there, and keep it")
    asked, pytest_args = parser.parse_known_args(argv)
    if reason := anyio.run(unable):
        say(f"skipped: {reason}")
        return 0
    sys.path.insert(0, str(CLIENT_TESTS))
    from stage import InstallError, install_all

    with tempfile.TemporaryDirectory(prefix="clients-", ignore_cleanup_errors=True) as temp:
        prefix = Path(temp) if asked.prefix is None else asked.prefix.resolve()
        prefix.mkdir(parents=True, exist_ok=True)
        try:
            install_all(prefix)
        except InstallError as error:
            say(f"failed: {error}")
            return 1
        return test(prefix, pytest_args)


async def unable() -> str:
    """Why nothing can be tried here; empty: it can."""
    from mohist.sandbox import Bubblewrap

    if not shutil.which("npm"):
        return "npm is missing"
    sandbox = Bubblewrap()
    try:
        failed = [one for one in await sandbox.report() if one.holds == "no"]
    finally:
        sandbox.close()
    return f"the sandbox does not hold here: {failed[0].detail}" if failed else ""


def test(prefix: Path, pytest_args: Sequence[str]) -> int:
    """pytest's exit code."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "client", "--timeout=300", "--durations=5", "tests/govern"]
    environment = os.environ | {"MOHIST_CLIENT_PREFIX": str(prefix), "PYTHONPATH": str(CLIENT_TESTS)}
    try:
        return subprocess.run(
            [*pytest, *pytest_args], cwd=ROOT, env=environment, timeout=TESTS_TIMEOUT_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        say(f"failed: the tests did not end within {TESTS_TIMEOUT_S:.0f} s")
        return 1


def say(text: str) -> None:
    print(f"scripts/test-govern: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
