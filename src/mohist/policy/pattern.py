"""How a rule names what it is about: argument vectors, paths, plain names.

Patterns work on the arguments a program would receive, never on rendered text: `git status` can't match
`git "status; rm"`, and no quoting trick moves a word from one argument to the next.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

UNKNOWN = "\0"
"""Stands in an argument for text that only the running shell knows. NUL can't occur in a real argument (execve(2))."""


def is_open(argument: str) -> bool:
    """True when what the shell puts there may turn out to be an option, or several arguments."""
    return UNKNOWN in argument and argument[0] in (UNKNOWN, "-")


@lru_cache(maxsize=4096)
def _glob(text: str) -> re.Pattern[str]:
    if text.startswith("re:"):
        return re.compile(f"(?s:{text[3:]})\\Z")
    return re.compile("|".join(translate(part) for part in text.split("|")))


class Word:
    """One place of an argument pattern: literals `a|b`, globs `test*`, or `re:…` for the whole argument."""

    __slots__ = ("floating", "literals", "regex")

    def __init__(self, text: str) -> None:
        plain = not text.startswith("re:") and not any(char in text for char in "*?[")
        self.floating = text.startswith(("*", "re:.*"))
        """It looks for something anywhere in the argument, so also in a part that only the shell knows."""
        self.literals = frozenset(text.split("|")) if plain else None
        self.regex = None if plain else _glob(text)

    def matches(self, argument: str) -> bool:
        if self.literals is not None:
            return argument in self.literals
        assert self.regex is not None
        return UNKNOWN not in argument and self.regex.match(argument) is not None


@dataclass(frozen=True, slots=True)
class CommandPattern:
    """A prefix of an argument vector; `$` as the last word means that nothing may follow."""

    text: str
    words: tuple[Word, ...]
    closed: bool

    @classmethod
    def parse(cls, text: str) -> CommandPattern:
        """Words are divided by white space. Raises ValueError or re.error for an empty or broken pattern."""
        parts = text.split()
        closed = bool(parts) and parts[-1] == "$"
        parts = parts[: len(parts) - closed]
        if not parts:
            raise ValueError("the pattern names no command")
        return cls(text, tuple(Word(part) for part in parts), closed)

    def matches(self, argv: Sequence[str]) -> bool:
        if len(argv) < len(self.words) or (self.closed and len(argv) != len(self.words)):
            return False
        return all(word.matches(argument) for word, argument in zip(self.words, argv, strict=False))


@lru_cache(maxsize=4096)
def _path_regex(glob: str) -> re.Pattern[str]:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(known.get(part) or re.escape(part) for part in parts), re.DOTALL)


def fold_path(path: str) -> str:
    """The path as a file system that ignores case and invisible characters sees it.

    `.GIT/config` is `.git/config` on macOS and Windows, and HFS+ drops zero-width characters
    (CVE-2014-9390, https://git-scm.com/blog). Only ever used to match more, for denials and questions.
    """
    return "".join(char for char in path if unicodedata.category(char) != "Cf").casefold()


def path_matches(glob: str, path: str, *, widely: bool) -> bool:
    """True when `glob` (`*` within a folder, `**` across) covers the whole `path`; `widely` folds case first."""
    if widely:
        glob, path = fold_path(glob), fold_path(path)
    return _path_regex(glob).fullmatch(path) is not None
