"""From the path a model wrote to a place that tools may touch.

Inside the workspace only, and the spill store for reading. The check here is on names; `disk` opens
without following symlinks, so a swap between the two is refused there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mohist.agent.tool.errors import PathError
from mohist.agent.tool.spec import ToolContext
from mohist.agent.tool.spill import PREFIX

GUARDED = frozenset(
    {
        ".git",
        ".mohist",
        "mohist.toml",
        ".mcp.json",
        ".claude",
        ".codex",
        ".cursor",
        ".gemini",
        ".qoder",
        ".qwen",
        ".trae",
        ".vscode",
    }
)
"""Names whose content other programs run or obey: a tool that writes there would get out of its confinement.

Compared without case, as macOS does: `.GIT` is `.git` there (CVE-2014-9390).
"""
_TITLE_CHARS = 160
GUARDED_BELOW_ROOT = ((".github", "workflows"),)
"""Runs with the repository's secrets once it is pushed."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder below a root; whether it exists is not said."""

    root: Path
    """Resolved: the workspace, or the folder of the spill store."""
    path: Path
    """Absolute and resolved."""
    name: str
    """How the model is told of it: relative to the workspace, with `/`; or `spill:NAME`."""

    @property
    def parts(self) -> tuple[str, ...]:
        return self.path.relative_to(self.root).parts


def find(ctx: ToolContext, text: str) -> Place:
    """The place `text` names, for reading. Raises PathError for one outside of the workspace."""
    if "\0" in text or not text.strip():
        raise PathError(f"{text!r} is not a path.")
    spill_root = Path(os.path.realpath(ctx.spill.folder))
    if text.startswith(PREFIX):
        spilled = ctx.spill.path(text)
        if spilled is None:
            raise PathError(f"There is no output {text!r}.", "Name it as the result that mentioned it did.")
        return Place(spill_root, spill_root / spilled.name, text)
    named = Path(os.path.normpath(ctx.cwd / text))
    path = Path(os.path.realpath(ctx.cwd / text))
    if path.is_relative_to(ctx.workspace):
        return Place(ctx.workspace, path, shown(path.relative_to(ctx.workspace).as_posix()))
    if path.is_relative_to(spill_root) and (spilled := ctx.spill.path(path.name)) is not None:
        return Place(spill_root, path, PREFIX + spilled.name)
    if named.is_relative_to(ctx.workspace):
        raise PathError(f"{text!r} is a symlink that leads out of the workspace.", "Tools don't follow it.")
    raise PathError(f"{text!r} is outside of the workspace.", "Tools see the workspace only; use a path inside it.")


def find_writable(ctx: ToolContext, text: str) -> Place:
    """The place `text` names, for writing. Raises PathError also for what only a person may change."""
    place = find(ctx, text)
    if place.root != ctx.workspace:
        raise PathError(f"{place.name!r} is a kept output and can't be changed.")
    if place.path == ctx.workspace:
        raise PathError(f"{text!r} is the workspace itself, not a file.")
    # The name as given counts too: a symlink `.git` -> `other` must not open a way to plant one.
    given = Path(os.path.normpath(ctx.cwd / text))
    for path in (place.path, given):
        parts = path.relative_to(ctx.workspace).parts if path.is_relative_to(ctx.workspace) else ()
        folded = tuple(part.casefold() for part in parts)
        guarded = next((part for part in folded if part in GUARDED), None)
        for below in GUARDED_BELOW_ROOT:
            if folded[: len(below)] == below:
                guarded = "/".join(below)
        if guarded:
            raise PathError(
                f"{place.name!r} lies in {guarded!r}, which tools never change.", "Ask the person to do it."
            )
    return place


def shown(name: str) -> str:
    """`name` fit for a message of one line: what is not UTF-8 or not printable comes as escapes.

    A name may hold terminal escapes or marks that turn the writing direction, to look like another
    (https://trojansource.codes).
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def title(verb: str, name: str) -> str:
    """One line for people about a call that names `name`."""
    text = shown(name.encode("utf-8", "replace").decode("utf-8"))
    return f"{verb} {text if len(text) <= _TITLE_CHARS else text[: _TITLE_CHARS - 1] + '…'}"
