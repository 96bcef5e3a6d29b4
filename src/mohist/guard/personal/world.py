"""Email, telephone, IBAN, addresses of machines, social security numbers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from mohist.guard.detector import Match
from mohist.guard.personal.checksum import iban
from mohist.guard.personal.judge import Judge, Judged, bare, joins, near, spotter
from mohist.guard.personal.pattern import PHONE_WORDS, SSN_WORDS

_PHONE = spotter(PHONE_WORDS)
_SSN = spotter(SSN_WORDS)

_MACHINE_LOCAL = re.compile(
    r"no-?reply|do-?not-?reply|^git$|^user(?:name)?$|^example$|^test$|^foo$|^bar$|^you$|^me$", re.I
)
# RFC 2606 and RFC 6761, and what stands in their place in practice.
_MADE_UP_DOMAIN = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost|local|internal)$|(?:^|\.)(?:example|domain|company|foo|bar|email|mail|acme)\.(?:com|org|net|co|io)$"
    r"|(?:^|\.)noreply\.|^noreply\.",
    re.I,
)
# Endings of files that stand behind an @ ("icon@2x.png", "pkg@v1.js").
_FILE_ENDINGS = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "jsx", "tsx", "css", "scss", "json", "html", "htm", "py", "rs", "go", "md", "txt", "xml", "yml", "yaml", "so"))  # fmt: skip
_CREDITS = ("copyright", "(c)", "©", "author", "maintain", "contribut", "signed-off", "reviewed-by", "reported-by", "@param", "license")  # fmt: skip


def _line(text: str, start: int, end: int) -> str:
    first = text.rfind("\n", max(start - 400, 0), start) + 1
    last = text.find("\n", end, end + 400)
    return text[max(first, start - 400) : last if last >= 0 else end + 400]


def email(text: str, match: Match) -> Judged | None:
    """An address; one of a machine, of a made-up domain or of a credit line hardly counts."""
    start, end = match.value_start, match.value_end
    local, _, domain = text[start:end].rpartition("@")
    while local[:1] in (".", "-", "+", "%"):
        local, start = local[1:], start + 1
    ending = domain.rpartition(".")[2].lower()
    if not local or ending in _FILE_ENDINGS or domain.startswith(("-", ".")) or ".." in domain:
        return None
    if text[start - 1 : start] in ("/", ":") and text[end : end + 1] in (":", "/"):
        return None  # "ssh://git@host.org/…": whom a server is asked as
    if local == "git" and text[end : end + 1] == ":":
        return None  # "git@host.org:path"
    if _MACHINE_LOCAL.search(local) or _MADE_UP_DOMAIN.search(domain) or text[end : end + 1] == "(":
        return Judged(start, end, 0.2, "personal.email", "a machine's address or a made-up domain")
    line = _line(text, start, end).lower()
    if any(words in line for words in _CREDITS):
        return Judged(start, end, 0.3, "personal.email", "in a line of credits")
    return Judged(start, end, 0.8, "personal.email")


# ITU-T E.164 (List of assigned country codes, 2024): those of one and two digits; all others have three.
_SHORT_CODES = frozenset(("1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98"))  # fmt: skip
_LONG_HEADS = frozenset(("21", "22", "23", "24", "25", "26", "29", "35", "37", "38", "42", "50", "59", "67", "68", "69", "80", "85", "87", "88", "96", "97", "99"))  # fmt: skip


def phone(text: str, match: Match) -> Judged | None:
    """An international number; without grouping only next to a word for it."""
    start, end = match.value_start, match.value_end
    value = text[start:end]
    digits = re.sub(r"\D", "", value)
    if not 8 <= len(digits) <= 15 or not bare(text, start, end, also="_") or value.count("(") != value.count(")"):
        return None
    if digits[0] not in _SHORT_CODES and digits[:2] not in _SHORT_CODES and digits[:2] not in _LONG_HEADS:
        return None
    if digits.startswith("86") and re.fullmatch(r"86(?:1[3-9]\d{9})", digits):
        return None  # `mobile` has it
    named = near(_PHONE, text, start, end)
    groups = len(re.findall(r"[ .\-(]+", value))
    made_up = "55501" in digits or "123456" in digits or len(set(digits[2:])) <= 2
    if not named and (groups < 2 or re.search(r"\d[.]\d", value)):
        return None
    return Judged(start, end, 0.3 if made_up else 0.85 if named else 0.7, "personal.phone")


def us_phone(text: str, match: Match) -> Judged | None:
    """A North American number, by its parentheses or a word for it; 555-01xx is nobody's."""
    start, end = match.value_start, match.value_end
    value = text[start:end]
    digits = re.sub(r"\D", "", value)
    opened = value.startswith("(")
    if (
        not bare(text, start, end, also="_+-.")
        or opened != (")" in value)
        or digits[3:6] == "555"
        or digits[:3] == "555"
    ):
        return None
    named = near(_PHONE, text, start, end)
    if not named and not opened:
        return None
    return Judged(start, end, 0.8 if named else 0.6, "personal.phone")


def iban_code(text: str, match: Match) -> Judged | None:
    """An IBAN: length by country, and check digits. What follows in capitals may have been taken with it."""
    start = match.value_start
    if start and joins(text[start - 1], "_"):
        return None
    for end in range(match.value_end, match.value_start + 14, -1):
        value = text[start:end].replace(" ", "")
        if text[end - 1] != " " and not joins(text[end : end + 1], "_") and iban(value):
            return Judged(start, end, 0.97, "personal.iban")
    return None


def ip4(text: str, match: Match) -> Judged | None:
    """A public address; hardly tells whose it is."""
    start, end = match.value_start, match.value_end
    if not bare(text, start, end, also="_.") or text[max(start - 1, 0) : start] in ("-", "/", "=", "v"):
        return None
    return _address(text[start:end], start, end)


def ip6(text: str, match: Match) -> Judged | None:
    """The same of IPv6."""
    if not bare(text, match.value_start, match.value_end, also=":_."):
        return None
    return _address(text[match.value_start : match.value_end], match.value_start, match.value_end)


def _address(value: str, start: int, end: int) -> Judged | None:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    if (
        not address.is_global
        or address.is_multicast
        or value.endswith(".0")
        or value in ("8.8.8.8", "8.8.4.4", "1.1.1.1")
    ):
        return None
    return Judged(start, end, 0.3, "personal.ip")


def ssn(text: str, match: Match) -> Judged | None:
    """A social security number of the United States, next to a word for it (SSA: no area 000, 666, 9xx; no zero group)."""
    start, end = match.value_start, match.value_end
    area, group, serial = text[start:end].split("-")
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return None
    if not bare(text, start, end, also="_-.") or not near(_SSN, text, start, end):
        return None
    return Judged(start, end, 0.85, "personal.us.ssn")


def judges() -> Mapping[str, Judge]:
    """By pattern."""
    return {
        "email": email,
        "phone": phone,
        "us-phone": us_phone,
        "iban": iban_code,
        "ip4": ip4,
        "ip6": ip6,
        "ssn": ssn,
    }
