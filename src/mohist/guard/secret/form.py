"""The forms in which a known secret may stand in a text: as it is, or encoded by somebody who did not mean to hide it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

FORM_MIN_BYTES = 8
"""Shorter forms would be found by chance."""
_ENCODED_MIN_BYTES = 12


def forms(value: str) -> dict[bytes, str]:
    """Each form in UTF-8, with its name; those that are too short, or the same as another, are left out."""
    found: dict[bytes, str] = {}
    for name, form in _forms(value.encode("utf-8")):
        least = FORM_MIN_BYTES if name == "plain" else _ENCODED_MIN_BYTES
        if len(form) >= least:
            found.setdefault(form, name)
    return found


def _forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "plain", value
    text = value.decode("utf-8")
    for name, form in (
        ("url", quote(text, safe="")),
        ("url", quote_plus(text)),
        ("json", json.dumps(text)[1:-1]),
        ("json", json.dumps(text, ensure_ascii=False)[1:-1]),
        ("hex", value.hex()),
        ("hex", value.hex().upper()),
    ):
        yield name, form.encode("utf-8")
    for offset in range(3):
        standard = _aligned(value, offset)
        yield "base64", standard
        yield "base64", standard.replace(b"+", b"-").replace(b"/", b"_")


def _aligned(value: bytes, offset: int) -> bytes:
    """What base64 makes of the value where `offset` (0 to 2) bytes stand before it in a group, without the characters at both
    ends that depend on what stands around it."""
    encoded = base64.b64encode(bytes(offset) + value)
    first = (offset * 8 + 5) // 6
    return encoded[first : (offset + len(value)) * 8 // 6]
