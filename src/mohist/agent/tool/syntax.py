"""Whether a text is well-formed in its language, and what the languages are."""

from __future__ import annotations

import importlib
import json
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath

from tree_sitter import Language, Node, Parser, Tree

_GRAMMARS = {
    ".py": ("tree_sitter_python", "language"),
    ".pyi": ("tree_sitter_python", "language"),
    ".js": ("tree_sitter_javascript", "language"),
    ".jsx": ("tree_sitter_javascript", "language"),
    ".mjs": ("tree_sitter_javascript", "language"),
    ".cjs": ("tree_sitter_javascript", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".mts": ("tree_sitter_typescript", "language_typescript"),
    ".cts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
    ".go": ("tree_sitter_go", "language"),
    ".rs": ("tree_sitter_rust", "language"),
    ".java": ("tree_sitter_java", "language"),
}
MAX_CHARS = 1_000_000
"""Longer texts (data, generated code) are not parsed."""
_MOST_FAULTS = 50


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where a text is not well-formed."""

    line: int
    """From 1; 0 when not known."""
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}" if self.line else self.what


def introduced(name: str, before: str, after: str) -> list[Fault]:
    """Faults of `after` when it has more than `before`; empty for a language that is not known."""
    now = faults(name, after)
    return now if now and len(now) > len(faults(name, before)) else []


def faults(name: str, text: str) -> list[Fault]:
    """Syntax errors, by the suffix of `name`; an empty text has none."""
    if not text.strip() or len(text) > MAX_CHARS:
        return []
    suffix = PurePath(name).suffix.lower()
    if suffix == ".json":
        return _json_faults(text)
    if suffix == ".toml":
        return _toml_faults(text)
    tree = parse(name, text)
    return _tree_faults(tree, text) if tree is not None else []


def grammar(name: str) -> str | None:
    """The name of the language of the file, e.g. `python`; None when it is not known."""
    found = _GRAMMARS.get(PurePath(name).suffix.lower())
    return None if found is None else found[0].removeprefix("tree_sitter_")


def language(name: str) -> Language | None:
    found = _GRAMMARS.get(PurePath(name).suffix.lower())
    return None if found is None else _load(*found)


def parse(name: str, text: str) -> Tree | None:
    """The tree of `text` (offsets are of its UTF-8); None when the language is not known."""
    found = language(name)
    return None if found is None else Parser(found).parse(text.encode("utf-8", "replace"))


@cache
def _load(module: str, function: str) -> Language:
    return Language(getattr(importlib.import_module(module), function)())


def _tree_faults(tree: Tree, text: str) -> list[Fault]:
    lines = text.split("\n")
    found: list[Fault] = []
    stack: list[Node] = [tree.root_node]
    while stack and len(found) < _MOST_FAULTS:
        node = stack.pop()
        if node.is_missing:
            found.append(Fault(node.start_point[0] + 1, f"{node.type!r} is missing"))
        elif node.is_error:
            row = node.start_point[0]
            found.append(Fault(row + 1, f"does not parse: {lines[row].strip()[:120]}"))
        elif node.has_error:
            stack.extend(reversed(node.children))
    return found


def _json_faults(text: str) -> list[Fault]:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return [Fault(error.lineno, error.msg)]
    except (ValueError, RecursionError) as error:
        return [Fault(0, str(error))]
    return []


def _toml_faults(text: str) -> list[Fault]:
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return [Fault(0, str(error))]
    return []
