"""What the sandbox's tests share: the interpreter that probes run on, and plain git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PREFIX = Path(sys.base_prefix).resolve()
TOOLCHAIN = () if _PREFIX.is_relative_to("/usr") else (_PREFIX,)
"""What a sandbox must show besides the system for `PYTHON` to run in it."""
PYTHON = str(Path(sys.executable).resolve())
NOBODY = 65534
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
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
""".replace("NOBODY", str(NOBODY))


def host_git(folder: Path, *args: str) -> str:
    """Plain git, as a user would run it."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip
    done = subprocess.run(["git", *args], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_as_nobody(folder: Path, project: Path, pytest_arguments: list[str]) -> None:
    """Runs pytest as a user without any rights; `folder` is that user's, `project` is shown."""
    done = as_nobody(folder, project, ["-m", "pytest", *pytest_arguments])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def as_nobody(
    folder: Path, project: Path, arguments: list[str], timeout_s: float = 110
) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter as a user without any rights."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", _DRIVER, str(project), *arguments],
        env=environment, capture_output=True, text=True, timeout=timeout_s,
    )  # fmt: skip
