"""The pre-commit hook of a repository: written and taken away only when that is asked for, and only our own."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from mohist.app.errors import ConfigError
from mohist.sandbox import find_repository

_SIGN = "# Written by `mohist guard hook install`; `mohist guard hook remove` takes it away."
_HOOKS_PATH = re.compile(r"^\s*hookspath\s*=\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)
_MAX_CONFIG_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hook:
    """A repository's place for the hook."""

    path: Path

    @classmethod
    def of(cls, folder: Path) -> Hook:
        """That of the repository that `folder` lies in.

        Raises:
            ConfigError: there is no repository, or its hooks are kept elsewhere.
        """
        repository = find_repository(folder)
        if repository is None:
            raise ConfigError(f"{str(folder)!r} is not in a git repository.", "Stand in one, or name one.")
        config = repository.common_dir / "config"
        elsewhere = _HOOKS_PATH.search(_start_of(config))
        if elsewhere:
            raise ConfigError(
                f"This repository keeps its hooks elsewhere ({elsewhere[1]!r}).",
                "Add the command to the hook there: mohist guard scan --staged",
            )
        return cls(repository.common_dir / "hooks" / "pre-commit")

    @property
    def is_ours(self) -> bool:
        """Whether the hook is there and was written by `install`."""
        return _SIGN in _start_of(self.path)

    def install(self, baseline: Path | None) -> None:
        """Writes the hook.

        Args:
            baseline: what the scan leaves out; None for nothing.

        Raises:
            ConfigError: there is another hook already.
        """
        if self.path.exists() and not self.is_ours:
            raise ConfigError(
                f"There is a hook {str(self.path)!r} already.", "Add this line to it: mohist guard scan --staged"
            )
        # By path: a commit made from an editor often has another PATH.
        words = [sys.executable, "-P", "-m", "mohist", "guard", "scan", "--staged"]
        if baseline is not None:
            words += ["--baseline", str(baseline.absolute())]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"#!/bin/sh\n{_SIGN}\nexec {shlex.join(words)}\n", encoding="utf-8")
        self.path.chmod(0o755)

    def remove(self) -> None:
        """Takes the hook away.

        Raises:
            ConfigError: it is not there, or not ours.
        """
        if not self.is_ours:
            raise ConfigError(f"There is no hook of ours at {str(self.path)!r}.", "Nothing was changed.")
        self.path.unlink()


def _start_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_CONFIG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
