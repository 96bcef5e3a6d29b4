"""What in a request is not looked at: pictures, sound and documents in base64, and what a vendor sealed. All of it is told.

The rule: a string counts as media where it stands in a field for media and begins as one of the forms in `_MAGIC`, and as
sealed where it stands in a vendor's field for that, in what the vendor said, and is base64 of something other than text: a
tool's argument or a person's note called "signature" or "data" may be a key. Text behind a picture's first bytes is not found.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

from mohist.guard.block import Source

_MEDIA_KEYS = frozenset({"data", "url", "image_url", "file_data", "b64_json", "image", "audio"})
# Fields, and in whose words: thinking, redacted thinking (`data`) and reasoning are the model's; results of a vendor's own tools
# and what it makes of a long history (an item of no other kind) hold `encrypted_content`; Gemini signs calls.
_MODEL: frozenset[Source] = frozenset({"assistant"})
_SEALED: Mapping[str, frozenset[Source]] = {
    "signature": _MODEL,
    "thinking_signature": _MODEL,
    "data": _MODEL,
    "encrypted_content": frozenset({"assistant", "web", "unknown"}),
    "thought_signature": frozenset({"assistant", "tool_call"}),
}

# The first bytes of what models take: PNG, JPEG, GIF, RIFF (WebP, WAV), PDF, MP3 (ID3 and frames), Ogg, FLAC, MP4 and HEIC
# ("ftyp" behind a length), WebM, TIFF, ZIP (Office documents).
# https://en.wikipedia.org/wiki/List_of_file_signatures
_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....(?:WEBP|WAVE)|%PDF-1|%PDF-2|ID3[\x02-\x04]|\xff[\xfb\xf3\xf2]|OggS\x00|fLaC"
    rb"|\x00\x00\x00.ftyp|\x1aE\xdf\xa3|II\*\x00|MM\x00\*|PK\x03\x04",
    re.DOTALL,
)
_DATA_URL = re.compile(r"data:(?:image|audio|video|application)/[\w.+-]{1,80}(?:;[\w=-]{1,40})*;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
MIN_CHARS = 64
"""A shorter string is always looked at."""
_HEAD_CHARS = 64
_MOSTLY = 0.85
"""A share of printable bytes from which on something counts as text."""


class Skipped(NamedTuple):
    """A string that was not looked at."""

    path: str
    """A JSON pointer."""
    what: str
    """"media" or "sealed"."""
    size_chars: int


def sort_of_skipped(key: str, text: str, source: Source) -> str:
    """ "media" or "sealed" for a string that is not looked at; empty for one that is."""
    if len(text) < MIN_CHARS:
        return ""
    if key in _MEDIA_KEYS:
        head = _DATA_URL.match(text)
        start = head.end() if head else 0
        if _MAGIC.match(_decoded(text[start : start + _HEAD_CHARS])) and _BASE64.fullmatch(text, start):
            return "media"
    if source in _SEALED.get(key, ()) and _BASE64.fullmatch(text) and not _is_text(_decoded(text[: 4 * _HEAD_CHARS])):
        return "sealed"
    return ""


def _decoded(text: str) -> bytes:
    usable = text.rstrip("=").translate(_PLAIN)
    try:
        return binascii.a2b_base64(usable[: len(usable) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


_PLAIN = str.maketrans("-_", "+/")


def _is_text(data: bytes) -> bool:
    printable = sum(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in data)
    return printable >= _MOSTLY * len(data)
