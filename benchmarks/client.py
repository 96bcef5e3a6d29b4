"""The two clients: how each is started, and how it says the same steps in its own tools."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from upstream import Answer

MINI_PACKAGES = ("mini-swe-agent==2.4.6", "mcp")
"""litellm imports mcp without asking for it."""

MOHIST_TURNS = 100
"""More must be asked for."""

TASK = "Look around in this repository and say what you found."


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the scripted model does, in nobody's words."""

    kind: Literal["nothing", "read", "edit", "search", "end"]
    path: str = ""
    number: int = 0
    """Makes each call another one, so that no client takes them for a circle; of `edit`, the line."""
    text: str = ""


class Client(Protocol):
    """What is measured."""

    name: str
    roots: tuple[Path, ...]
    """Where its program files lie, for a cold start."""

    def command(self, url: str, turns: int) -> list[str]: ...

    def environment(self, url: str, home: Path) -> dict[str, str]: ...

    def answer(self, step: Step) -> Answer: ...


class Mohist:
    """This project, from the environment that runs the benchmark."""

    name = "mohist"

    def __init__(self) -> None:
        import mohist

        self.roots = (Path(mohist.__file__).parent, *_libraries(Path(sys.prefix)))

    def command(self, url: str, turns: int) -> list[str]:
        options = ["--headless", "--quiet", "--output", "json"]
        if turns > MOHIST_TURNS:
            options += ["--max-turns", str(turns)]
        return [sys.executable, "-m", "mohist", "run", *options, "--model", f"{url}#scripted", TASK]

    def environment(self, url: str, home: Path) -> dict[str, str]:  # noqa: ARG002
        return _environment(home) | {"MOHIST_HOME": str(home / "state")}

    def answer(self, step: Step) -> Answer:
        match step.kind:
            case "nothing":
                return Answer("Once more.", "shell", {"command": f"true {step.number}"})
            case "read":
                return Answer("Once more.", "read", {"path": step.path})
            case "edit":
                edit = {"old": line(step.number), "new": line(step.number, "changed")}
                return Answer("Once more.", "edit", {"path": step.path, "edits": [edit]})
            case "search":
                return Answer("Once more.", "search", {"pattern": step.text})
            case "end":
                return Answer("There is nothing else to say.")


class Mini:
    """mini-swe-agent, from an environment of its own."""

    name = "mini-swe-agent"

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.roots = _libraries(prefix)

    @classmethod
    def install(cls, prefix: Path) -> Mini:
        """Makes the environment in `prefix` with the ordinary pip; takes a minute."""
        venv.create(prefix, with_pip=True)
        program = str(prefix / "bin" / "python")
        subprocess.run([program, "-m", "pip", "install", "--quiet", *MINI_PACKAGES], check=True)
        return cls(prefix)

    def command(self, url: str, turns: int) -> list[str]:  # noqa: ARG002
        return [
            *(str(self.prefix / "bin" / "mini"), "--model", "openai/scripted", "--yolo", "--exit-immediately"),
            *("--task", TASK),
        ]

    def environment(self, url: str, home: Path) -> dict[str, str]:
        # Its quiet settings: without them it looks up prices in the network and asks for a first-time set-up.
        return _environment(home) | {
            "OPENAI_API_BASE": url,
            "OPENAI_API_KEY": secrets.token_hex(16),
            "MSWEA_CONFIGURED": "true",
            "MSWEA_COST_TRACKING": "ignore_errors",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    def answer(self, step: Step) -> Answer:
        match step.kind:
            case "nothing":
                command = f"true {step.number}"
            case "read":
                command = f"cat {step.path}"
            case "edit":
                command = f"sed -i 's/^{re.escape(line(step.number))}$/{line(step.number, 'changed')}/' {step.path}"
            case "search":
                command = f"rg --line-number -e {shlex.quote(step.text)}"
            case "end":
                command = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
        return Answer("Once more.", "bash", {"command": command})


def line(number: int, value: str = "kept") -> str:
    """A line of the files that are edited."""
    return f'value_{number:06d} = "{value}"'


def _environment(home: Path) -> dict[str, str]:
    scripts = Path(sys.executable).parent
    return {"HOME": str(home), "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "TZ": "UTC"}


def _libraries(prefix: Path) -> tuple[Path, ...]:
    return tuple(prefix.glob("lib/python3*/site-packages")) + tuple(Path(sys.base_prefix).glob("lib/python3*"))


def without(environment: Mapping[str, str], cache: Path) -> dict[str, str]:
    """The same environment where Python finds no compiled file, and writes them to `cache`."""
    return dict(environment) | {"PYTHONPYCACHEPREFIX": str(cache)}
