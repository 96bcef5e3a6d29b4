"""Check digits of the numbers that people and organisations are known by."""

from __future__ import annotations

from datetime import date

# ISO 13616 registry (SWIFT, release 99): how long an IBAN is, by country.
_IBAN_CHARS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18,
    "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31,
    "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29,
    "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip

# GB 11643-1999 (ISO 7064 MOD 11-2).
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECKS = "10X98765432"

# GB/T 2260: provinces; 81 to 83 are residence permits of Hong Kong, Macau and Taiwan, 91 and 92 of foreigners.
PROVINCES = frozenset(("11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71", "81", "82", "83", "91", "92"))  # fmt: skip

# GB 32100-2015: no I, O, S, V, Z; ISO 7064 MOD 31-3.
_CREDIT_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# The authority that registered the body, and the kinds of bodies it registers (GB 32100-2015, table 1, with its amendments).
_CREDIT_KINDS = {
    "1": "12359", "2": "19", "3": "123459", "4": "19", "5": "12349", "6": "129", "7": "129", "8": "19", "9": "1239",
    "A": "19", "N": "12359", "Y": "19",
}  # fmt: skip
_CREDIT_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))


def luhn(digits: str) -> bool:
    """Whether a number's last digit is its check digit (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(value: str) -> bool:
    """Whether it is an IBAN: its country's length, and ISO 7064 MOD 97-10. Without blanks."""
    if len(value) != _IBAN_CHARS.get(value[:2]):
        return False
    turned = value[4:] + value[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def real_date(year: str, month: str, day: str) -> bool:
    """Whether the calendar has this day."""
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def resident(value: str) -> bool:
    """Whether 18 characters are a resident identity number: province, real date of birth, check digit."""
    if value[:2] not in PROVINCES or not real_date(value[6:10], value[10:12], value[12:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_RESIDENT_WEIGHTS, value, strict=False))
    return _RESIDENT_CHECKS[total % 11] == value[17].upper()


def old_resident(value: str) -> bool:
    """Whether 15 digits can be a resident identity number of before 1999, which has no check digit."""
    return value[:2] in PROVINCES and real_date("19" + value[6:8], value[8:10], value[10:12])


def credit_code(value: str) -> bool:
    """Whether 18 characters are a unified social credit code: kind of body, region, check digit.

    One of digits alone that holds a date where a resident number has it is taken for a mistyped one of those.
    """
    if value[1] not in _CREDIT_KINDS.get(value[0], ""):
        return False
    if value[2:4] not in PROVINCES and value[2:4] != "10":  # 10: registered with the state itself
        return False
    if value.isdigit() and "1900" <= value[6:10] <= "2099" and real_date(value[6:10], value[10:12], value[12:14]):
        return False
    total = sum(weight * _CREDIT_LETTERS.index(letter) for weight, letter in zip(_CREDIT_WEIGHTS, value, strict=False))
    return _CREDIT_LETTERS[(31 - total % 31) % 31] == value[17]
