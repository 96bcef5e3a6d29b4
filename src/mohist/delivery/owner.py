"""Who owns a path: CODEOWNERS as GitHub and GitLab read it. The text is the base commit's, never the change's.

In each section the last line that matches a path names its owners; a line without owners takes ownership away. GitHub knows
one section and no `[2]`, `!` or `^`. What a line says that can't be read is kept as a doubt, and told to who approves.
Sources: https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
and https://docs.gitlab.com/user/project/codeowners/reference/ (both November 2026).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Dialect = Literal["github", "gitlab"]

PLACES: Final = (".github/CODEOWNERS", ".gitlab/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the file may lie; the first that is there counts."""

_SECTION: Final = re.compile(r"(\^?)\[([^\]]+)\](?:\[(\d+)\])?\s*(.*)")
_OWNER: Final = re.compile(r"@[\w./-]+|[^@\s]+@[^@\s]+\.[^@\s]+")
_WORDS: Final = re.compile(r"(?:\\.|[^\s\\])+")


@dataclass(frozen=True, slots=True)
class OwnerLine:
    """One pattern and who owns what it matches."""

    pattern: str
    owners: tuple[str, ...]
    excludes: bool = False
    """GitLab's `!pattern`: no owner in this section, whatever comes after."""


@dataclass(frozen=True, slots=True)
class Section:
    """Lines that are asked on their own."""

    name: str
    count: int
    """So many owners must approve."""
    optional: bool
    lines: tuple[OwnerLine, ...]


@dataclass(frozen=True, slots=True)
class Owners:
    """A file of owners, read."""

    dialect: Dialect
    sections: tuple[Section, ...]
    doubts: tuple[str, ...] = ()

    def groups(self, paths: Collection[str], teams: Collection[str]) -> tuple[tuple[str, ...], ...]:
        """Who must approve a change of these paths: `needs` of a gate.

        Args:
            paths: of the changed files, both names of a renamed one.
            teams: known ones (`@core`): GitLab writes a group as it writes a person.
        """
        wanted: dict[tuple[str, ...], int] = {}
        for section in self.sections:
            if section.optional:
                continue
            for path in paths:
                group = tuple(_person(owner, teams) for owner in self.of(section, path))
                if group:
                    wanted[group] = max(wanted.get(group, 0), section.count)
        return tuple(group for group, count in wanted.items() for _ in range(count))

    def of(self, section: Section, path: str) -> tuple[str, ...]:
        """The owners of a path in a section, as they are written; empty: nobody."""
        found: tuple[str, ...] = ()
        for line in section.lines:
            if path_matches(line.pattern, path, self.dialect):
                if line.excludes:
                    return ()
                found = line.owners
        return found


def read_owners(text: str, dialect: Dialect) -> Owners:
    """Reads a CODEOWNERS file. Never fails: what is not understood becomes a doubt."""
    sections: dict[str, tuple[str, int, bool, list[OwnerLine]]] = {"": ("", 1, False, [])}
    doubts: list[str] = []
    key = ""
    usual: tuple[str, ...] = ()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if dialect == "gitlab" and (heading := _SECTION.fullmatch(line)):
            key = heading[2].strip().lower()
            usual = _owners(heading[4], number, doubts)
            count = max(1, int(heading[3] or 1))
            old = sections.get(key)
            # Sections of one name are one; asked of more people where one of the headings says so.
            lines = old[3] if old else []
            optional = bool(heading[1]) and (old is None or old[2])
            sections[key] = (heading[2].strip(), max(count, old[1] if old else 1), optional, lines)
            continue
        excludes = dialect == "gitlab" and line.startswith("!")
        words = _WORDS.findall(line[1:] if excludes else line)
        pattern = re.sub(r"\\(.)", r"\1", words[0])
        named = _owners(line[line.index(words[0]) + len(words[0]) :], number, doubts)
        if dialect == "github" and pattern.startswith(("!", "[")):
            doubts.append(f"line {number}: {words[0]!r} is not understood")
            continue
        bare = not line[line.index(words[0]) + len(words[0]) :].split("#")[0].strip()
        sections[key][3].append(OwnerLine(pattern, usual if bare else named, excludes))
    made = (Section(name, count, optional, tuple(lines)) for name, count, optional, lines in sections.values())
    return Owners(dialect, tuple(section for section in made if section.lines), tuple(doubts))


def path_matches(pattern: str, path: str, dialect: Dialect = "github") -> bool:
    """Whether a pattern names a path, `/` between parts, without a leading one.

    `*` and `?` stay within a part, `**` goes over any number of them, `x/` is all that lies in folders `x`. A pattern with
    a leading `/` (for GitHub: with one inside, too) begins at the root. For GitHub a folder's name is all in it.
    """
    return _compiled(pattern, dialect).fullmatch(path) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str, dialect: Dialect) -> re.Pattern[str]:
    rooted = pattern.startswith("/") or (dialect == "github" and "/" in pattern.rstrip("/"))
    body = pattern.strip("/")
    out = "" if rooted or body.startswith("**") else r"(?:.*/)?"
    parts = body.split("/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            out += r".+" if last else r"(?:.*/)?"
            continue
        out += "".join({"*": r"[^/]*", "?": r"[^/]"}.get(char, re.escape(char)) for char in re.sub(r"\*+", "*", part))
        out += "" if last else "/"
    if pattern.endswith("/"):
        out += r"/.+"
    elif dialect == "github" and not (len(parts) > 1 and parts[-1] == "*") and parts[-1] != "**":
        # `docs/*` is GitHub's own exception: files in `docs`, not below.
        out += r"(?:/.+)?"
    return re.compile(out, re.DOTALL)


def _owners(text: str, number: int, doubts: list[str]) -> tuple[str, ...]:
    owners = []
    for word in text.split("#")[0].split():
        if _OWNER.fullmatch(word):
            owners.append(word)
        else:
            doubts.append(f"line {number}: {word!r} is no owner")
    return tuple(owners)


def _person(owner: str, teams: Collection[str]) -> str:
    """`@org/team` and known teams stay teams; `@ann` is the user `ann`."""
    if not owner.startswith("@") or "/" in owner or owner in teams:
        return owner
    return owner[1:]


def first_owners(texts: Mapping[str, str | None], forge: Dialect | None = None) -> Owners | None:
    """The file that counts.

    Args:
        texts: what stands at each of `PLACES` in the base commit; None: nothing.
        forge: whose syntax it is. None: by its place, and where both look there as GitLab's if it has sections.
    """
    for place in PLACES:
        text = texts.get(place)
        if text is not None:
            sections = any(_SECTION.fullmatch(line.strip()) for line in text.splitlines())
            guess: Dialect = "gitlab" if place.startswith(".gitlab/") or sections else "github"
            return read_owners(text, forge or ("github" if place.startswith(".github/") else guess))
    return None
