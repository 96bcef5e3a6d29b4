"""Tells in a few passes over a text which encodings it may hold, so that ordinary text pays for none of them.

RE2 makes one automaton of many expressions, which reads at the speed of the memory; only where it stops are they asked one
by one. The expressions are also what the decoders look for places with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import re2  # type: ignore[import-untyped]

from mohist.guard.view import View

# Base64 of ASCII text: in each group of four, the highest bit of each of its three bytes is 0. At six bits a character
# (RFC 4648 section 4) the first one is below 32, the second has no 8 in it, the third no 2.
_FIRST = "A-Za-f"
_SECOND = "A-HQ-Xg-nw-z0-3"
_THIRD = "ABEFIJMNQRUVYZcdghklopstwx014589"
_BASE64_GROUP = f"[{_FIRST}][{_SECOND}][{_THIRD}][A-Za-z0-9+/_-]"
_HEX_PAIR = "(?:[2-7][0-9A-Fa-f]|0[9AaDd])"
_CODE = "(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])"
_RUN_CHAR = "[A-Za-z0-9+/=_-]"
_MARGIN = r"\r?\n[ \t]*(?:[+>#*|-][ \t]*)?"
"""A line's end and what the next line begins with: blanks, or the mark of a diff, a quotation or a comment."""
_OPERATOR = r"[ \t]*(?:[+.&~]|\|\||\.\.)?[ \t]*"

EXPRESSIONS: Mapping[str, str] = {
    # At least 15 bytes of text: less holds no secret that one would notice.
    "base64": rf"(?:{_BASE64_GROUP}){{5,}}",
    # The first bytes of gzip and of zlib at its usual levels, in base64.
    "compressed": r"(?:H4sI[A-Za-z0-9+/_-]|eJ[wxyz][A-Za-z0-9+/_-]{2}|eN[opqr][A-Za-z0-9+/_-]{2})[A-Za-z0-9+/_-]{20,}={0,2}",
    "base32": r"[A-Z2-7]{24,}={0,6}",
    "hex": rf"(?:(?:0x|\\x)?{_HEX_PAIR}(?:, ?|[ :-])?){{10,}}",
    "codes": rf"(?:{_CODE}[ ,;]{{1,2}}){{11,}}{_CODE}",
    "spacing": (
        r"(?:[A-Za-z0-9_+/=-][ .|*,]){15,}[A-Za-z0-9_+/=-]?"
        r"|(?:[A-Za-z0-9_+/=.:@][;~-]){15,}[A-Za-z0-9_+/=]?"
    ),
    "diff": r"\n[+>-] ?-----BEGIN ",
    "quoted-printable": r"=3D|(?:=[2-7][0-9A-F]){4}|[A-Za-z0-9]=\r?\n[A-Za-z0-9]",
    "utf-16": r"(?:[ -~]\x00){4,}",
    # The end of one string literal and the beginning of the next, with nothing but an operator between them.
    "concatenation": (
        rf"{_RUN_CHAR}[\"'`]{_OPERATOR}(?:\\?{_MARGIN})?{_OPERATOR}[bfruLRU$@]?[\"'`]{_RUN_CHAR}"
        rf"|{_RUN_CHAR}[\"'`](?:[ \t+&~]|\\?{_MARGIN}){_OPERATOR}(?:\\?{_MARGIN})?[bfruLRU$@]?[\"'`][.:@]"
        rf"|[:@][\"'`](?:[ \t+&~]|\\?{_MARGIN}){_OPERATOR}(?:\\?{_MARGIN})?[bfruLRU$@]?[\"'`]{_RUN_CHAR}"
    ),
    # What tells a secret, letter for letter 13 places on: names of settings, beginnings of well-known keys and of addresses.
    "rot13": (
        r"(?i:cnffjbeq|cnffjq|frperg|gbxra|ncv[_-]?xrl|npprff[_-]?xrl|cevingr[_-]?xrl|perqragvny|nhgubevmngvba|uggcf?://|xrl[\"']?[ \t]*[=:]|_(?:fx|frrq|cnff|cjq)[\"']?[ \t]*[=:])"
        r"|-----ORTVA |\b(?:tuc_|tub_|tuf_|tvguho_cng_|fx-|fx_yvir|cx_yvir|NXVN|NFVN|NVmn|kbk[bnce]-|rlWu|tycng-|acz_|clcv-)"
        r"|(?:cbfgterf|cbfgterfdy|zlfdy|znevnqo|zbatbqo|erqvf|nzdc|pyvpxubhfr|yqnc|sgc)[a-z+]{0,8}://"
    ),
    "mirrored": (
        r"(?i:drowssap|terces|nekot|yek[_-]?ipa|yek[_-]?ssecca|yek[_-]?etavirp|laitnederc|noitazirohtua|[=:][ \t]*[\"']?(?:yek|ks_|dees_|ssap_|dwp_)|//:[a-z+]{3,14})"
        r"| NIGEB-----|(?:_phg|_ohg|_shg|-ks|AIKA|AISA|[bpar]xox|hJye|_mpn)\b"
    ),
    # A run of characters that goes on in the next line, with a digit near the break: prose has none.
    "line": (
        rf"{_RUN_CHAR}{{4,20}}[0-9]{_RUN_CHAR}{{0,8}}\\?{_MARGIN}{_RUN_CHAR}{{5}}"
        rf"|{_RUN_CHAR}[0-9]{_RUN_CHAR}{{4,8}}\\?{_MARGIN}{_RUN_CHAR}{{5}}"
        rf"|{_RUN_CHAR}{{5,20}}\\?{_MARGIN}{_RUN_CHAR}{{0,12}}[0-9]{_RUN_CHAR}{{4}}"
    ),
    # A line break or tab right in front of a word, codes of characters, quotation marks beside a colon or an equals sign
    # (JSON in a string), slashes in addresses and in base64, and the lines of a notebook.
    "escape": (
        r"\\(?:[nrtbf][A-Za-z0-9_-]{6}|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]|x[0-9a-fA-F]{2}|[0-7]{3}|n\",\s|/[A-Za-z0-9+]{4}|/\\/"
        r"|\\*[\"'](?:[ \t]*[:=]|[A-Za-z0-9_+/=-]{8,200}\\))"
    ),
    "url": r"%(?:25)*[2-7][0-9A-Fa-f]",
    "html": r"&(?:#[0-9]{2,4}|#[xX][0-9a-fA-F]{2,4}|amp|quot|lt|gt|apos|nbsp|equals|colon|lowbar|sol|plus|commat|period);",
    # Zero-width and other characters that are not seen; full-width, mathematical and enclosed letters and digits; Greek,
    # Cyrillic, Armenian, Cherokee and phonetic letters beside ASCII ones. In UTF-8.
    "unicode": (
        r"\xC2\xAD|\xCD\x8F|\xD8\x9C|\xE1\x85[\x9F\xA0]|\xE1\xA0\x8E|\xE2\x80[\x8B-\x8F\xAA-\xAE]|\xE2\x81[\xA0-\xAF]|\xE3\x85\xA4"
        r"|\xEF\xBB\xBF|\xEF\xB8[\x80-\x8F]|\xEF\xBE\xA0|\xF3\xA0[\x80-\x87]"
        r"|\xEF\xBC[\x90-\x99\xA1-\xBA]|\xEF\xBD[\x81-\x9A]|\xF0\x9D[\x90-\x9F]|\xE2[\x91-\x93]|\xF0\x9F\x84"
        r"|[A-Za-z0-9_](?:[\xCD-\xD6]|\xE1[\x8E\x8F\xB4-\xB7])|[\xCD-\xD6][\x80-\xBF][A-Za-z0-9_]|\xE1[\x8E\x8F\xB4-\xB7][\x80-\xBF][A-Za-z0-9_]"
    ),
}
_OPEN_END = re.compile(r"\{(\d+),\}")
_MARKS: Mapping[str, bytes] = {"escape": b"\\", "url": b"%", "html": b"&"}
"""What stands in every text that holds one of these; looking for one byte costs next to nothing."""
# One automaton of these reads random letters and digits as fast as text; with "line" in it, it would have a state for every
# few characters of a long hexadecimal number.
_TOGETHER = tuple(name for name in EXPRESSIONS if name not in _MARKS and name not in ("line", "unicode"))
_MIN_BYTES = 12
_BESIDE_CHARS = 64
"""How far in front of a line's end a place may begin that goes on in the next line."""
REACH_CHARS = 4096
"""How much of a long line is looked at on both sides of a place."""
_LOOK_BEHIND_BYTES = 64
"""How far in front of its mark one of `_MARKS` may begin."""
# Of RE2's automata; the default of 8 MB lets it fall back to a slower engine on mixed text.
_MAX_MEMORY_BYTES = 64 * 1024 * 1024


Spans = Sequence[tuple[int, int]]
_Search = Callable[[bytes, int], Spans]


def _compiled(expression: str) -> _Search:
    """Searches bytes from a place on: where the match and its groups are, (-1, -1) for what is not there."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    compiled = re2.compile(expression.encode("latin-1"), options)
    # The module's own `search` costs several times what the search in a short text does; its native method does the same.
    match, unanchored = compiled._regexp.Match, re2._Anchor.UNANCHORED

    def search(data: bytes, start: int) -> Spans:
        spans: Spans = match(unanchored, data, start, len(data))
        return spans

    return search


_SEARCHES = {name: _compiled(expression) for name, expression in EXPRESSIONS.items()}


@cache
def _any_of(names: tuple[str, ...]) -> _Search:
    """Searches for several at once; each is a group of its own, and where it begins is all that counts."""
    return _compiled("|".join(f"({_shortest(name)})" for name in names))


def _shortest(name: str) -> str:
    """What matches where an encoding begins, as little as tells it."""
    return _OPEN_END.sub(r"{\1}", EXPRESSIONS[name])


@cache
def _whether_any() -> _Search:
    """Searches for all of them without saying which one it is: most texts hold none, and a search with a group for each costs twice."""
    return _compiled("|".join(f"(?:{_shortest(name)})" for name in _TOGETHER))


def fired(view: View) -> dict[str, int]:
    """The encodings that a view may hold, each with the byte of `data` at which it first occurs."""
    data = view.data
    found: dict[str, int] = {}
    if len(data) < _MIN_BYTES:
        return found
    for name, mark in _MARKS.items():
        at = data.find(mark)
        if at >= 0:
            _look(data, name, max(at - _LOOK_BEHIND_BYTES, 0), found)
    # Each byte is read once: where one is found, the search goes on for the others from there.
    start, names = _whether_any()(data, 0)[0][0], _TOGETHER
    while names and start >= 0:
        spans = _any_of(names)(data, start)
        start = spans[0][0]
        if start < 0:
            break
        name = names[next(group for group in range(len(names)) if spans[group + 1][0] >= 0)]
        found[name] = start
        names = tuple(other for other in names if other != name)
    _look(data, "line", 0, found)
    if not view.text.isascii():
        _look(data, "unicode", 0, found)
    return found


def _look(data: bytes, name: str, start: int, found: dict[str, int]) -> None:
    first = _SEARCHES[name](data, start)[0][0]
    if first >= 0:
        found[name] = first


def places(view: View, name: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where in a view an encoding may stand, in characters, in order; from a byte of `data` on."""
    data, search, char = view.data, _SEARCHES[name], view.char
    while True:
        first, start = search(data, start)[0]
        if first < 0:
            return
        yield char(first), char(start - 1) + 1


def lines(view: View, name: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """The lines in which an encoding may stand, or as much of them as is near it; those that touch are one.

    What follows a place in its line is not searched again: a text may be nothing but such places.
    """
    text, data, search, char = view.text, view.data, _SEARCHES[name], view.char
    low = high = -1
    while True:
        first_byte, end_byte = search(data, start)[0]
        if first_byte < 0:
            break
        first, end = char(first_byte), char(end_byte - 1) + 1
        near = max(first - REACH_CHARS, 0)
        line = text.rfind("\n", near, first) + 1 or near
        line_end = text.find("\n", end, end + REACH_CHARS)
        last = min(end + REACH_CHARS, len(text)) if line_end < 0 else line_end
        if high < 0:
            low = line
        elif line > high + 1:
            yield low, high
            low = line
        high = max(high, last)
        start = end_byte + len(text[end : max(last - _BESIDE_CHARS, end)].encode("utf-8", "replace"))
    if high >= 0:
        yield low, high
