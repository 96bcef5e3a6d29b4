"""The words of a text that can tell where something came from: addresses, paths, names and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

WORD_CHARS = 6
EVERYBODYS = frozenset({"base64", "python2", "python3", "sha256", "utf-8", "utf-16", "x86_64"})
"""Words with a digit or a sign that say nothing of who wrote them."""
"""Shorter words are everybody's."""
LONG_CHARS = 16
_WORD = re.compile(r"[\w.@:/%+~=-]+")
_PART = re.compile(r"[\w-]+")
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]*://(?:[^\s/@'\"<>]*@)?([\w.-]+(?::\d+)?)"  # of a URL, without who asks
    r"|\b[\w.+-]+@([\w-]+(?:\.[\w-]+)+)"  # of mail
    r"|\b(www\.[\w-]+(?:\.[\w-]+)+)"
    r"|\b(\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"^ {0,8}\d{1,7}(?:\t|[:|-])", re.MULTILINE)
_JOINTS = re.compile(r"[\\'\"`+\s]+")


def words(text: str) -> Iterable[str]:
    """Whole and in parts, in small letters; words of the language are left out, since they are everybody's."""
    for match in _WORD.finditer(text):
        whole = match[0].strip(".:/-=")
        parts = [whole, *_PART.findall(whole)] if not whole.isalnum() else [whole]
        for part in parts:
            # What holds a sign or a digit, or is very long, is somebody's.
            if len(part) >= WORD_CHARS and (not part.isalpha() or len(part) >= LONG_CHARS):
                word = part.lower()
                if word not in EVERYBODYS:
                    yield word


def addresses(text: str) -> Iterable[str]:
    """Hosts that the text names as such, in a URL, a mail address or by number; with their port, and without."""
    for match in _ADDRESS.finditer(text):
        host = next(part for part in match.groups() if part).strip(".-").lower()
        for one in (host, host.partition(":")[0]):
            if len(one) >= WORD_CHARS:
                yield one


def unnumbered(text: str) -> str:
    """Without the numbers that tools put before lines, which stand between a text and what it begins with or encodes."""
    return _NUMBER.sub("", text)


def squeezed(text: str) -> str:
    """In small letters, without what can stand between the halves of a word that a program puts together."""
    return _JOINTS.sub("", text).lower()
