"""Blanks out what a program does not run: comments that begin a line, and strings that document Python."""

from __future__ import annotations

import re

from mohist.vet.static.text import Language

_BLOCK = re.compile(rb"^[ \t]*/\*(?:(?!\*/)[\s\S])*+\*/", re.MULTILINE)
_SLASHES = re.compile(rb"^[ \t]*//[^\n]*", re.MULTILINE)
_HASH = re.compile(rb"^[ \t]*#[^\n]*", re.MULTILINE)
_DOCUMENTING = re.compile(
    rb"(?:\A|:[ \t]*\n)(?:\s*)([rRuU]?(?:\"\"\"(?:(?!\"\"\")[\s\S])*+\"\"\"|'''(?:(?!''')[\s\S])*+'''))[ \t]*(?=\n)"
)
_INSIDE = re.compile(rb"[^\n]")


def blanked(data: bytes, language: Language) -> bytes:
    """`data` with its comments turned to blanks; every other byte stays where it is.

    Only for counting what is ordinary: encoded tables and hidden characters are searched in all of the text.
    """
    if language == "javascript":
        if b"/*" in data:
            data = _BLOCK.sub(_blank, data)
        return _SLASHES.sub(_blank, data) if b"//" in data else data
    if language == "python":
        data = _HASH.sub(_blank, data)
        return _DOCUMENTING.sub(_blank_string, data)
    if language == "shell":
        return _HASH.sub(_blank, data)
    return data


def _blank(match: re.Match[bytes]) -> bytes:
    return _INSIDE.sub(b" ", match[0])


def _blank_string(match: re.Match[bytes]) -> bytes:
    start = match.start(1) - match.start()
    return match[0][:start] + _INSIDE.sub(b" ", match[1])
