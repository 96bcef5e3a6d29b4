"""What shows a finding: a place, and what stands there, in characters that every screen can show."""

from __future__ import annotations

from dataclasses import dataclass

EXCERPT_CHARS = 400
"""Of one excerpt; what is longer is cut in the middle."""
_CUT = " … "


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was observed."""

    where: str
    """A file within the subject ("package/cli.js", "bin/tool!embedded/0.js" for what is inside a file), or what was observed at run time ("run 3, request 2, body")."""
    excerpt: str
    """What stands there, by `printable`: every character beyond printable ASCII as its escape, so that nothing is hidden."""
    offset: int = -1
    """In bytes from the beginning of `where`; -1: there is none."""
    line: int = 0
    """From 1; 0: there is none (a binary file, something observed)."""
    facts: tuple[tuple[str, str], ...] = ()
    """What else is known of it, by name, in order: ("code point", "U+2019"), ("factor", "time zone")."""


def printable(text: str, limit: int = EXCERPT_CHARS) -> str:
    r"""`text` in ASCII: anything else as \n, \t, \xhh, \uhhhh or \Uhhhhhhhh; cut in the middle to `limit` characters."""
    if len(text) > limit:
        half = max((limit - len(_CUT)) // 2, 0)
        text = text[:half] + _CUT + text[len(text) - half :]
        cut = text.index(_CUT, half)
        return _escaped(text[:cut]) + " ... " + _escaped(text[cut + len(_CUT) :])
    return _escaped(text)


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if " " <= character <= "~" else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
