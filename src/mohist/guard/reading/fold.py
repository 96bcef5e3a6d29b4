"""Reads look-alike characters as the ASCII ones they pass for, and leaves out those that are not seen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from mohist.guard.reading.draft import Spot, redraw
from mohist.guard.reading.trigger import lines
from mohist.guard.view import View

# Letters of other scripts whose usual glyph is that of an ASCII letter. Facts of Unicode's confusables
# (https://www.unicode.org/Public/security/latest/confusables.txt); full-width and mathematical forms fold by NFKC.
_LOOK_ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХԌԚԜҮаеѕіјорсухԁԛԝһӏгкмтѵΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυγκϲϳՕՍօսոհցյքԼᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏚᎢᏙᎳᏃɡɑɩıʟɪʀʏ",
    "ABESIJKMHOPCTYXGQWYaesijopcyxdqwhlrkmtvABEZHIKMNOPTYXaivopuykcjOUounhgjqLABCDEHJKLMPSTVWZgaiiLIRY",
)
_UNSEEN = "\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef"
_LEFT_OUT = re.compile(f"[{_UNSEEN}]+")
_FOLDED = re.compile(
    f"[{_UNSEEN}]+|[\u0370-\u058f\u0250-\u02af\u0131\u13a0-\u13ff\u1d00-\u1dbf\u2460-\u24ff\uff01-\uff5e\U0001d400-\U0001d7ff\U0001f100-\U0001f1ff]"
)


def unicode(view: View, start: int = 0) -> View | None:
    """With full-width, mathematical, Cyrillic and Greek look-alikes read as ASCII, and unseen characters left out."""
    return redraw(view, "unicode", _spots(view, start))


def _spots(view: View, first: int) -> Iterator[Spot]:
    text = view.text
    known: dict[str, str] = {}
    for low, high in lines(view, "unicode", first):
        for found in _FOLDED.finditer(text, low, high):
            spelled = found[0]
            folded = known.get(spelled)
            if folded is None:
                folded = known[spelled] = _fold(spelled)
            if folded != spelled:
                yield *found.span(), folded, None


def _fold(spelled: str) -> str:
    if _LEFT_OUT.fullmatch(spelled):
        # Tag characters spell ASCII (Unicode 23.9); as a text of their own they are a covert channel.
        return ""
    return unicodedata.normalize("NFKC", spelled).translate(_LOOK_ALIKE)
