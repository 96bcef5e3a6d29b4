"""Where state lives: one value, built once from the environment by the composition root."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StatePaths:
    """Folders of this installation; none is created here."""

    home: Path
    """`$MOHIST_HOME`, or the platform's state folder."""

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def user_config(self) -> Path:
        return self.home / "mohist.toml"

    @classmethod
    def from_env(cls, env: Mapping[str, str], platform: str = sys.platform) -> StatePaths:
        """`MOHIST_HOME`, else XDG_STATE_HOME/mohist, else the platform's usual folder under HOME."""
        if env.get("MOHIST_HOME"):
            return cls(Path(env["MOHIST_HOME"]).absolute())
        user_home = Path(env.get("HOME") or Path.home())
        if platform == "darwin":
            return cls(user_home / "Library" / "Application Support" / "mohist")
        state = env.get("XDG_STATE_HOME")
        return cls((Path(state) if state else user_home / ".local" / "state") / "mohist")
