"""One word of a command line, as the shell would hand it to a program.

What the shell fills in at run time becomes `UNKNOWN`. An expansion outside quotes can turn into several
arguments and into options, so the whole word becomes `UNKNOWN`; inside quotes it stays one argument and
only the place of the expansion is unknown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mohist.policy.pattern import UNKNOWN

if TYPE_CHECKING:
    from tree_sitter import Node

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r'\\([$`"\\\n])')
_PATHNAME_EXPANSION = re.compile(r"(?<!\\)(?:\\\\)*[*?\[]")
_BLANK = re.compile(r"(?<!\\)(?:\\\\)*[ \t\n]")  # the grammar reads `} ]` as one word
_DOLLAR = re.compile(r"(?<!\\)(?:\\\\)*[$`]")  # and `$$`, `$'…'`, `$"…"` as words
_BRACES = re.compile(r"(?<!\\)(?:\\\\)*\{")

# ${x}, ${#x}, ${a[@]}, ${x:-word} and pattern removal. Not here, because bash evaluates what the variable holds:
# ${!x}, ${x@P}, ${a[$i]}, ${x:y} (arithmetic runs `$(…)` found in a variable's value, bash(1) "ARITHMETIC EVALUATION").
_PLAIN_EXPANSION = re.compile(
    r"\$\{(?:#?(?:[A-Za-z_]\w*|[0-9@*?$!#-])(?:\[(?:[@*]|\d+)\])?"
    r"(?:\}|:?[-+=?].*\}|[#%]{1,2}.*\}|/{1,2}.*\}|\^{1,2}\}|,{1,2}\}|:\s?\d+(?::\d+)?\}))",
    re.DOTALL,
)


def unescape(text: str) -> str:
    """An unquoted word without its backslashes; an escaped newline joins lines and vanishes."""
    return _ESCAPE.sub(lambda match: "" if match[1] == "\n" else match[1], text)


def plain_expansion(text: str) -> bool:
    """True for `${…}` whose evaluation can't run a command hidden in a variable's value."""
    return _PLAIN_EXPANSION.fullmatch(text) is not None


def word_value(node: Node, source: bytes) -> str | None:
    """The argument that `node` becomes, with `UNKNOWN` for what only the shell knows; None: not understood."""
    value = _part(node, source)
    if value is None:
        return None
    # One unquoted expansion makes the whole word open: `a$x` may become the two arguments `a` and `-rf`.
    return UNKNOWN if _OPEN in value else value


_OPEN = "\1"
"""Marks an unquoted expansion while a word is put together; control characters were refused before parsing."""


def _part(node: Node, source: bytes) -> str | None:
    raw = source[node.start_byte : node.end_byte].decode()
    kind = node.type
    if kind in ("word", "number"):
        if _BLANK.search(raw):
            return None
        if _DOLLAR.search(raw) or "\\\n" in raw:
            return _OPEN
        if _PATHNAME_EXPANSION.search(raw) or _BRACES.search(raw):
            return _OPEN if raw != "{}" else raw
        return unescape(raw)
    if kind == "raw_string":
        return raw[1:-1]
    if kind == "string":
        return _string(node, source)
    if kind == "concatenation":
        return _concatenation(node, source)
    if kind in _OPENING:
        return _OPEN
    return None


_OPENING = frozenset({
    "simple_expansion", "expansion", "command_substitution", "process_substitution", "arithmetic_expansion",
    "brace_expression", "ansi_c_string", "translated_string", "extglob_pattern", "array",
})  # fmt: skip


def _concatenation(node: Node, source: bytes) -> str | None:
    # A brace opened in one part and closed in another still expands: -{r,f}.
    raw = source[node.start_byte : node.end_byte].decode()
    if raw == "{}":
        return raw
    values: list[str] = []
    at = node.start_byte
    for child in node.children:
        # A bare token here is a piece that the grammar has no name for, such as two backticks.
        value = _part(child, source) if child.is_named else _OPEN
        if value is None or child.start_byte != at:
            return None
        values.append(value)
        at = child.end_byte
    if any(
        child.type == "word" and "{" in source[child.start_byte : child.end_byte].decode() for child in node.children
    ):
        return _OPEN
    if raw.startswith("$") and not node.children[0].is_named:
        return _OPEN
    return "".join(values)


def _string(node: Node, source: bytes) -> str | None:
    if source[node.start_byte : node.start_byte + 1] != b'"':
        return _OPEN
    out: list[str] = []
    at = node.start_byte + 1
    for child in node.children:
        if child.type in ("string_content", '"'):
            continue
        if not child.is_named and child.type not in ("$",):
            return None
        if child.type == "$":
            continue
        out.append(source[at : child.start_byte].decode())
        text = source[child.start_byte : child.end_byte].decode()
        # "$@" and "${a[@]}" become several arguments even in quotes.
        out.append(_OPEN if "@" in text else UNKNOWN)
        at = child.end_byte
    out.append(source[at : node.end_byte - 1].decode())
    return "".join(
        piece if piece in (UNKNOWN, _OPEN) else _QUOTED_ESCAPE.sub(lambda m: "" if m[1] == "\n" else m[1], piece)
        for piece in out
    )
