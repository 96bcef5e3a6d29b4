"""Takes out what nobody sees and writes plainly what stands for ASCII; only for a rule that asks for it."""

from __future__ import annotations

import re

from mohist.guard.covert.ignorable import allowed, sort_of
from mohist.guard.covert.kind import kinds_of
from mohist.guard.covert.lookalike import at_home, table
from mohist.guard.covert.typography import PLAIN

AROUND_CHARS = 40
_LINE_ENDS = re.compile(r"(?<![ \t])[ \t]++(?=\r?$)", re.MULTILINE)


def strip(text: str) -> str:
    """The text without hidden characters, but for those that writing needs (emoji, joiners in scripts that join).

    Characters of private use stay: what they look like is up to a font. Idempotent; ASCII comes back as it is.
    """
    if text.isascii():
        return text
    while (stripped := _stripped(text)) != text:  # what stood apart may now stand together
        text = stripped
    return text


def _stripped(text: str) -> str:
    hidden = kinds_of(text, typography=False, most=len(text)).hidden
    gone = {
        at for at in hidden if (sort := sort_of(text[at])) not in (None, "private-use") and not allowed(text, at, sort)
    }
    return "".join(character for at, character in enumerate(text) if at not in gone) if gone else text


def canonical(text: str) -> str:
    """The text as it would be typed on an ASCII keyboard wherever it only looks so.

    Hidden characters go, apostrophes, quotes, dashes, blanks and digits become ASCII's, words of look-alike letters become the
    ASCII word (single letters within a word of ASCII, too), blanks at line ends go. Idempotent. Changes prose: a rule must ask.
    """
    if not text.isascii():
        text = _spelled(strip(text).translate(PLAIN))
    return _LINE_ENDS.sub("", text)


def _spelled(text: str) -> str:
    """Words of look-alikes in ASCII, unless they stand among their like."""
    pieces, at = [], 0
    letters = {point: plain for point, plain in table().items() if point >= 0x80}
    for start, end in kinds_of(text, typography=False, most=len(text)).suspects:
        around = text[max(start - AROUND_CHARS, 0) : start] + text[end : end + AROUND_CHARS]
        if not at_home(text[start:end], text, around):
            pieces += [text[at:start], text[start:end].translate(letters)]
            at = end
    return "".join([*pieces, text[at:]])
