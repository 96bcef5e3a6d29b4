"""Canonical JSON: one value, one byte string.

The subset of RFC 8785 (JCS) without floats: sorted keys, no spaces, and ASCII escapes, so that
U+2028 and NUL can't tear a line-based log (https://www.rfc-editor.org/rfc/rfc8785).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Bytes of `value` (dict, list, str, int, bool, None; floats are refused with ValueError).

    Lone surrogates survive as escapes. Keys sort by code point.
    """
    _refuse_floats(value)
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data`, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError(f"canonical JSON holds no floats, found {value!r}; use an integer in a smaller unit")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"canonical JSON keys are strings, found {key!r}")
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
