"""A text of the subject, in bytes, with the places in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from mohist.vet.evidence import Evidence, printable

Language = Literal["javascript", "python", "shell", "instruction", "data", "prose", "native"]
"""`instruction`: prose that a model is told to follow, which is as good as a program."""

_ENDINGS: dict[str, Language] = {
    **dict.fromkeys(("js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx"), "javascript"),
    **dict.fromkeys(("py", "pyw", "pth"), "python"),
    **dict.fromkeys(("sh", "bash", "zsh", "fish", "ps1", "bat", "cmd", "rb", "pl", "lua", "php", "go", "rs", "java", "kt", "swift"), "shell"),
    **dict.fromkeys(("md", "markdown", "rst", "txt", "html", "htm", "css", "svg", "license", "po"), "prose"),
}  # fmt: skip
_PROSE_NAMES = frozenset(
    (
        "metadata",
        "pkg-info",
        "authors",
        "license",
        "licence",
        "copying",
        "notice",
        "readme",
        "changelog",
        "changes",
        "record",
    )
)
_INSTRUCTIONS = frozenset(
    ("skill.md", "agents.md", "claude.md", "gemini.md", "qwen.md", ".cursorrules", ".windsurfrules", ".clinerules")
)
_AROUND_CHARS = 60


def language_of(where: str, head: bytes) -> Language:
    """What a text file is, by its name, or by its first line."""
    name = PurePosixPath(where).name.lower()
    if name.endswith((".d.ts", ".d.mts", ".d.cts")):
        return "prose"
    if name in _INSTRUCTIONS or name.endswith(".mdc"):
        return "instruction"
    known = _ENDINGS.get(name.rpartition(".")[2]) if "." in name else None
    if known is not None:
        return known
    if name.partition(".")[0] in _PROSE_NAMES:
        return "prose"
    line = head[:256].split(b"\n", 1)[0]
    if line.startswith(b"#!"):
        if b"python" in line:
            return "python"
        return "javascript" if any(word in line for word in (b"node", b"bun", b"deno")) else "shell"
    return "javascript" if head.startswith(b"// @bun") else "data"


@dataclass(slots=True)
class Text:
    """One file's text, or what is embedded in one."""

    where: str
    data: bytes
    language: Language
    base: int = 0
    """Where in the file `data` begins, in bytes."""
    lines: bool = True
    """Whether the file has lines."""
    _breaks: list[int] | None = field(default=None, repr=False)

    def line(self, at: int) -> int:
        """The line of a byte of `data`, from 1; 0 where there are none."""
        if not self.lines:
            return 0
        if self._breaks is None:
            breaks, found = [], self.data.find(b"\n")
            while found >= 0:
                breaks.append(found)
                found = self.data.find(b"\n", found + 1)
            self._breaks = breaks
        return bisect_right(self._breaks, at - 1) + 1

    def evidence(self, start: int, end: int, *facts: tuple[str, str], around: int = _AROUND_CHARS) -> Evidence:
        """What stands at bytes [start, end) of `data`, with what is around it."""
        excerpt = self.data[max(start - around, 0) : end + around].decode("utf-8", "replace")
        return Evidence(self.where, printable(excerpt), self.base + start, self.line(start), facts)
