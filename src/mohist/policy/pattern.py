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


def star_matches(glob: str, text: str) -> bool:
    """True when `glob`, in which `*` stands for any text, covers `text`; `?` and `[…]` mean what they do in a shell."""
    if "?" in glob or "[" in glob:
        return _regex(translate(glob)).match(text) is not None
    head, *rest = glob.split("*")
    if not rest:
        return text == glob
    *middle, tail = rest
    if not text.startswith(head) or not text.endswith(tail) or len(text) < len(head) + len(tail):
        return False
    at, end = len(head), len(text) - len(tail)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


@lru_cache(maxsize=4096)
def _regex(text: str) -> re.Pattern[str]:
    return re.compile(text)


class Word:
    """One place of an argument pattern: literals `a|b`, globs `test*`, or `re:…` for the whole argument."""

    __slots__ = ("floating", "globs", "literals", "regex")

    def __init__(self, text: str) -> None:
        self.floating = text.startswith(("*", "re:.*"))
        """It looks for something anywhere in the argument, so also in a part that only the shell knows."""
        self.regex = re.compile(f"(?s:{text[3:]})\\Z") if text.startswith("re:") else None
        # Kept apart because most words are literals, and compiling a regex costs as much as reading ten rules.
        parts = [] if self.regex else text.split("|")
        self.globs = [part for part in parts if any(char in part for char in "*?[")]
        self.literals = frozenset(parts) - frozenset(self.globs)

    def matches(self, argument: str) -> bool:
        if argument in self.literals:
            return True
        if UNKNOWN in argument:
            return False
        if self.regex:
            return self.regex.match(argument) is not None
        return any(star_matches(glob, argument) for glob in self.globs)


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
    return _segments_match(glob.split("/"), path.split("/"))


def _segments_match(globs: list[str], parts: list[str]) -> bool:
    """`reached` holds how many globs may be used up by the parts so far: one pass, whatever the globs are."""
    reached = _past_stars(globs, {0})
    for part in parts:
        following = set()
        for at in reached:
            if at < len(globs) and globs[at] == "**":
                following.add(at)
            elif at < len(globs) and star_matches(globs[at], part):
                following.add(at + 1)
        reached = _past_stars(globs, following)
    return len(globs) in reached


def _past_stars(globs: list[str], reached: set[int]) -> set[int]:
    """`**` may also stand for no folder at all."""
    for at in sorted(reached):
        while at < len(globs) and globs[at] == "**":
            at += 1
            reached = reached | {at}
    return reached
