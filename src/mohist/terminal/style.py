"""Colour where it is wanted, and text that can't play tricks on a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import IO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
# C0 and C1 controls but newline and tab; bidi controls, which can show a line other than it is
# (https://trojansource.codes/).
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Style:
    """Wraps text in colour, or leaves it as it is."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    @classmethod
    def of(cls, stream: IO[str], env: Mapping[str, str]) -> Style:
        """Colour only on a terminal, and never against NO_COLOR (https://no-color.org/) or TERM=dumb."""
        return cls(stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb")

    def __call__(self, name: str, text: str) -> str:
        return f"\x1b[{_CODES[name]}m{text}\x1b[0m" if self.colour and text else text


def plain(text: str) -> str:
    """`text` with every character that could move the cursor, colour or reorder shown as U+FFFD."""
    return _UNSAFE.sub("\ufffd", text)


def tokens(count: int) -> str:
    """`950`, `12.4k`, `1.2M`."""
    if count < 1000:
        return str(count)
    if count < 1_000_000:
        return f"{count / 1000:.1f}k"
    return f"{count / 1_000_000:.1f}M"


def money(microusd: int | None) -> str:
    """`$0.0123`; an unknown price is said, never shown as zero."""
    return "price unknown" if microusd is None else f"${microusd / 1e6:.4f}"


def duration(milliseconds: int) -> str:
    """`12 ms`, `1.4 s`, `2 min 5 s`."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
