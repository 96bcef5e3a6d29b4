"""The project's own files, parsed once, for the tests in this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "mohist"


@cache
def python_files(folder: Path) -> tuple[Path, ...]:
    """All modules below `folder`; within the package only what can be imported, not a sample that lies there as data."""
    return tuple(sorted(path for path in folder.rglob("*.py") if not path.is_relative_to(PACKAGE) or _is_module(path)))


def _is_module(path: Path) -> bool:
    between = [parent for parent in path.parents if parent.is_relative_to(PACKAGE)]
    return all((parent / "__init__.py").exists() for parent in between)


def module_name(path: Path) -> str:
    """`src/mohist/base/clock.py` is `mohist.base.clock`; a package goes by its own name."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def packages() -> tuple[str, ...]:
    """Packages right below mohist, such as `base`."""
    return tuple(sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imported(path: Path) -> dict[str, str]:
    """Local name -> dotted origin, for every import in the file: `{"aio": "asyncio", "run": "subprocess.run"}`."""
    names: dict[str, str] = {}
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(path: Path, node: ast.expr) -> str:
    """Full name of `node` as the file's imports resolve it: `os.path.join`; empty when it is no plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    parts.append(imported(path).get(node.id, node.id))
    return ".".join(reversed(parts))


def uses(path: Path) -> Iterator[tuple[int, str]]:
    """(line, full name) of everything the file imports or reaches by a dotted name."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute) and (name := dotted(path, node)):
            yield node.lineno, name


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Each call with the full name of what it calls; a method on a value goes by `.name`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            name = dotted(path, node.func)
            if not name and isinstance(node.func, ast.Attribute):
                name = f".{node.func.attr}"
            yield node, name


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"
