"""Undoes what stands for one character each: escapes of JSON and C, URLs, HTML, quoted-printable text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape

from mohist.guard.reading.draft import Spot, redraw
from mohist.guard.reading.trigger import lines
from mohist.guard.view import View

# The last line of a string in a list of lines and the first of the next are lines of one text, as notebooks keep it.
_ESCAPE = re.compile(
    r'\\(?:n",\s*"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}'
    r"|x[0-9a-fA-F]{2}|[0-7]{1,3}|[abefnrtv\"'`/\\?$])"
)
_PLAIN = dict(zip("abefnrtv", "\a\b\x1b\f\n\r\t\v", strict=True)) | {char: char for char in "\"'`/\\?$"}
_URL = re.compile(r"%[0-7][0-9A-Fa-f]|(?:%[89A-Fa-f][0-9A-Fa-f])+|%u[0-9A-Fa-f]{4}")
_HTML = re.compile(r"&(?:#[0-9]{2,7}|#[xX][0-9a-fA-F]{2,6}|[A-Za-z]{2,8});")
_QUOTED = re.compile(r"=[0-7][0-9A-F]|(?:=[89A-F][0-9A-F])+|=\r?\n")
_UNKNOWN = "\ufffd"


def escapes(view: View, start: int = 0) -> View | None:
    """With `\\n`, `\\"`, `\\u0041`, `\\x41`, `\\101` read."""
    return redraw(view, "escape", _spots(view, "escape", start, _ESCAPE, _escape))


def url(view: View, start: int = 0) -> View | None:
    """With `%41` read."""
    return redraw(view, "url", _spots(view, "url", start, _URL, _percent))


def html(view: View, start: int = 0) -> View | None:
    """With `&quot;` and `&#65;` read."""
    return redraw(view, "html", _spots(view, "html", start, _HTML, _entity))


def quoted_printable(view: View, start: int = 0) -> View | None:
    """With `=3D` and soft line breaks read (RFC 2045 section 6.7)."""
    return redraw(view, "quoted-printable", _spots(view, "quoted-printable", start, _QUOTED, _quoted))


def _spots(
    view: View, name: str, start: int, expression: re.Pattern[str], read: Callable[[str], str | None]
) -> Iterator[Spot]:
    text = view.text
    known: dict[str, str | None] = {}
    for low, high in lines(view, name, start):
        for found in expression.finditer(text, low, high + 1):
            spelled = found[0]
            if spelled in known:
                meant = known[spelled]
            else:
                meant = known[spelled] = read(spelled)
            if meant is not None:
                yield *found.span(), meant, None


def _escape(text: str) -> str | None:
    kind = text[1]
    if len(text) == 2 and kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "n":
        return "\n"
    if kind == "u" and len(text) == 12:
        high, low = int(text[2:6], 16), int(text[8:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    return _character(int(text[1:], 8) if kind.isdigit() else int(text[2:].strip("{}"), 16))


def _percent(text: str) -> str | None:
    if text[1] == "u":
        return _character(int(text[2:], 16))
    return bytes.fromhex(text.replace("%", "")).decode("utf-8", "replace")


def _entity(text: str) -> str | None:
    meant = unescape(text)
    return None if meant == text else meant.replace("\xa0", " ")


def _quoted(text: str) -> str | None:
    return "" if text.endswith("\n") else bytes.fromhex(text.replace("=", "")).decode("utf-8", "replace")


def _character(point: int) -> str:
    return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else _UNKNOWN
