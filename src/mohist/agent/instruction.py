"""What a repository tells agents about itself: AGENTS.md, CLAUDE.md, `.qoder/rules/*.md`, `.trae/rules/*.md`.

Text only. Nothing named in such a file is fetched, followed or run, and what it says binds nobody: policy
decides about calls as if it had said nothing.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mohist.base import sha256_hex
from mohist.policy import path_matches

MAX_TOTAL_BYTES: Final = 32 * 1024
"""All instruction files together; the first request of a run carries them (codex uses the same bound)."""
MAX_FILES: Final = 64
MAX_FILE_BYTES: Final = 1024 * 1024
"""Longer files are not read at all: their digest would be of a part."""

_NAMES: Final = ("AGENTS.md", "CLAUDE.md")
_RULE_FOLDERS: Final = (".qoder/rules", ".trae/rules")
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_IMPORT = re.compile(r"^\s*+(?:[-*]\s++)?@[\w~./-](?=[\w~-]*+[./])[\w~./-]*+\s*+$")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One file, as it was when it was read."""

    path: Path
    """Absolute, as found: a symlink goes by its own name."""
    text: str
    """Every character of the file that fits, front matter and invisible ones included; empty when it was refused."""
    sha256: str
    """Of the whole file; empty when it was refused."""
    size_bytes: int
    truncated: bool = False
    globs: tuple[str, ...] = ()
    """Paths its author meant it for, relative to `folder`; empty: all below it."""
    folder: Path = Path("/")
    """What it speaks of: the folder that holds it, or that holds its `.qoder` or `.trae`."""
    warnings: tuple[str, ...] = ()
    """For people: what is hidden in it, what it wanted and did not get."""

    def applies_to(self, path: Path) -> bool:
        """True when the file at `path` (absolute) is one that this instruction was written for."""
        if not path.is_relative_to(self.folder):
            return False
        inner = path.relative_to(self.folder).as_posix()
        return not self.globs or any(path_matches(_anywhere(glob), inner, widely=False) for glob in self.globs)


def find_instructions(
    root: Path, cwd: Path, touched: Iterable[Path] = (), *, max_total_bytes: int = MAX_TOTAL_BYTES
) -> tuple[Instruction, ...]:
    """The files from `root` down to `cwd`, and down to the folder of each touched file; outermost first.

    Args:
        root: the workspace, absolute; nothing outside of it is read, through symlinks neither.
        cwd: where the run works; taken as `root` when it lies outside.
        touched: files the run has worked on, absolute; their folders' instructions join.
        max_total_bytes: what all texts together may take; the file that reaches it is cut at a line, later ones
            come with an empty text and a warning.

    Never raises for what it finds: a file that can't be read comes with an empty text and a warning.
    """
    root = Path(os.path.realpath(root))
    left = max_total_bytes
    found: list[Instruction] = []
    for folder in _folders(root, [cwd, *(path.parent for path in touched)]):
        seen: set[str] = set()
        for path in _candidates(folder):
            instruction = _read(root, folder, path, left)
            if instruction is None or (instruction.sha256 and instruction.sha256 in seen):
                # A copy of its neighbour (CLAUDE.md linked to AGENTS.md) is not said twice.
                continue
            seen.add(instruction.sha256)
            left -= len(instruction.text.encode())
            found.append(instruction)
            if len(found) == MAX_FILES:
                return tuple(found)
    return tuple(found)


def _folders(root: Path, ends: Iterable[Path]) -> list[Path]:
    chains: dict[Path, None] = {root: None}
    for end in ends:
        real = Path(os.path.realpath(end))
        if not real.is_relative_to(root):
            continue
        folder = root
        for part in real.relative_to(root).parts:
            if part.casefold() == ".git":
                break
            folder = folder / part
            chains[folder] = None
    return list(chains)


def _candidates(folder: Path) -> Iterator[Path]:
    for name in _NAMES:
        yield folder / name
    for rules in _RULE_FOLDERS:
        try:
            names = sorted(entry.name for entry in (folder / rules).iterdir())
        except OSError:
            continue
        yield from (folder / rules / name for name in names if name.endswith(".md") and name.isprintable())


def _read(root: Path, folder: Path, path: Path, left: int) -> Instruction | None:
    """None: there is no such file, or its author keeps it for calling by hand."""
    if not os.path.lexists(path):
        return None
    data, refusal = _bytes(root, path)
    if refusal:
        return Instruction(path, "", "", len(data), folder=folder, warnings=(refusal,))
    text = data.decode("utf-8", "replace")
    front = _front_matter(text) if path.parent.name == "rules" else {}
    if front.get("trigger") == ["manual"]:
        return None
    warnings = [*_hidden(text), *_imports(text)]
    if "\ufffd" in text and b"\xef\xbf\xbd" not in data:
        warnings.append("holds bytes that are not UTF-8, shown as U+FFFD")
    kept = _cut(text, left)
    if len(kept) < len(text):
        warnings.append(f"cut to {len(kept.encode())} of {len(data)} bytes: all instructions together have a bound")
    always = front.get("alwaysApply") == ["true"] or front.get("trigger") == ["always_on"]
    globs = () if always else tuple(front.get("globs") or front.get("glob") or ())
    return Instruction(path, kept, sha256_hex(data), len(data), len(kept) < len(text), globs, folder, tuple(warnings))


def _bytes(root: Path, path: Path) -> tuple[bytes, str]:
    """The content, or why it is refused."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        return b"", "is a symlink that leads out of the workspace; it was not read"
    if real != path and (real.suffix.lower() != ".md" or ".git" in real.relative_to(root).parts):
        return b"", "is a symlink to a file that is no instruction; it was not read"
    try:
        # Not blocking: the name may belong to a FIFO.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return b"", f"can't be read ({error.strerror})"
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b"", "is not a regular file; it was not read"
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return b"", f"can't be read ({error.strerror})"
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        return b"", f"is longer than {MAX_FILE_BYTES} bytes; it was not read"
    return data, ""


def _cut(text: str, max_bytes: int) -> str:
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    kept = data[: max(0, max_bytes)].decode("utf-8", "ignore")
    return kept[: kept.rfind("\n") + 1]


def _front_matter(text: str) -> dict[str, list[str]]:
    """Plain keys of the block between the two `---` lines: enough for globs, and no YAML parser for repository text."""
    match = _FRONT.match(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    values: dict[str, list[str]] = {}
    key = ""
    for line in match[1].split("\n") if match else ():
        item = re.match(r"\s*-\s+(.*)", line)
        pair = re.match(r"([A-Za-z_]+):[ \t]*(.*)", line)
        if item and key:
            values[key].append(item[1].strip().strip("'\""))
        elif pair:
            key = pair[1]
            parts = re.split(r",(?![^{]*\})", pair[2].strip().removeprefix("[").removesuffix("]"))
            values[key] = [part for raw in parts if (part := raw.strip().strip("'\""))]
    return values


def _anywhere(glob: str) -> str:
    """`*.py` in such a file means every Python file below, as in .gitignore."""
    glob = glob.removeprefix("./")
    return glob if "/" in glob else f"**/{glob}"


_ZERO_WIDTH: Final = frozenset("\u00ad\u034f\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\u3164\uffa0")
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _kind(char: str) -> str:
    if char in _ZERO_WIDTH:
        return "zero-width"
    if char in _BIDI:
        return "text-direction"
    if "\U000e0000" <= char <= "\U000e007f":
        return "tag"
    if "\U000e0100" <= char <= "\U000e01ef":
        return "variation-selector"
    return "control" if char not in "\n\r\t" and unicodedata.category(char) in ("Cc", "Cf", "Co") else ""


def _hidden(text: str) -> Iterator[str]:
    """One line for each kind of character that people don't see and models do."""
    counts: dict[str, list[tuple[int, str]]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.isascii() and line.isprintable():
            continue
        for at, char in enumerate(line):
            kind = _kind(char)
            # Within an emoji (woman + joiner + laptop) the joiner is no secret.
            joins = (
                char == "\u200d"
                and at > 0
                and (line[at - 1] == "\ufe0f" or unicodedata.category(line[at - 1]) in ("So", "Sk"))
            )
            if kind and not joins:
                counts.setdefault(kind, []).append((number, char))
    for kind, places in counts.items():
        number, char = places[0]
        more = f", {len(places)} in all" if len(places) > 1 else ""
        yield f"holds invisible characters ({kind}): U+{ord(char):04X} in line {number}{more}"


def _imports(text: str) -> Iterator[str]:
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if _IMPORT.match(line)]
    for number, line in lines[:5]:
        yield f"line {number} imports {line[:80]!r}, which is not followed"
    if len(lines) > 5:
        yield f"{len(lines) - 5} more imports are not followed"
