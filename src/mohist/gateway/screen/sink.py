"""Where a value may be put back: the arguments of tools that write files on the client's machine, by the tools' names.

What is not named here is not restored: a shell can reach a network, a tool of another party's server is another party.
Data as of 2026-11, from the tools that the clients declare in their requests.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Sink(NamedTuple):
    """One tool."""

    fields: frozenset[str]
    """Arguments that hold a file's content, as paths of keys ("edits.new_string")."""
    free: bool = False
    """Its argument may be a text that is no JSON."""


def _sink(*fields: str, free: bool = False) -> Sink:
    return Sink(frozenset(fields), free)


_REPLACE: Final = _sink("old_string", "new_string", "content", "edits.old_string", "edits.new_string")
_PATCH: Final = _sink("input", "patch", "diff", "patchText", free=True)

SINKS: Final[Mapping[str, Sink]] = MappingProxyType(
    {
        # Claude Code
        "Edit": _REPLACE,
        "Write": _sink("content"),
        "MultiEdit": _REPLACE,
        "NotebookEdit": _sink("new_source"),
        "str_replace_based_edit_tool": _sink("file_text", "old_str", "new_str", "insert_text"),
        "str_replace_editor": _sink("file_text", "old_str", "new_str"),
        # Codex CLI
        "apply_patch": _PATCH,
        # Gemini CLI, Qwen Code
        "write_file": _sink("content"),
        "replace": _REPLACE,
        "edit": _sink("old_string", "new_string", "oldString", "newString", "old", "new", "edits.old", "edits.new"),
        # opencode, Crush, Mohist
        "write": _sink("content", "text"),
        "multiedit": _REPLACE,
        "patch": _PATCH,
        # Cline, Roo Code, Kilo Code
        "write_to_file": _sink("content"),
        "replace_in_file": _sink("diff"),
        "apply_diff": _sink("diff", "args.file.diff.content"),
        "insert_content": _sink("content"),
        "search_and_replace": _sink("search", "replace", "operations.search", "operations.replace"),
        # VS Code
        "create_file": _sink("content"),
        "insert_edit_into_file": _sink("code"),
        "replace_string_in_file": _sink("oldString", "newString"),
        "multi_replace_string_in_file": _sink("replacements.oldString", "replacements.newString"),
        "edit_notebook_file": _sink("newCode"),
        # Continue, Cursor, Zed, Amp
        "create_new_file": _sink("contents"),
        "edit_existing_file": _sink("changes"),
        "single_find_and_replace": _sink("old_string", "new_string"),
        "search_replace": _sink("old_string", "new_string"),
        "edit_file": _sink("code_edit", "content", "old_str", "new_str", "edits.old_text", "edits.new_text"),
        # goose
        "text_editor": _sink("file_text", "old_str", "new_str", "diff"),
        "developer__text_editor": _sink("file_text", "old_str", "new_str", "diff"),
    }
)

PATHS: Final = frozenset({"file_path", "path", "filePath", "target_file", "filepath", "notebook_path", "filename"})
"""Arguments that say which file."""

_NOT_FILES: Final = frozenset({".git", "commit_editmsg", "merge_msg", "tag_editmsg", "squash_msg"})
_NOT_UNDER: Final = ("/dev/", "/proc/")


def is_file(path: str) -> bool:
    """Whether what is written there stays a file of the workspace's, as far as its name tells."""
    # As the file systems that are kindest about names see it: no case, no ignorable signs, no dots and blanks at the end.
    plain = "".join(sign for sign in path if unicodedata.category(sign) != "Cf").replace("\\", "/").casefold()
    if plain.startswith("//") or "://" in plain or any(part in plain for part in _NOT_UNDER):
        return False
    return not _NOT_FILES.intersection(part.split(":")[0].rstrip(" .") for part in plain.split("/"))
