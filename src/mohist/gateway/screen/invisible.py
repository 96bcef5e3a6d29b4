"""Takes out of a text what nobody can see, and writes look-alike punctuation as keyboards do."""

from __future__ import annotations

from typing import Final

_LOOK_ALIKE: Final = {
    "'": "\u2018\u2019\u201a\u201b\u02bc\u02b9\u02bb\u02c8\u00b4\u2032\uff07\ua78c",
    '"': "\u201c\u201d\u201e\u201f\u2033\uff02",
    "-": "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d",
    " ": "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
}
_INVISIBLE: Final = (
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF9, 0xFFFC),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
)
"""Default-ignorable and formatting code points: Unicode 16, DerivedCoreProperties.txt."""

_PLAIN: Final = {ord(char): keyed for keyed, chars in _LOOK_ALIKE.items() for char in chars} | dict.fromkeys(_INVISIBLE)
_HIDDEN: Final = dict.fromkeys(_INVISIBLE)


def plain(text: str) -> str:
    """The text without invisible characters, its punctuation as typed; letters stay what they are."""
    return text if text.isascii() else text.translate(_PLAIN)


def visible(text: str) -> str:
    """The text without invisible characters."""
    return text if text.isascii() else text.translate(_HIDDEN)
