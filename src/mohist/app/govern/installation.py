"""Where a client is installed: which folders it needs to run, and what it is, told from files alone. Nothing is started."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from mohist.app.errors import ConfigError

_SHEBANG_BYTES: Final = 512
_MANIFEST_BYTES: Final = 1024 * 1024
_SYSTEM: Final = ("/usr", "/opt", "/bin", "/lib", "/lib64", "/nix/store", "/gnu/store")
"""What every sandbox shows."""
_LEVELS: Final = 3
"""An interpreter may be named by a script that is itself run by one; deeper is a mistake."""


@dataclass(frozen=True, slots=True)
class Installation:
    """One installed program."""

    program: Path
    """What is started: links resolved."""
    folders: tuple[Path, ...]
    """What has to be shown to it, read-only; without what every sandbox shows."""
    search: tuple[Path, ...]
    """Folders that its interpreters were found in, for its PATH; without the system's."""
    package: str
    """`npm:NAME` or `pypi:NAME`; empty: not told by its files."""
    version: str
    """As its package says; empty: not told."""
    sha256: str
    """Of the program's file."""


def locate(program: str, env: Mapping[str, str], cwd: Path) -> Installation:
    """The installation of a program, found as a shell finds it.

    Args:
        program: a name to look for in PATH, or a path.
        env: its PATH counts.
        cwd: what a relative path starts from.

    Raises:
        ConfigError: there is none, or it can't be read.
    """
    if "/" in program:
        path = cwd / program
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise ConfigError(f"{program!r} is no program.", "Name one that is there and can be executed.")
    else:
        known = shutil.which(program, path=env.get("PATH", os.defpath))
        if known is None:
            raise ConfigError(f"There is no program {program!r} in the PATH.", "Install it, or name its path.")
        path = cwd / known
    try:
        real = path.resolve(strict=True)
        folders = tuple(dict.fromkeys(folder for folder in _needed(real, env, _LEVELS) if not _is_shown(folder)))
        package, version = _identity(path, real)
        return Installation(real, folders, _search(real, env), package, version, _digest(real))
    except OSError as error:
        raise ConfigError(f"The program {str(path)!r} can't be read: {error.strerror}.") from error


def _needed(program: Path, env: Mapping[str, str], levels: int) -> Iterator[Path]:
    """The folder or file that holds a program with its libraries, and its interpreter's."""
    modules = [parent for parent in program.parents if parent.name == "node_modules"]
    venv = _venv(program.parent)
    if modules:
        yield modules[-1]
    elif venv is not None:
        yield from _python(venv)
    elif program.parent.name == "bin" and (program.parent.parent / "lib").is_dir():
        yield program.parent.parent  # an interpreter's prefix
    else:
        yield program
    interpreter = _interpreter(program, env)
    if interpreter is None or levels == 0:
        return
    inside = _venv(interpreter.parent)
    if inside is not None:
        yield from _python(inside)
    else:
        yield from _needed(interpreter.resolve(), env, levels - 1)


def _search(program: Path, env: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a script that asks for its interpreter by name has to find it."""
    interpreter = _interpreter(program, env)
    if interpreter is None or _venv(interpreter.parent) is not None or _is_shown(interpreter.resolve()):
        return ()
    return (interpreter.resolve().parent,)


def _venv(folder: Path) -> Path | None:
    return folder.parent if (folder.parent / "pyvenv.cfg").is_file() else None


def _python(venv: Path) -> Iterator[Path]:
    """A virtual environment, and what it is based on."""
    yield venv
    config = (venv / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    for line in config.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home" and value.strip():
            yield Path(value.strip()).resolve().parent


def _interpreter(program: Path, env: Mapping[str, str]) -> Path | None:
    """What the first line of a script names, links unresolved; None: it is no script."""
    with program.open("rb") as file:
        line = file.read(_SHEBANG_BYTES).partition(b"\n")[0]
    if not line.startswith(b"#!"):
        return None
    words = os.fsdecode(line[2:]).split()
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        found = shutil.which(words[0], path=env.get("PATH", os.defpath)) if words else None
        return Path(found) if found else None
    return Path(words[0]) if words and Path(words[0]).is_file() else None


def _is_shown(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _SYSTEM)


def _identity(path: Path, real: Path) -> tuple[str, str]:
    """Package and version, from npm's or Python's own records."""
    if any(parent.name == "node_modules" for parent in real.parents):
        return _npm(real)
    for venv in filter(None, (_venv(path.parent), _venv(real.parent))):
        for distribution in _installed(venv):
            if any(one.group == "console_scripts" and one.name == real.name for one in distribution.entry_points):
                return f"pypi:{distribution.name.lower().replace('_', '-')}", distribution.version
    return "", ""


def _npm(real: Path) -> tuple[str, str]:
    """Of the nearest manifest that has a name: inner ones may only say which kind of modules there are."""
    for parent in real.parents:
        manifest = parent / "package.json"
        if manifest.is_file() and manifest.stat().st_size <= _MANIFEST_BYTES:
            try:
                said = json.loads(manifest.read_text(encoding="utf-8"))
            except ValueError:
                continue
            if isinstance(said, dict) and isinstance(said.get("name"), str) and said["name"]:
                return f"npm:{said['name']}", str(said.get("version", ""))
        if parent.name == "node_modules":
            break
    return "", ""


def _installed(venv: Path) -> Iterator[Distribution]:
    folders = [str(path) for path in venv.glob("lib/python3*/site-packages")]
    yield from distributions(path=folders)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
