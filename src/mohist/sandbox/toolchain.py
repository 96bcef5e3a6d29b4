"""Which tool folders a sandbox should show, since it does not show the home they often live in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# Relative to the home. Only the folders named here, never their parents: ~/.cargo holds a token, ~/.local keyrings.
_BELOW_HOME = (
    ".pyenv/versions",
    ".rustup/toolchains",
    ".nvm/versions",
    ".fnm/node-versions",
    ".volta/tools",
    ".sdkman/candidates",
    ".local/share/uv/python",
    ".local/share/mise/installs",
    ".asdf/installs",
    ".bun/bin",
    ".deno/bin",
    ".cargo/bin",
    ".local/bin",
    "go/bin",
)


def find_toolchains(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Folders for `Profile.extra_readable`, in the order of PATH: virtual environments, interpreters and version managers.

    Args:
        env: PATH and HOME are looked at, and VIRTUAL_ENV and JAVA_HOME.
    """
    home = Path(env.get("HOME") or "/nonexistent")
    known = [home / name for name in _BELOW_HOME]
    found: dict[Path, None] = {}
    for part in env.get("PATH", "").split(os.pathsep):
        folder = Path(part)
        if not folder.is_absolute() or not folder.is_dir():
            continue
        if (folder.parent / "pyvenv.cfg").is_file():
            found[folder.parent.resolve()] = None
        for base in known:
            if folder.resolve().is_relative_to(base) and base.is_dir():
                found[(folder if folder == base else folder.parent).resolve()] = None
    for name in ("VIRTUAL_ENV", "JAVA_HOME"):
        if (value := env.get(name)) and Path(value, "bin").is_dir():
            found[Path(value).resolve()] = None
    # The interpreter that runs Mohist is the one the user's PATH led to; its private environment is not the user's.
    for prefix in (*_bases(found), sys.base_prefix):
        found[Path(prefix).resolve()] = None
    return tuple(path for path in found if not path.is_relative_to("/usr"))


def _bases(folders: Mapping[Path, None]) -> list[str]:
    """Where the interpreters of virtual environments really are."""
    bases = []
    for folder in folders:
        config = folder / "pyvenv.cfg"
        if config.is_file():
            for line in config.read_text(errors="replace", encoding="utf-8").splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "home":
                    bases.append(str(Path(value.strip()).resolve().parent))
    return bases
