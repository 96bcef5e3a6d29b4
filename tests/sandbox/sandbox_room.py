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
