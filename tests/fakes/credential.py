"""Credentials that nobody has, made anew by each test, so that no file holds one."""

from __future__ import annotations

import secrets
import string
import zlib

_SIGNS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def github_token() -> str:
    """A token as GitHub makes them: 30 random signs and a checksum of them."""
    body = "".join(secrets.choice(_SIGNS) for _ in range(30))
    rest, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        rest, place = divmod(rest, 62)
        check = _SIGNS[place] + check
    return "ghp_" + body + check
