"""Installs programs of others that read our bundles, and lets them: the first half of scripts/test-ledger."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "ledger" / "outsider"
GO_SOURCES = Path("/usr/share/gocode")
"""Where Debian's golang-golang-x-mod-dev puts them."""
INSTALL_TIMEOUT_S = 300.0


def main() -> int:
    """pytest's exit code."""
    parser = argparse.ArgumentParser(prog="scripts/test-ledger", description=__doc__)
    parser.add_argument("--prefix", type=Path, metavar="DIR", help="install there, and keep it")
    asked, pytest_args = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="outsiders-", ignore_cleanup_errors=True) as temp:
        prefix = Path(temp) if asked.prefix is None else asked.prefix.resolve()
        prefix.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        for name, made in (
            ("MOHIST_TEST_OUTSIDERS", python_programs(prefix)),
            ("MOHIST_TEST_GO_AUDIT", go_audit(prefix)),
        ):
            if made is not None:
                environment[name] = str(made)
        command = [sys.executable, "-m", "pytest", "-q", "-m", "outsider", "tests/ledger", *pytest_args]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def say(text: str) -> None:
    print(f"scripts/test-ledger: {text}", file=sys.stderr, flush=True)


def python_programs(prefix: Path) -> Path | None:
    """The folder of the programs; None: not to be had here."""
    programs = prefix / "python" / "bin"
    if (prefix / "installed").exists():
        return programs
    python = next((one for one in pythons() if runs(one)), None)
    if python is None:
        say("skipped: aics-witness, aics-tlog and scitt-cose, which want Python 3.12 or later, and there is none")
        return None
    shutil.rmtree(prefix / "python", ignore_errors=True)
    wanted = str(FOLDER / "requirements.txt")
    for command in (
        [python, "-m", "venv", str(prefix / "python")],
        [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted],
    ):
        if not done(command, f"{Path(command[0]).name} {command[2]}"):
            return None
    (prefix / "installed").touch()
    return programs


def pythons() -> Iterator[str]:
    """Names and paths of Pythons that may be new enough."""
    yield sys.executable
    yield from ("python3.12", "python3.13", "python3.14", "python3")
    if shutil.which("uv"):
        found = subprocess.run(
            ["uv", "python", "find", "--no-python-downloads", ">=3.12,<3.15"],
            capture_output=True,
            text=True,
            check=False,
        )
        yield found.stdout.strip()
    # A version manager's own name for one that it has and does not show.
    if shutil.which("pyenv"):
        found = subprocess.run(["pyenv", "prefix", "3.12"], capture_output=True, text=True, check=False)
        yield f"{found.stdout.strip()}/bin/python" if found.stdout.strip() else ""


def runs(python: str) -> bool:
    """Whether it is there, new enough, and can make environments."""
    asked = "import sys, venv, ensurepip; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 14))"
    try:
        return (
            bool(python)
            and not subprocess.run([python, "-I", "-c", asked], capture_output=True, timeout=30, check=False).returncode
        )
    except OSError:
        return False


def go_audit(prefix: Path) -> Path | None:
    """The auditor in Go, built; None: not to be had here."""
    source = GO_SOURCES / "src/golang.org/x/mod/sumdb/tlog"
    packages = ["golang-go", "golang-golang-x-mod-dev"]
    if (not shutil.which("go") or not source.exists()) and shutil.which("apt-get") and os.geteuid() == 0:
        done(["apt-get", "update", "-qq"], "apt-get update")
        done(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], "apt-get install")
    if not shutil.which("go") or not source.exists():
        say(f"skipped: the auditor in Go, which wants Debian's {' and '.join(packages)}")
        return None
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": str(GO_SOURCES),
        "GOFLAGS": "",
        "GOCACHE": str(prefix / "go-cache"),
    }
    command = ["go", "build", "-o", str(prefix / "audit"), str(FOLDER / "audit.go")]
    return prefix / "audit" if done(command, "go build", environment) else None


def done(command: list[str], what: str, environment: dict[str, str] | None = None) -> bool:
    """Whether it succeeded; says what it said where it did not."""
    try:
        ran = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"skipped: {what}: {error}")
        return False
    if ran.returncode:
        said = (ran.stdout + ran.stderr).decode("utf-8", "replace").strip()
        say(f"skipped: {what} ended with {ran.returncode}: {said[-1000:]}")
    return ran.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
