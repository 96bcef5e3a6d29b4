"""Started as root, the suite runs itself again as a user without any rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_NOBODY = 65534
# Runs as root in a mount namespace of its own: folders that nobody may not enter (a 0700 home) are covered, and what
# the suite needs below them is attached at its own path again.
_DRIVER = """
import os, sys
from pathlib import Path
from mohist.sandbox import kernel
needed = [Path(p).resolve() for p in (sys.prefix, sys.base_prefix, sys.argv[1])]
closed = {next((a for a in reversed(p.parents) if not a.stat().st_mode & 0o001), None) for p in needed} - {None}
kernel.enter_private_mounts()
clones = [(p, kernel.clone_mount(p)) for p in needed if any(p.is_relative_to(a) for a in closed)]
for folder in closed:
    kernel.mount_tmpfs(folder, "mode=0755")
for path, clone in sorted(clones):
    path.mkdir(parents=True, exist_ok=True)
    kernel.attach_mount(clone, path)
os.chdir(sys.argv[1])
os.setgroups([])
os.setresgid(NOBODY, NOBODY, NOBODY)
os.setresuid(NOBODY, NOBODY, NOBODY)
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[2:]])
""".replace("NOBODY", str(_NOBODY))


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="mohist-user-"))
    os.chown(made, _NOBODY, _NOBODY)
    yield made
    shutil.rmtree(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="this is the ordinary user's run")
def test_everything_holds_for_an_ordinary_user_too(folder: Path) -> None:
    here = Path(__file__).parent
    names = ["test_escape.py", "test_lifetime.py", "test_mask.py", "test_selftest.py"]
    # Where a start as root goes the same way afterwards, once is enough.
    chosen = (
        "fails_inside or belong or starter or deaf or limit_holds or planted or litter or leaks or promise or at_once"
    )
    suite = [str(here / name) for name in names]
    argv = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", str(folder / "tmp"), "-k", chosen, *suite]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(here.parents[1]), *argv],
        env=environment, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
