"""Proofs that need no network: checksums and structures that a format carries in itself.

Each looks at a value and says what follows (`Verdict`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final, Literal
from zlib import crc32

from mohist.guard.secret.word import wordlike

DOUBTFUL: Final = "doubtful"
"""It has its form, and what it holds is rather made for show: masked, not blocked."""
NOT_ONE: Final = "not one"
"""It has nothing of what makes it a secret: neither."""
Verdict = bool | Literal["doubtful", "not one"] | None
"""True: proved. None: nothing speaks against it. False: its form is unmistakable, and its own check fails."""
Validator = Callable[[str], Verdict]
_WORDED = 2.0
"""Characters to a piece (see `word.wordlike`) from which on a password is made of words."""

_BASE62 = digits + ascii_uppercase + ascii_lowercase
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP 173
_BECH32_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_AWS_ACCOUNT_MASK = 0x7FFFFFFFFF80
_AWS_ACCOUNT_MAX = 10**12
_CRC16_POLYNOMIAL = 0x1021


def base62(number: int, length: int) -> str:
    """A number in GitHub's alphabet, with leading zeros."""
    text = ""
    while number:
        number, rest = divmod(number, 62)
        text = _BASE62[rest] + text
    return text.rjust(length, "0")


def github(value: str) -> bool | None:
    """GitHub's tokens and npm's: a prefix, 30 characters, and their CRC-32 in base 62, 6 characters.

    github.blog/2021-04-05-behind-githubs-new-authentication-token-formats
    """
    prefix, _, body = value.partition("_")
    if len(body) != 36 or not prefix:
        return None
    return base62(crc32(body[:30].encode()), 6) == body[30:]


def grafana(value: str) -> bool | None:
    """Grafana's service accounts: CRC-32 of all before the last "_", as 8 hex digits, low byte first (grafana/grafana, satokengen)."""
    head, _, check = value.rpartition("_")
    if len(check) != 8:
        return None
    return crc32(head.encode()).to_bytes(4, "little").hex() == check.lower()


def aws_id(value: str) -> bool | None:
    """AWS key ids carry their account's number, at most 12 digits, in base 32; one in ten random ids fails."""
    try:
        number = int.from_bytes(base64.b32decode(value[4:])[:6], "big")
    except (binascii.Error, ValueError):
        return False
    return None if (number & _AWS_ACCOUNT_MASK) >> 7 < _AWS_ACCOUNT_MAX else False


def _unpadded(text: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None


def jwt(value: str) -> bool | None:
    """RFC 7519: the first part is a JSON object with `alg`; `none` signs nothing."""
    head = _unpadded(value.partition(".")[0])
    if head is not None and b'"alg"' not in head and head.startswith(b"eyJ"):
        head = _unpadded(head.partition(b".")[0].decode("ascii", "replace"))
    try:
        fields = json.loads(head or b"")
    except ValueError:
        return False
    return None if isinstance(fields, dict) and isinstance(fields.get("alg"), str) else False


_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]*)-----(.*?)(?:-----END|-----BEGIN|\Z)", re.DOTALL)
_PEM_NOISE = re.compile(r"\\[nrt]|[^A-Za-z0-9+/=]")
_PEM_HEADER = re.compile(r"(?:Proc-Type|DEK-Info|Version|Comment|Hash): ?[^\\\n\r]*")
_OPENSSH = b"openssh-key-v1\0"
_KEY_MIN_BYTES = 32
"""The least that a private key takes: the curve 25519's, without any frame."""
_PGP_SECRET_TAGS = frozenset({0x94, 0x95, 0x96, 0xC5})
"""First byte of a secret key's packet, old and new form (RFC 9580 section 4.2, tag 5)."""


def pem(value: str) -> Verdict:
    """RFC 7468 and OpenSSH's own: the body is base64, and of DER or of "openssh-key-v1"; line ends may be escaped or gone.

    What is between the lines and is no key at all (dots, a variable, code that makes one) is `NOT_ONE`.
    """
    found = _PEM.search(value)
    if not found:
        return None
    label, body = found.groups()
    data = _decoded(_PEM_HEADER.sub("", body))
    if data is None or len(data) < _KEY_MIN_BYTES:
        return NOT_ONE
    if "PGP" in label:
        return None if data[0] in _PGP_SECRET_TAGS else False
    if "Proc-Type" in body:  # encrypted as a whole, so there is no DER
        return None
    return True if data.startswith(_OPENSSH) else _der_share(data) == 1


def cut_key(value: str) -> Verdict:
    """A private key that may be cut short, with or without its PEM lines: half of what its first bytes promise must be there.

    Manuals show a key's first line, and there is no way from it to the key.
    """
    found = _PEM.search(value)
    data = _decoded(_PEM_HEADER.sub("", found[2]) if found else value)
    if data is None or len(data) < _KEY_MIN_BYTES:
        return NOT_ONE if found else False
    if found and "Proc-Type" in found[2]:
        return None
    if data.startswith(_OPENSSH) or data[0] in _PGP_SECRET_TAGS:
        return None if len(data) >= 4 * _KEY_MIN_BYTES else False
    return None if _der_share(data) >= 0.5 else False


def _decoded(body: str) -> bytes | None:
    text = _PEM_NOISE.sub("", body)
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return None


def _der_share(data: bytes) -> float:
    """How much there is of a sequence (X.690), by the length that it states: 1 for all, give or take what a cut last line loses; 0 if it
    is none."""
    if data[0] != 0x30:
        return 0.0
    if data[1] < 0x80:
        size, head = data[1], 2
    else:
        count = data[1] & 0x7F
        size, head = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if head + size < 3 or head > 6:
        return 0.0
    return 1.0 if abs(head + size - len(data)) <= 3 else min(len(data) / (head + size), 0.99)


def bech32(value: str) -> bool | None:
    """age's secret keys: the checksum of BIP 173."""
    prefix, _, body = value.lower().rpartition("1")
    if not prefix or len(body) < 6 or any(character not in _BECH32 for character in body):
        return False
    numbers = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32.index(c) for c in body]
    state = 1
    for number in numbers:
        top, state = state >> 25, (state & 0x1FFFFFF) << 5 ^ number
        for bit, generator in enumerate(_BECH32_GENERATORS):
            state ^= generator if top >> bit & 1 else 0
    return state == 1


def nkey(value: str) -> bool | None:
    """Seeds of NATS (nkeys): base 32 that ends in its CRC-16/XMODEM, low byte first."""
    try:
        data = base64.b32decode(value + "=" * (-len(value) % 8))
    except (binascii.Error, ValueError):
        return False
    if len(data) < 3:
        return False
    state = 0
    for byte in data[:-2]:
        state ^= byte << 8
        for _ in range(8):
            state = (state << 1 ^ _CRC16_POLYNOMIAL if state & 0x8000 else state << 1) & 0xFFFF
    return state.to_bytes(2, "little") == data[-2:]


def luhn(value: str) -> bool | None:
    """ISO/IEC 7812's check digit, over the digits alone."""
    numbers = [int(character) for character in value if character in digits]
    if len(numbers) < 2:
        return False
    doubled = [
        number if place % 2 == 0 else (number * 2 - 9 if number > 4 else number * 2)
        for place, number in enumerate(reversed(numbers))
    ]
    return sum(doubled) % 10 == 0


def base64_pair(value: str) -> Verdict:
    """Basic authentication (RFC 7617): base64 of "name:password", both there, and readable.

    Any word is of that alphabet, so what does not decode is `NOT_ONE`; a password made of words, or the name again, is `DOUBTFUL`.
    """
    data = _unpadded(value.rstrip("=").replace("+", "-").replace("/", "_"))
    try:
        name, colon, password = (data or b"").decode("utf-8").partition(":")
    except UnicodeDecodeError:
        return NOT_ONE
    if not colon or len(password) < 4 or not (name + password).isprintable():
        return NOT_ONE
    worded = password.isascii() and (password.isalpha() or wordlike(password) >= _WORDED)
    return DOUBTFUL if password == name or worded or len(set(password)) < 4 else None


def discord(value: str) -> bool | None:
    """Tokens of Discord's bots begin with the bot's number, 17 to 20 digits, in base64."""
    number = _unpadded(value.partition(".")[0])
    return number is not None and number.isdigit() and 17 <= len(number) <= 20


def base58check(value: str) -> bool | None:
    """Bitcoin's keys: base 58 that ends in four bytes of a double SHA-256 of the rest."""
    number = 0
    for character in value:
        place = _BASE58.find(character)
        if place < 0:
            return False
        number = number * 58 + place
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return len(data) > 4 and sha256(sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


VALIDATORS: Mapping[str, Validator] = {
    "github": github,
    "grafana": grafana,
    "aws-id": aws_id,
    "jwt": jwt,
    "pem": pem,
    "bech32": bech32,
    "nkey": nkey,
    "luhn": luhn,
    "basic": base64_pair,
    "cut-key": cut_key,
    "discord": discord,
    "base58check": base58check,
}
"""By the name that rules use."""
