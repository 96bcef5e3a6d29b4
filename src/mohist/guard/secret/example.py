"""Examples of rules are written with templates, `ghp_{alnum:36}`, so that nothing that looks like a secret is kept in a file.

A template is filled from a seed: the same text has the same example each time.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits
from zlib import crc32

from mohist.guard.errors import GuardRuleError
from mohist.guard.secret.validator import base62

_TEMPLATE = re.compile(r"\{([a-z0-9]+)(?::(\d{1,4}))?\}")
_ALPHABETS: Mapping[str, str] = {
    "hex": "0123456789abcdef",
    "bighex": "0123456789ABCDEF",
    "digits": digits,
    "lower": ascii_lowercase,
    "upper": ascii_uppercase + digits,
    "alnum": ascii_letters + digits,
    "b32": ascii_uppercase + "234567",
    "b64": ascii_letters + digits + "+/",
    "b64url": ascii_letters + digits + "-_",
}
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DEFAULT_LENGTH = 32


def filled(template: str) -> str:
    """The example that a template stands for; braces of another form stay as they are.

    Forms: {hex:32}, {bighex:8}, {digits:12}, {lower:8}, {upper:16} (with digits), {alnum:36}, {b32:16}, {b64:44}, {b64url:43};
    {uuid}; {snowflake} and {wif}, as Discord and Bitcoin have them; {basic}, base64 of a name and a password; {crc62:30}, that many characters and their checksum as GitHub's tokens
    have it; {nkey}, {der:200}, a key in DER of so many bytes, in base64.
    """
    source = random.Random(crc32(template.encode("utf-8")))  # noqa: S311 - examples must be the same each time
    return _TEMPLATE.sub(lambda found: _piece(found[0], found[1], found[2], source), template)


def _piece(whole: str, form: str, length: str | None, source: random.Random) -> str:
    if form in _ALPHABETS:
        size = int(length) if length else _DEFAULT_LENGTH
        return "".join(source.choice(_ALPHABETS[form]) for _ in range(size))
    if form in _MADE:
        return _MADE[form](source, int(length) if length else 0)
    if length:
        raise GuardRuleError(
            f"An example holds {whole!r}, which is no template.",
            f"There are {', '.join(sorted([*_ALPHABETS, *_MADE]))}.",
        )
    return whole


def _of(alphabet: str, size: int, source: random.Random) -> str:
    return "".join(source.choice(_ALPHABETS[alphabet]) for _ in range(size))


def _uuid(source: random.Random, _size: int) -> str:
    return "-".join(_of("hex", size, source) for size in (8, 4, 4, 4, 12))


def _basic(source: random.Random, _size: int) -> str:
    return base64.b64encode(f"robot:{_of('alnum', 16, source)}".encode()).decode()


def _crc62(source: random.Random, size: int) -> str:
    body = _of("alnum", size or 30, source)
    return body + base62(crc32(body.encode()), 6)


def _nkey(source: random.Random, _size: int) -> str:
    # Seed of a user: the first byte begins "S", the next five bits name the kind (nkeys).
    data = bytes([0x90 | 20 << 3 >> 5, 0]) + source.randbytes(32)
    state = 0
    for byte in data:
        state ^= byte << 8
        for _ in range(8):
            state = (state << 1 ^ 0x1021 if state & 0x8000 else state << 1) & 0xFFFF
    return base64.b32encode(data + state.to_bytes(2, "little")).decode().rstrip("=")


def _der(source: random.Random, size: int) -> str:
    body = b"\x02\x01\x00" + source.randbytes(max(size, 40) - 7)
    return base64.b64encode(b"\x30\x82" + len(body).to_bytes(2, "big") + body).decode()


def _snowflake(source: random.Random, _size: int) -> str:
    return base64.b64encode(f"1{_of('digits', 17, source)}".encode()).decode()


def _wif(source: random.Random, _size: int) -> str:
    data = b"\x80" + source.randbytes(32) + b"\x01"
    number = int.from_bytes(data + sha256(sha256(data).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, rest = divmod(number, 58)
        text = _BASE58[rest] + text
    return text


_MADE: Mapping[str, Callable[[random.Random, int], str]] = {
    "uuid": _uuid,
    "basic": _basic,
    "crc62": _crc62,
    "nkey": _nkey,
    "der": _der,
    "snowflake": _snowflake,
    "wif": _wif,
}
