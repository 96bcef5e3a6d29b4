"""Rewrites an expression so that Hyperscan and RE2 read the same in it, byte by byte.

Both engines search UTF-8 bytes. What they disagree on is written out: `\\s` (Hyperscan's has the vertical tab, RE2's has not),
and characters beyond ASCII, of which one is several bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mohist.guard.errors import GuardRuleError

_SPACE = r"\t\n\f\r "
_NOT_SPACE = r"\x00-\x08\x0b\x0e-\x1f!-\xff"
_CLOSES = "]"
# Last code point of each length of UTF-8 (RFC 3629), and the surrogates' gap, over which a range must not run.
_ENDS = (0x7F, 0x7FF, 0xD7FF, 0xFFFF, 0x10FFFF)
_LEADING_RUN = re.compile(
    r"(?P<head>(?:\(\?i:)?)(?:\\b)?(?P<run>\[(?:\\.|[^\]\\])+\])(?:\{(?P<least>\d+),\d*\}|(?P<sign>[+*]))\??"
)
_UNREADABLE = {"p": "Unicode properties", "P": "Unicode properties", "Q": "quoting", "C": "single bytes"}


def rewritten(expression: str) -> str:
    """The expression in ASCII, for both engines in byte mode.

    Raises:
        GuardRuleError: it holds what can't be searched in bytes.
    """
    out: list[str] = []
    at = 0
    while at < len(expression):
        character = expression[at]
        if character == "\\":
            out.append(_escape(expression, at, inside=False))
            at += 2
        elif character == "[":
            text, at = _character_class(expression, at)
            out.append(text)
        else:
            out.append(character if character.isascii() else _bytes([(ord(character), ord(character))]))
            at += 1
    return "".join(out)


def eased(expression: str) -> str:
    """What ends wherever the expression ends, and maybe elsewhere, for less work: a run that an expression begins with is cut to
    its least length, `\\b[a-z]{1,64}@` to `[a-z]{1}@`. Fit to say where to look, not what is there.

    Args:
        expression: rewritten.
    """
    found = _LEADING_RUN.match(expression)
    if found is None:
        return expression
    least = int(found["least"] or (0 if found["sign"] == "*" else 1))
    return f"{found['head']}{found['run']}{{{least}}}{expression[found.end() :]}" if least else expression


def words(keywords: Iterable[str]) -> str:
    """An expression for one of these words in any case, as both engines read it."""
    return f"(?i:{'|'.join(rewritten(re.escape(word)) for word in keywords)})"


def _escape(expression: str, at: int, *, inside: bool) -> str:
    following = expression[at + 1 : at + 2]
    if not following:
        raise GuardRuleError("An expression ends in a lone backslash.")
    if following in _UNREADABLE:
        raise GuardRuleError(
            f"An expression asks for {_UNREADABLE[following]} (\\{following}), which a search in bytes has not.",
            "Write the characters out.",
        )
    if not following.isascii():
        raise GuardRuleError("An expression escapes a character beyond ASCII.", "Write it without the backslash.")
    if following == "s":
        return _SPACE if inside else f"[{_SPACE}]"
    if following == "S":
        return _NOT_SPACE if inside else f"[^{_SPACE}]"
    return f"\\{following}"


def _character_class(expression: str, start: int) -> tuple[str, int]:
    """The class that opens at `start`, and where the text after it begins."""
    at = start + 1
    negated = expression[at : at + 1] == "^"
    at += negated
    ascii_part: list[str] = []
    wide: list[tuple[int, int]] = []
    first = True
    while True:
        if at >= len(expression):
            raise GuardRuleError("An expression opens a class with '[' and does not close it.")
        character = expression[at]
        if character == _CLOSES and not first:
            break
        first = False
        if expression.startswith("[:", at) and (end := expression.find(":]", at)) > 0:
            ascii_part.append(expression[at : end + 2])
            at = end + 2
        elif character == "\\":
            ascii_part.append(_escape(expression, at, inside=True))
            at += 2
        elif character.isascii():
            if expression[at + 1 : at + 2] == "-" and expression[at + 2 : at + 3] > "\x7f":
                raise GuardRuleError("A range in a class begins in ASCII and ends beyond it.", "Write two ranges.")
            # A bracket that stands for itself means the same to both engines only when it is escaped.
            ascii_part.append(f"\\{character}" if character in "[]" else character)
            at += 1
        else:
            last = expression[at + 2] if expression[at + 1 : at + 2] == "-" and at + 2 < len(expression) else ""
            if last and last != _CLOSES:
                if last <= character:
                    raise GuardRuleError("A range in a class runs backwards.")
                wide.append((ord(character), ord(last)))
                at += 3
            else:
                wide.append((ord(character), ord(character)))
                at += 1
    if not wide:
        return f"[{'^' if negated else ''}{''.join(ascii_part)}]", at + 1
    if negated:
        raise GuardRuleError(
            "A negated class names characters beyond ASCII, which a search in bytes can't tell apart.",
            "Say what may stand there instead.",
        )
    narrow = f"[{''.join(ascii_part)}]|" if ascii_part else ""
    return f"(?:{narrow}{_bytes(wide)})", at + 1


def _bytes(ranges: list[tuple[int, int]]) -> str:
    """Ranges of code points as alternatives of byte sequences, which have no case."""
    pieces = [piece for low, high in ranges for piece in _sequences(low, high)]
    return f"(?:{'|'.join(pieces)})"


def _sequences(low: int, high: int) -> Iterator[str]:
    """Splits a range where the encoded length or a leading byte changes."""
    for end in _ENDS:
        if low > high:
            return
        if low <= end:
            if 0xD800 <= low <= 0xDFFF:
                low = 0xE000
            if low <= min(high, end):
                yield from _same_length(chr(low).encode(), chr(min(high, end)).encode())
            low = max(low, end + 1)


def _same_length(low: bytes, high: bytes) -> Iterator[str]:
    if len(low) == 1 or low == high:
        yield "".join(_span(first, last) for first, last in zip(low, high, strict=True))
        return
    if low[0] == high[0]:
        head = _span(low[0], low[0])
        for rest in _same_length(low[1:], high[1:]):
            yield head + rest
        return
    tail = len(low) - 1
    first, last = low[0], high[0]
    if low[1:] != b"\x80" * tail:
        for rest in _same_length(low[1:], b"\xbf" * tail):
            yield _span(first, first) + rest
        first += 1
    after: list[str] = []
    if high[1:] != b"\xbf" * tail:
        after = [_span(last, last) + rest for rest in _same_length(b"\x80" * tail, high[1:])]
        last -= 1
    if first <= last:
        yield _span(first, last) + _span(0x80, 0xBF) * tail
    yield from after


def _span(low: int, high: int) -> str:
    return f"\\x{low:02x}" if low == high else f"[\\x{low:02x}-\\x{high:02x}]"
