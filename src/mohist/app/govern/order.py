"""What a command line asks of a governed run, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mohist.app.govern.client import Client
from mohist.app.govern.installation import Installation
from mohist.base import ExitCode


@dataclass(frozen=True, slots=True)
class Order:
    """One governed run."""

    command: tuple[str, ...]
    """The client's program and its arguments."""
    cwd: Path
    home: str = "fresh"
    model: str | None = None
    allow: tuple[str, ...] = ()
    """`HOST`, `*.HOST`, `HOST:PORT`."""
    allow_private: tuple[str, ...] = ()
    """The same, which may lie at private addresses."""
    dialect: str | None = None
    """For a program that is not known."""
    server: str | None = None
    """A gateway that serves already; None: as the configuration says."""
    trust_settings: bool = False
    """The repository's settings for the client hold from now on, as they are."""
    terminal: bool = False
    """stdin and stdout are a person's terminal."""
    streams: tuple[int, int, int] = (0, 1, 2)
    """Descriptors of the client's stdin (-1: it has none), stdout and stderr."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the person's terminal, such as TERM."""


@dataclass(frozen=True, slots=True)
class Use:
    """What the register is asked about."""

    client: Client
    installation: Installation
    called: str
    """The program's name as it was typed, without a folder."""
    model: str
    root: Path
    """Of the project."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the register says of a client."""

    verdict: Literal["allowed", "warned", "refused"]
    text: str = ""
    """For the person: why, from when on, what to use instead and how to begin."""
    entry: str = ""
    """Of the register; empty: none speaks of it."""


Judge = Callable[[Use], Standing]
"""Asked before a client starts."""


@dataclass(frozen=True, slots=True)
class Governed:
    """How it went."""

    exit_code: ExitCode
    client_code: int
    """The client's own; 128 + N when signal N ended it."""
    report: Mapping[str, Any]
    table: tuple[str, ...]
    """The same for people, by lines."""
