"""Placeholders that keep a form, for values that somebody checks: each from a number that is the value's alone.

Ranges that belong to nobody are used where a standard has one; else the result may be somebody's, as any number may.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

Form = Callable[[str, int], str | None]
"""Makes a placeholder of the form of a value from a number of 256 bits; None: the value has not that form."""

_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""GB 11643-1999, ISO 7064 MOD 11-2."""
_USCC: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""GB 32100-2015."""
_SPAN_DAYS: Final = 20_000


def email(value: str, number: int) -> str | None:
    """An address in a domain that there can't be (RFC 2606), 16 characters long."""
    if value.count("@") != 1:
        return None
    name = "".join(_LETTERS[number >> 5 * place & 31] for place in range(6))
    return f"{name}@x.invalid"


def digits(value: str, number: int) -> str | None:
    """Other digits in the same places, but for a country's code and the first three of a number."""
    head = re.match(r"\+\d{1,3}(?=\D)", value)
    kept = len(head[0]) if head else 0
    out, seen = list(value), 0
    for place, char in enumerate(value):
        if place >= kept and char.isdigit():
            seen += 1
            if seen > 3:
                number, digit = divmod(number, 10)
                out[place] = str(digit)
    return "".join(out) if seen > 5 else None


def card(value: str, number: int) -> str | None:
    """A number of the same length and grouping, whose Luhn digit is right."""
    places = [place for place, char in enumerate(value) if char.isdigit()]
    if len(places) < 12:
        return None
    new = [int(value[places[0]])]
    for _ in places[1:-1]:
        number, digit = divmod(number, 10)
        new.append(digit)
    new.append(_luhn(new))
    out = list(value)
    for place, digit in zip(places, new, strict=True):
        out[place] = str(digit)
    return "".join(out)


def resident(value: str, number: int) -> str | None:
    """A Chinese resident's id with a right check digit, of a region that is not assigned."""
    if len(value) != 18:
        return None
    number, days = divmod(number, _SPAN_DAYS)
    born = date(1949, 10, 1) + timedelta(days=days)
    body = f"9999{number % 100:02}{born:%Y%m%d}{number // 100 % 1000:03}"
    rest = sum(int(digit) * weight for digit, weight in zip(body, _ID_WEIGHTS, strict=True)) % 11
    return body + "10X98765432"[rest]


def company(value: str, number: int) -> str | None:
    """A Chinese company's code (USCC) with right check signs, of a region that is not assigned."""
    if len(value) != 18:
        return None
    body = ""
    for _ in range(8):
        number, sign = divmod(number, 10)
        body += str(sign)
    rest = 11 - sum(int(sign) * weight for sign, weight in zip(body, (3, 7, 9, 10, 5, 8, 4, 2), strict=True)) % 11
    code = "91999999" + body + ("0" if rest == 11 else "X" if rest == 10 else str(rest))
    total = sum(_USCC.index(sign) * pow(3, place, 31) for place, sign in enumerate(code))
    return code + _USCC[(31 - total % 31) % 31]


def iban(value: str, number: int) -> str | None:
    """An account of the same country and length with right check digits (ISO 13616)."""
    places = [place for place, char in enumerate(value) if char.isalnum()]
    plain = "".join(value[place] for place in places).upper()
    if len(plain) < 15 or not plain[:2].isalpha():
        return None
    body = ""
    for _ in plain[4:]:
        number, digit = divmod(number, 10)
        body += str(digit)
    moved = body + "".join(str(ord(char) - 55) for char in plain[:2]) + "00"
    out = list(value)
    for place, char in zip(places, f"{plain[:2]}{98 - int(moved) % 97:02}{body}", strict=True):
        out[place] = char
    return "".join(out)


def address(value: str, number: int) -> str | None:
    """An address of 198.18.0.0/15, which no network has (RFC 2544)."""
    if value.count(".") != 3:
        return None
    return f"198.{18 + (number & 1)}.{number >> 1 & 255}.{number >> 9 & 255}"


def _luhn(body: list[int]) -> int:
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = digit * 2 if place % 2 == 0 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "personal.email": email,
        "personal.phone": digits,
        "personal.cn.mobile": digits,
        "personal.cn.phone": digits,
        "personal.card": card,
        "personal.cn.bank-card": card,
        "personal.cn.resident-id": resident,
        "personal.cn.credit-code": company,
        "personal.us.ssn": digits,
        "personal.iban": iban,
        "personal.ip": address,
    }
)
"""By data class."""
