"""What somebody wants vetted, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mohist.vet import Step

RUN_STEPS: tuple[Step, ...] = ("acquire", "static", "behave", "differ", "repository")
"""What is done unless steps are named; `compare` needs an earlier dossier."""
RUN_LIMIT_S = 120.0
CHANCE = 0.001
MODEL, KEY = "vet-model", "vet-key-opens-nothing-0000000000000000"
"""What every run is given; the key opens nothing, and is the same everywhere so that it does not vary."""


@dataclass(frozen=True, slots=True)
class Order:
    """One vetting."""

    subject: str
    out: Path
    cwd: Path
    steps: tuple[Step, ...] = RUN_STEPS
    command: tuple[str, ...] = ()
    """What starts the subject; with `@PROMPT@` it does a task by itself. Empty: as the subject says."""
    dialect: str = ""
    """Of a program that is not known."""
    interactive: tuple[str, ...] | None = None
    """What a person types; None: the program's name where it is known."""
    hosts: tuple[str, ...] = ()
    """More names for the base URL."""
    zones: tuple[str, ...] = ()
    """More time zones."""
    run_limit_s: float = RUN_LIMIT_S
    seed: int = 1
    chance: float = CHANCE
    """Of saying that requests depend on something when they don't; a smaller one takes more runs."""
    against: Path | None = None
    """Dossier of an earlier version."""
    notes: Path | None = None
    """Its release notes."""
