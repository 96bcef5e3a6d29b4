"""Packages of npm, PyPI and Homebrew, and programs on the path; nothing of it is started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from mohist.app.inventory.found import Found, Inventory, is_file, is_folder
from mohist.policy.register import Tool, known_tools, tool_named

# Below a home. Sources: npm's `prefix`, nvm, fnm, asdf, mise, volta, bun, pnpm, yarn, and the clients' own installers.
_NODE_OF_HOME: Final = (
    *(
        ".npm-global/lib/node_modules",
        ".npm-packages/lib/node_modules",
        ".local/lib/node_modules",
        "n/lib/node_modules",
    ),
    *(".nvm/versions/node/*/lib/node_modules", ".asdf/installs/nodejs/*/lib/node_modules"),
    *(
        ".local/share/fnm/node-versions/*/installation/lib/node_modules",
        ".fnm/node-versions/*/installation/lib/node_modules",
    ),
    *(".local/share/mise/installs/node/*/lib/node_modules", ".volta/tools/image/packages/*/lib/node_modules"),
    *(".volta/tools/image/packages/*/*/lib/node_modules", ".bun/install/global/node_modules"),
    *(
        ".local/share/pnpm/global/*/node_modules",
        "Library/pnpm/global/*/node_modules",
        ".config/yarn/global/node_modules",
    ),
    *(".npm/_npx/*/node_modules", ".claude/local/node_modules"),
)
_NODE: Final = ("usr/lib/node_modules", "usr/local/lib/node_modules", "opt/homebrew/lib/node_modules")
_PYTHON_OF_HOME: Final = (
    *(".local/lib/python*/site-packages", ".local/share/pipx/venvs/*/lib/python*/site-packages"),
    *(".local/pipx/venvs/*/lib/python*/site-packages", ".local/share/uv/tools/*/lib/python*/site-packages"),
    *("Library/Python/*/lib/python/site-packages", ".pyenv/versions/*/lib/python*/site-packages"),
    *("miniconda3/lib/python*/site-packages", "miniconda3/envs/*/lib/python*/site-packages"),
    *("anaconda3/lib/python*/site-packages", "anaconda3/envs/*/lib/python*/site-packages"),
    *("miniforge3/lib/python*/site-packages", "miniforge3/envs/*/lib/python*/site-packages"),
    ".aider/lib/python*/site-packages",
)
_PYTHON: Final = (
    *("usr/lib/python3/dist-packages", "usr/lib/python*/site-packages", "usr/local/lib/python*/site-packages"),
    *("usr/local/lib/python*/dist-packages", "opt/pipx/venvs/*/lib/python*/site-packages"),
    "opt/homebrew/lib/python*/site-packages",
)
_CELLARS: Final = (
    *("opt/homebrew/Cellar", "opt/homebrew/Caskroom", "usr/local/Cellar", "usr/local/Caskroom"),
    *("home/linuxbrew/.linuxbrew/Cellar", "home/linuxbrew/.linuxbrew/Caskroom"),
)
_OF_HOME_BIN: Final = (".local/bin", "bin", ".opencode/bin", ".npm-global/bin", ".bun/bin", ".cargo/bin", "go/bin")
_MAX_METADATA_BYTES: Final = 4 * 1024 * 1024
_PREFIX: Final = re.compile(r"^\s*prefix\s*=\s*[\"']?(.+?)[\"']?\s*$", re.MULTILINE)
_NPM_NAME: Final = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*", re.IGNORECASE)
_PLATFORM: Final = re.compile(r"-(?:linux|darwin|win32|android|freebsd|macos|windows)(?:-[a-z0-9_]+)*$")
_VERSION: Final = re.compile(r"v?\d[0-9A-Za-z.+_-]{0,60}")


def search(inventory: Inventory, root: Path, homes: Iterable[Path], path: str, folders: Iterable[Path] = ()) -> None:
    """Adds the packages and programs of a machine.

    Args:
        inventory: is added to.
        root: `/`, or what stands for it.
        homes: of the people looked at.
        path: folders of programs, as the variable PATH has them.
        folders: more to look in: an environment, a prefix, or a folder that holds `node_modules`.
    """
    homes = list(homes)
    bins = [Path(one) for one in path.split(os.pathsep) if one.startswith("/")]
    bins += [home / one for home in homes for one in _OF_HOME_BIN]
    prefixes = [one.parent for one in bins if one.name == "bin"] + list(folders)
    prefixes += [prefix for home in homes for prefix in _npm_prefix(inventory, home)]
    node = [one for pattern in _NODE for one in inventory.matching(root, pattern)]
    node += [one for home in homes for pattern in _NODE_OF_HOME for one in inventory.matching(home, pattern)]
    node += [one for prefix in prefixes for one in (prefix / "lib" / "node_modules", prefix / "node_modules")]
    python = [one for pattern in _PYTHON for one in inventory.matching(root, pattern)]
    python += [one for home in homes for pattern in _PYTHON_OF_HOME for one in inventory.matching(home, pattern)]
    python += [one for prefix in prefixes for one in inventory.matching(prefix, "lib/python*/site-packages")]
    for folder in _distinct(node):
        inventory.found += _npm_packages(inventory, folder)
    for folder in _distinct(python):
        inventory.found += _python_packages(inventory, folder)
    for pattern in _CELLARS:
        inventory.found += _brewed(inventory, root / pattern)
    seen = {one.place for one in inventory.found}
    for folder in _distinct([*bins, *(folder / "bin" for folder in folders)]):
        inventory.found += _programs(inventory, folder, seen)


def _distinct(folders: Iterable[Path]) -> list[Path]:
    """Those that are there, each once however it is reached."""
    return list(dict.fromkeys(Path(os.path.realpath(folder)) for folder in folders if is_folder(folder)))


def _npm_prefix(inventory: Inventory, home: Path) -> Iterator[Path]:
    # The file holds tokens as well; of it only this line is looked at.
    text = (inventory.read(home / ".npmrc", _MAX_METADATA_BYTES) or b"").decode("utf-8", "replace")
    if found := _PREFIX.search(text):
        place = found[1].replace("${HOME}", str(home)).replace("$HOME", str(home))
        yield home / place[2:] if place.startswith("~/") else Path(place)


def _npm_packages(inventory: Inventory, modules: Path) -> Iterator[Found]:
    for one in inventory.listed(modules):
        if one.name.startswith("@"):
            for inner in inventory.listed(one):
                yield from npm_package(inventory, inner)
        elif not one.name.startswith("."):
            yield from npm_package(inventory, one)


def npm_package(inventory: Inventory, folder: Path) -> Iterator[Found]:
    """The package of a folder; nothing where it is none."""
    if not is_file(folder / "package.json"):
        return
    said = inventory.json(folder / "package.json")
    name, version = (said.get("name"), said.get("version")) if isinstance(said, dict) else (None, None)
    if not isinstance(name, str) or not _NPM_NAME.fullmatch(name):
        # Named by its folder: a package whose file is broken or lies is there all the same.
        scope = f"{folder.parent.name}/" if folder.parent.name.startswith("@") else ""
        name = scope + folder.name
    # The part of a release for one platform counts `1.2.3-linux-x64`; it is that release and comes before none.
    counted = _PLATFORM.sub("", version) if isinstance(version, str) else ""
    tool = tool_named(f"npm:{name}", counted)
    yield Found(tool, "npm-package", str(folder), is_known(tool))


def is_known(tool: Tool) -> bool:
    """Whether it is one of the coding tools that have a name of their own, or belongs to one."""
    known = known_tools()
    return any(name in known for name in (*tool.names, *tool.kin))


def _python_packages(inventory: Inventory, folder: Path) -> Iterator[Found]:
    for one in inventory.listed(folder):
        if not one.name.endswith(".dist-info"):
            continue
        name, _, version = one.name.removesuffix(".dist-info").partition("-")
        tool = tool_named(f"pypi:{name}", version)
        if is_known(tool) and (told := _metadata(inventory, one / "METADATA")) is not None:
            tool = tool_named(f"pypi:{name}", told)
        yield Found(tool, "python-package", str(one), is_known(tool))


def _metadata(inventory: Inventory, path: Path) -> str | None:
    """The version as core metadata has it (https://packaging.python.org/en/latest/specifications/core-metadata/)."""
    data = inventory.read(path, _MAX_METADATA_BYTES)
    for line in (data or b"").split(b"\n\n", 1)[0].splitlines():
        if line.lower().startswith(b"version:"):
            return line[8:].strip().decode("utf-8", "replace")[:200]
    return None


def _brewed(inventory: Inventory, cellar: Path) -> Iterator[Found]:
    for formula in inventory.listed(cellar):
        for version in inventory.listed(formula):
            if not version.name.startswith("."):
                yield _of_brew(formula.name, version)


def _of_brew(name: str, folder: Path) -> Found:
    version = folder.name.partition("_")[0]
    known = known_tools().get(name) or next((one for one in known_tools().values() if name in one.programs), None)
    ids = (known.tool_id, *known.packages) if known is not None else ()
    return Found(Tool((f"brew:{name}", *ids), version), "brew", str(folder), known is not None)


def _programs(inventory: Inventory, folder: Path, seen: set[str]) -> Iterator[Found]:
    """Known programs of a folder that belong to no package that was found."""
    for tool in known_tools().values():
        for name in (*tool.programs, *tool.shared):
            place = folder / name
            if not os.access(place, os.X_OK) or is_folder(place):
                continue
            real = Path(os.path.realpath(place))
            packaged = list(_packages_of(inventory, real))
            for one in packaged:
                if one.place not in seen:
                    seen.add(one.place)
                    yield one
            if (
                packaged
                or _in_environment(inventory, place, tool.packages)
                or "Cellar" in real.parts
                or str(real) in seen
            ):
                continue
            seen.add(str(real))
            names = (f"program:{name}",) if name in tool.shared else (f"program:{name}", tool.tool_id, *tool.packages)
            yield Found(Tool(names, _version_in(real)), "program", str(place), name not in tool.shared)


def _packages_of(inventory: Inventory, real: Path) -> Iterator[Found]:
    """The npm package that a program belongs to."""
    parts = real.parts
    if "node_modules" not in parts:
        return
    # The outermost: what was installed, not what it depends on.
    at = parts.index("node_modules")
    depth = at + (3 if at + 1 < len(parts) and parts[at + 1].startswith("@") else 2)
    if depth <= len(parts):
        yield from npm_package(inventory, Path(*parts[:depth]))


def _in_environment(inventory: Inventory, program: Path, packages: tuple[str, ...]) -> bool:
    """Whether it is the script of a Python package beside it, which is found by itself."""
    prefix = Path(os.path.realpath(program)).parent.parent
    named = {name.removeprefix("pypi:").replace("-", "_") for name in packages if name.startswith("pypi:")}
    return any(
        one.name.partition("-")[0].lower() in named
        for folder in inventory.matching(prefix, "lib/python*/site-packages")
        for one in inventory.listed(folder)
        if one.name.endswith(".dist-info")
    )


def _version_in(real: Path) -> str:
    """A version that a folder or the file is named by: `…/versions/2.1.330`; empty: none is."""
    for name in (real.name, *(one.name for one in list(real.parents)[:3])):
        if _VERSION.fullmatch(name) and "." in name:
            return name.removeprefix("v")
    return ""
