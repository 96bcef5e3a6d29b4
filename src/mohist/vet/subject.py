"""What is vetted: a package of a registry, a folder, a program, an editor's extension, a server's command, a skill."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mohist.vet.errors import SubjectError

Kind = Literal["npm", "pypi", "folder", "executable", "extension", "server", "skill"]

FORMS = "Name npm:NAME@VERSION, pypi:NAME==VERSION, a folder, a program, a .vsix, or 'mcp:COMMAND …'."
_NPM_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*", re.IGNORECASE)
_PYPI_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
_NPM_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_PYPI_VERSION = re.compile(r"v?(?:\d+!)?\d+(?:\.\d+)*(?:[-_.]?(?:a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?(?:-\d+|[-_.]?(?:post|rev|r)[-_.]?\d*)?(?:[-_.]?dev[-_.]?\d*)?(?:\+[a-z0-9.]+)?", re.IGNORECASE)  # fmt: skip
_LAUNCHERS: dict[str, Literal["npm", "pypi"]] = {"npx": "npm", "bunx": "npm", "pnpx": "npm", "uvx": "pypi"}
_TWO_WORDS: dict[tuple[str, str], Literal["npm", "pypi"]] = {("npm", "exec"): "npm", ("npm", "x"): "npm", ("pnpm", "dlx"): "npm", ("yarn", "dlx"): "npm", ("bun", "x"): "npm", ("pipx", "run"): "pypi"}  # fmt: skip
_OF_PACKAGE = ("--package", "-p", "--from", "--spec")
"""Options of launchers whose value is the package."""
SKILL_FILE = "SKILL.md"
_ROOT_FILES = ("package.json", "pyproject.toml")
_ROOT_LEVELS = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to be vetted."""

    kind: Kind
    text: str
    """As it goes into evidence: "npm:some-client@1.2.3"."""
    name: str = ""
    version: str = ""
    """Of a package, as it was given; exact where `exact`."""
    path: Path | None = None
    argv: tuple[str, ...] = ()
    """A server's command."""
    package: Subject | None = None
    """What a server's command would fetch and run."""

    @property
    def exact(self) -> bool:
        """Whether a package's version is one version."""
        pattern = _NPM_VERSION if self.kind == "npm" else _PYPI_VERSION
        return pattern.fullmatch(self.version) is not None


def parse(text: str, *, cwd: Path, arguments: Sequence[str] = (), search_path: str | None = None) -> Subject:
    """Reads what somebody typed.

    Args:
        text: one of `FORMS`.
        cwd: what paths are relative to.
        arguments: of a server's command, where they came as words of their own.
        search_path: PATH, to find a server's program.

    Raises:
        SubjectError: it is none of the forms, or there is no such file.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "npm":
        return _npm(rest)
    if colon and scheme == "pypi":
        return _pypi(rest)
    if colon and scheme == "mcp":
        return _server(rest, arguments, cwd, search_path)
    path = (cwd / Path(text).expanduser()).resolve()
    if path.is_dir():
        return Subject("skill" if (path / SKILL_FILE).is_file() else "folder", str(path), path.name, path=path)
    if path.is_file():
        return Subject("extension" if path.suffix.lower() == ".vsix" else "executable", str(path), path.name, path=path)
    raise SubjectError(f"{text!r} is no subject: there is no such file or folder.", FORMS)


def _npm(text: str) -> Subject:
    at = text.rfind("@")
    name, version = (text[:at], text[at + 1 :]) if at > 0 else (text, "")
    if _NPM_NAME.fullmatch(name) is None:
        raise SubjectError(f"{name!r} is no name of an npm package.", FORMS)
    return Subject("npm", f"npm:{name}@{version}" if version else f"npm:{name}", name, version)


def _pypi(text: str) -> Subject:
    name, _, version = text.replace("===", "@").replace("==", "@").partition("@")
    name, version = name.strip(), version.strip()
    if _PYPI_NAME.fullmatch(name.partition("[")[0]) is None:
        raise SubjectError(f"{name!r} is no name of a Python package.", FORMS)
    name = name.partition("[")[0]
    return Subject("pypi", f"pypi:{name}=={version}" if version else f"pypi:{name}", name, version)


def _server(text: str, arguments: Sequence[str], cwd: Path, search_path: str | None) -> Subject:
    try:
        argv = (*shlex.split(text), *arguments)
    except ValueError:
        raise SubjectError(f"{text!r} is no command: a quotation mark is not closed.", FORMS) from None
    if not argv:
        raise SubjectError("A server needs a command: mcp:COMMAND.", FORMS)
    named = f"mcp:{shlex.join(argv)}"
    package = _package(argv)
    if package is not None:
        return Subject("server", named, package.name, package.version, argv=argv, package=package)
    program = shutil.which(argv[0], path=search_path) or str(cwd / argv[0])
    files = [path for word in (argv[0], *argv[1:]) if (path := (cwd / word)).is_file()]
    script = next((path for path in files[::-1] if path.suffix in (".js", ".mjs", ".cjs", ".py", ".ts", ".sh")), None)
    path = script or Path(program)
    if not path.is_file():
        raise SubjectError(f"The server's program {argv[0]!r} was not found.", "Name it by its path.")
    path = path.resolve()
    # A script is a part of its package: what it loads lies beside it.
    root = next(
        (folder for folder in path.parents[:_ROOT_LEVELS] if any((folder / name).is_file() for name in _ROOT_FILES)),
        path,
    )
    return Subject("server", named, path.name, path=root, argv=argv)


def _package(argv: Sequence[str]) -> Subject | None:
    """The package that a launcher's command fetches; None: it is no launcher's."""
    words = list(argv)
    program = Path(words[0]).name
    registry = _LAUNCHERS.get(program)
    rest = words[1:]
    if registry is None and len(words) > 1:
        registry = _TWO_WORDS.get((program, words[1]))
        rest = words[2:]
        if registry is None and words[:3] == ["uv", "tool", "run"]:
            registry, rest = "pypi", words[3:]
    if registry is None:
        return None
    read = _npm if registry == "npm" else _pypi
    skip = False
    for at, word in enumerate(rest):
        if skip:
            skip = False
        elif word in _OF_PACKAGE and at + 1 < len(rest):
            return read(rest[at + 1])
        elif word.partition("=")[0] in _OF_PACKAGE and "=" in word:
            return read(word.partition("=")[2])
        elif word in ("--python", "--with", "--index-url", "--registry"):
            skip = True
        elif not word.startswith("-"):
            return read(word)
    return None
