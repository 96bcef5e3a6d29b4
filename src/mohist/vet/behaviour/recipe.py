"""How a subject is run: its words, variables and files, with marks where a run's own values go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mohist.vet.behaviour.script import Dialect

URL, PROMPT = "@URL@", "@PROMPT@"
"""Stand in words, variables and files for the base URL without a path, and for the task."""
TASK = "Read the file README.md and say in one sentence what this project is."


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to let a subject do a small task."""

    name: str
    dialect: Dialect
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Path below HOME -> text."""
    readable: tuple[Path, ...] = ()
    """Where it is installed."""
    task: str = TASK

    def words(self, base_url: str) -> list[str]:
        """The command."""
        return [self._filled(word, base_url) for word in self.argv]

    def variables(self, base_url: str) -> dict[str, str]:
        """Its environment."""
        return {name: self._filled(value, base_url) for name, value in self.env.items()}

    def texts(self, base_url: str) -> dict[str, str]:
        """Its files below HOME."""
        return {self._filled(name, base_url): self._filled(text, base_url) for name, text in self.files.items()}

    def _filled(self, text: str, base_url: str) -> str:
        return text.replace(URL, base_url).replace(PROMPT, self.task)
