"""Proofs that need no network: checksums and structures that a format carries in itself.

Each looks at a value and says what follows: `True`, it is one by construction; `False`, it has the shape and fails its own
check, so that it is an example, altered, or cut; `None`, nothing can be said.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from zlib import crc32

Validator = Callable[[str], bool | None]

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


_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]*)-----(.*?)-----END", re.DOTALL)
_PEM_NOISE = re.compile(r"\\[nrt]|[^A-Za-z0-9+/=]")


def pem(value: str) -> bool | None:
    """RFC 7468 and OpenSSH's own: the body is base64, and of DER or of "openssh-key-v1"; line ends may be escaped or gone."""
    found = _PEM.search(value)
    if not found:
        return None
    label, body = found.groups()
    if "PGP" in label or "Proc-Type" in body:  # armour headers come first; encrypted keys have no DER
        return None
    text = _PEM_NOISE.sub("", body)
    try:
        data = base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return False
    if data.startswith(b"openssh-key-v1\0"):
        return True
    return _der_length(data) if len(data) >= 32 else False


def _der_length(data: bytes) -> bool:
    """A sequence (X.690) whose length is that of the data, give or take what a cut last line loses."""
    if data[0] != 0x30:
        return False
    if data[1] < 0x80:
        size, head = data[1], 2
    else:
        count = data[1] & 0x7F
        size, head = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    return 1 <= head <= 6 and abs(head + size - len(data)) <= 3


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


def base64_pair(value: str) -> bool | None:
    """Basic authentication (RFC 7617): base64 of "name:password", both there, and readable."""
    data = _unpadded(value.rstrip("=").replace("+", "-").replace("/", "_"))
    try:
        name, colon, password = (data or b"").decode("utf-8").partition(":")
    except UnicodeDecodeError:
        return False
    return None if colon and len(password) >= 4 and (name + password).isprintable() else False


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
    "discord": discord,
    "base58check": base58check,
}
"""By the name that rules use."""
