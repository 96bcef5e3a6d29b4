"""Text in, syntax tree out, or a refusal: the one place that knows the parser.

tree-sitter-bash is made for editors: it recovers, and it drops text. Here a tree is only handed on when it has no
error and accounts for every byte of the line.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_LINE_BYTES: Final = 16_384
"""The parser's worst inputs cost quadratic time: about a second at this size."""


class RefusalError(Exception):
    """Leaves the analysis; `syntax.analyse` turns it into `CannotAnalyse`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(text: str) -> tuple[bytes, Node]:
    """The line's bytes and the root of its tree. Raises RefusalError."""
    source = _checked(text)
    root = _parser().parse(source).root_node
    if root.has_error or not _covers(root, source):
        raise RefusalError("it is not a complete shell command")
    return source, root


@cache
def _parser() -> Parser:
    # Imported with the first command line, not with the program.
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


# bash takes a backslash and a newline away and joins what is around them; the grammar takes them for white space.
_JOINS_WORDS = re.compile(r"(?<![ \t])\\\n")


def _checked(text: str) -> bytes:
    if len(text) > MAX_LINE_BYTES:
        raise RefusalError(f"it is longer than {MAX_LINE_BYTES} bytes")
    if _JOINS_WORDS.search(text):
        raise RefusalError("a backslash at the end of a line joins two words")
    for char in text:
        # Other white space than bash's own divides words for one of the two parsers only; control and format
        # characters hide what runs from the person who is asked.
        if char not in "\n\t" and (not char.isprintable() or (char.isspace() and char != " ")):
            raise RefusalError(f"it holds the character U+{ord(char):04X}, which hides what it does")
    try:
        source = text.encode()
    except UnicodeEncodeError:
        raise RefusalError("it is not valid Unicode") from None
    if len(source) > MAX_LINE_BYTES:
        raise RefusalError(f"it is longer than {MAX_LINE_BYTES} bytes")
    return source


# Between these the grammar leaves plain text that belongs to them.
_HOLDS_TEXT = frozenset({"string", "heredoc_body", "raw_string", "ansi_c_string", "comment", "expansion", "regex"})
_GAP = re.compile(rb"(?:[ \t\n]|\\\n)*")


def _covers(root: Node, source: bytes) -> bool:
    """True when no byte but white space is missing from the tree, and no word is cut in two.

    The grammar drops text in places: of `python - <<EOF` it loses the dash.
    """
    at = root.start_byte
    if source[:at].strip(b" \t\n"):
        return False
    cursor, down = root.walk(), True
    while True:
        node = cursor.node
        assert node is not None
        leaf = not node.children or node.type in _HOLDS_TEXT
        if down and leaf and node.end_byte > node.start_byte:
            gap = source[at : node.start_byte]
            dash = gap.strip(b" \t") == b"-" and node.type in ("<<", "<<-")
            if not dash and _GAP.fullmatch(gap) is None:
                return False
            at = max(at, node.end_byte)
        if down and not leaf and cursor.goto_first_child():
            continue
        if cursor.goto_next_sibling():
            down = True
            continue
        if not cursor.goto_parent():
            return _GAP.fullmatch(source[at:]) is not None
        down = False
